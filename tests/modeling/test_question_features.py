"""From the tables to tokenised questions with their candidate facts."""

import random

import pytest

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of
from kformer.io.tables import write_table
from kformer.modeling import KformerConfig, KformerProcessor
from kformer.modeling.pretrained import load_tokenizer
from kformer.modeling.question_features import Knowledge, load_examples

FACTS = ["the pet of krez is rabbit.", "the food of krez is soup.", "the job of plom is judge."]


@pytest.fixture
def processor(tiny_encoder):
    return KformerProcessor(load_tokenizer(tiny_encoder), KformerConfig(injection="ffn"))


@pytest.fixture
def factless(tiny_encoder):
    return KformerProcessor(load_tokenizer(tiny_encoder), KformerConfig(injection="none"))


@pytest.fixture
def write_questions(tmp_path):
    def write(**counts):
        common = {"context": "", "choices": ["cat", "dog"]}
        rows = [
            {"question_id": f"{split}-{number}", "split": split, "answer": number % 2}
            | {"question": "which " + "pet " * (number + 1), **common}
            for split, count in counts.items()
            for number in range(count)
        ]
        write_table(tmp_path / "questions.parquet", "questions", rows)
        return tmp_path / "questions.parquet"

    return write


@pytest.fixture
def make_knowledge(tmp_path):
    def make(found, provenance=None):
        facts = [
            {"fact_id": i, "text": text, "source": "test", "origin": str(i)}
            for i, text in enumerate(FACTS)
        ]
        write_table(tmp_path / "facts.parquet", "facts", facts)
        rows = [
            {"question_id": question_id, "choice": choice if len(lists) > 1 else None}
            | {"fact_ids": fact_ids, "scores": [1.0] * len(fact_ids)}
            for question_id, lists in found.items()
            for choice, fact_ids in enumerate(lists)
        ]
        write_table(tmp_path / "retrieval.parquet", "retrieval", rows, provenance)
        return Knowledge(
            *(tmp_path / f"{name}.parquet" for name in ("questions", "facts", "retrieval"))
        )

    return make


def test_only_the_questions_of_the_split_are_loaded(factless, write_questions):
    questions = write_questions(train=3, validation=2, test=1)
    examples = load_examples(factless, questions, None, "validation")
    assert [(e.question_id, e.split, e.answer, e.candidates) for e in examples] == [
        ("validation-0", "validation", 0, []),
        ("validation-1", "validation", 1, []),
    ]
    assert len(examples) == 2 and examples.inputs_cut == 0
    assert examples.lengths == [max(len(ids) for ids in e.features.choices) for e in examples]


def test_cut_inputs_are_counted_over_all_questions(tiny_encoder, write_questions):
    tokenizer = load_tokenizer(tiny_encoder)
    short = KformerProcessor(tokenizer, KformerConfig(injection="none", max_tokens=14))
    examples = load_examples(short, write_questions(train=12), None, "train")
    assert examples.inputs_cut == sum(each.features.cut for each in examples) > 0
    assert max(examples.lengths) <= 14


def test_a_question_whose_choice_is_too_long_is_named(tiny_encoder, write_questions):
    processor = KformerProcessor(
        load_tokenizer(tiny_encoder), KformerConfig(injection="none", max_tokens=4)
    )
    with pytest.raises(KformerError, match=r"question 'train-0': .* the choice 'cat' alone"):
        load_examples(processor, write_questions(train=2), None, "train")


@pytest.mark.parametrize("found", [[[2, 0]], [[2], [0, 1]], [[]]])
def test_questions_get_the_facts_that_were_found_for_them(
    found, processor, write_questions, make_knowledge
):
    knowledge = make_knowledge({"test-0": found, "test-1": [[1]]})
    examples = load_examples(processor, write_questions(test=2), knowledge, "test")
    first, second = examples
    assert (first.candidates, second.candidates) == (found, [[1]])
    tokens = [processor.tokenizer.encode(fact, add_special_tokens=False) for fact in FACTS]
    assert first.features.facts == [[tokens[i] for i in ids] for ids in found]
    assert first.features.facts_per_choice == (len(found) > 1)
    ids = {1, *(i for ids in found for i in ids)}
    assert examples.fact_tokens == {token for i in ids for token in tokens[i]}


def test_a_model_that_reads_facts_is_not_left_without(processor, write_questions):
    with pytest.raises(KformerError, match="injection ffn reads facts; give the facts and"):
        load_examples(processor, write_questions(train=2), None, "train")


def test_a_retrieval_of_other_questions_is_refused(processor, write_questions, make_knowledge):
    knowledge = make_knowledge({"train-0": [[0]]})
    with pytest.raises(KformerError, match="'train-1' is not in the retrieval table"):
        load_examples(processor, write_questions(train=2), knowledge, "train")


def test_a_retrieval_for_other_questions_of_the_same_ids_is_refused(
    write_questions, make_knowledge, tmp_path
):
    origin = {"questions_sha256": sha256_of(write_questions(train=2))}
    make_knowledge({"train-0": [[0]]}, origin)
    write_questions(train=3)
    with pytest.raises(KformerError, match="retrieved for other questions than "):
        make_knowledge({"train-0": [[0]]}, origin)


def test_a_retrieval_of_other_facts_is_refused(make_knowledge, tmp_path):
    with pytest.raises(KformerError, match="retrieved from other facts than "):
        make_knowledge({"train-0": [[0]]}, {"facts_sha256": "0"})
    make_knowledge({"train-0": [[0]]}, {"facts_sha256": sha256_of(tmp_path / "facts.parquet")})


def test_a_limit_draws_the_same_questions_each_time(factless, write_questions):
    questions = write_questions(train=40, validation=3)

    def drawn(limit, seed=1):
        random.seed(seed)
        loaded = load_examples(factless, questions, None, "train", limit)
        return [each.question_id for each in loaded]

    assert drawn(10) == drawn(10, seed=2)
    assert len(set(drawn(10))) == 10
    assert drawn(10) != [f"train-{i}" for i in range(10)]  # not merely the first ones
    assert drawn(40) == drawn(99) == drawn(None) == [f"train-{i}" for i in range(40)]
