"""From tables of tokens to the inputs of questions, with their candidate facts."""

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of
from kformer.io.table_schemas import ALL_SPLITS
from kformer.io.tables import read_rows, write_table
from kformer.modeling import KformerConfig, KformerProcessor
from kformer.modeling.featurize import featurize
from kformer.modeling.pretrained import load_tokenizer
from kformer.modeling.question_features import TokenisedQuestions

from .conftest import properties

FACTS = ["the pet of krez is rabbit.", "the food of krez is soup.", "the job of plom is judge."]


def scores_of(fact_ids):
    """Falling ones, of which each tells its fact and its rank."""
    return [9.0 - rank + fact_id / 8 for rank, fact_id in enumerate(fact_ids)]


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
def write_knowledge(tmp_path):
    def write(found, provenance=None, facts=FACTS):
        rows = [
            {"fact_id": i, "text": text, "source": "test", "origin": str(i)}
            for i, text in enumerate(facts)
        ]
        write_table(tmp_path / "facts.parquet", "facts", rows)
        rows = [
            {"question_id": question_id, "choice": choice if len(lists) > 1 else None}
            | {"fact_ids": fact_ids, "scores": scores_of(fact_ids)}
            for question_id, lists in found.items()
            for choice, fact_ids in enumerate(lists)
        ]
        write_table(tmp_path / "retrieval.parquet", "retrieval", rows, provenance)
        return tmp_path / "facts.parquet", tmp_path / "retrieval.parquet"

    return write


@pytest.fixture
def load(tokenise):
    """Tokenises tables of texts and opens the result."""

    def open_tables(processor, questions, knowledge=None):
        facts, retrieval = knowledge or (None, None)
        tables = (tokenise(facts), retrieval) if facts else None
        return TokenisedQuestions(processor, tokenise(questions), tables)

    return open_tables


def test_only_the_questions_of_the_split_are_loaded(factless, write_questions, load):
    questions = write_questions(train=3, validation=2, test=1)
    examples = load(factless, questions).split("validation")
    assert [(e.question_id, e.split, e.answer, e.candidates) for e in examples] == [
        ("validation-0", "validation", 0, []),
        ("validation-1", "validation", 1, []),
    ]
    assert len(examples) == 2 and examples.inputs_cut == 0
    assert examples.question_ids == ["validation-0", "validation-1"]
    assert examples.lengths == [max(len(ids) for ids in e.features.choices) for e in examples]


def test_whether_there_are_questions_of_a_split_is_told(factless, write_questions, load):
    questions = load(factless, write_questions(train=2, test_extra=1))
    assert [questions.has(split) for split in ALL_SPLITS] == [True, False, False, True]


@pytest.mark.parametrize("found", [[[2, 0]], [[2], [0, 1]], [[]]])
def test_each_fact_has_the_score_that_it_was_found_with(
    found, tiny_encoder, write_questions, write_knowledge, load
):
    config = KformerConfig(injection="ffn", scores_in_keys=True)
    scored = KformerProcessor(load_tokenizer(tiny_encoder), config)
    # The table of what was found is in another order than that of the questions.
    knowledge = write_knowledge({"test-1": [[1]], "other": [[0]], "test-0": found})
    examples = load(scored, write_questions(test=2), knowledge).split("test")
    expected = [[scores_of(ids) for ids in lists] for lists in (found, [[1]])]
    assert [[each.tolist() for each in e.features.scores] for e in examples] == expected
    assert sorted(examples.scores) == sorted(
        score for lists in expected for scores in lists for score in scores
    )
    batch = scored.collate([each.features for each in examples])
    positions, scores = batch["fact_positions"], batch["fact_scores"]
    assert scores.shape == positions.shape and not scores[positions < 0].any()
    of_first = scores[0] if len(found) == 1 else scores[0, 0]
    assert of_first[: len(found[0])].tolist() == scores_of(found[0])


def test_scores_are_asked_for_where_the_model_reads_them(tiny_encoder):
    config = KformerConfig(injection="ffn", scores_in_keys=True)
    scored = KformerProcessor(load_tokenizer(tiny_encoder), config)
    with pytest.raises(KformerError, match="scores: this model reads them"):
        scored("", "which pet", ["cat", "dog"], FACTS, [1.0, 0.5])
    features = scored("", "which pet", ["cat", "dog"], [FACTS[:1], FACTS[1:]], [[3.0], [2.0, 1.0]])
    assert features.scores == [[3.0], [2.0, 1.0]]


def test_cut_inputs_are_counted_over_all_questions(tiny_encoder, write_questions, load):
    tokenizer = load_tokenizer(tiny_encoder)
    short = KformerProcessor(tokenizer, KformerConfig(injection="none", max_tokens=14))
    examples = load(short, write_questions(train=12)).split("train")
    assert examples.inputs_cut == sum(each.features.cut for each in examples) > 0
    assert max(examples.lengths) <= 14


def test_a_question_whose_choice_is_too_long_is_named(tiny_encoder, write_questions, load):
    processor = KformerProcessor(
        load_tokenizer(tiny_encoder), KformerConfig(injection="none", max_tokens=4)
    )
    with pytest.raises(KformerError, match=r"question 'train-0': .* the choice 'cat' alone"):
        load(processor, write_questions(train=2)).split("train")


@pytest.mark.parametrize("found", [[[2, 0]], [[2], [0, 1]], [[]]])
def test_questions_get_the_facts_that_were_found_for_them(
    found, processor, write_questions, write_knowledge, load
):
    knowledge = write_knowledge({"other": [[0]], "test-0": found, "test-1": [[1]]})
    examples = load(processor, write_questions(test=2), knowledge).split("test")
    first, second = examples
    assert (first.candidates, second.candidates) == (found, [[1]])
    tokens = [processor.tokenizer.encode(fact, add_special_tokens=False) for fact in FACTS]
    read = [[fact.tolist() for fact in facts] for facts in first.features.facts]
    assert read == [[tokens[i] for i in ids] for ids in found]
    assert first.features.facts_per_choice == (len(found) > 1)
    ids = {1, *(i for ids in found for i in ids)}
    assert examples.fact_tokens == {token for i in ids for token in tokens[i]}


def test_what_was_found_may_be_in_any_order(
    processor, write_questions, write_knowledge, load, tmp_path
):
    knowledge = write_knowledge({"test-1": [[1], [2, 0]], "test-2": [[0]], "test-0": [[2]]})
    rows = list(read_rows(knowledge[1], "retrieval"))
    write_table(knowledge[1], "retrieval", [rows[0], *rows[2:], rows[1]])
    examples = load(processor, write_questions(test=3), knowledge).split("test")
    assert [each.candidates for each in examples] == [[[2]], [[1], [2, 0]], [[0]]]


def test_a_model_that_reads_facts_is_not_left_without(processor, write_questions, load):
    with pytest.raises(KformerError, match="injection ffn reads facts; give the tokens of the"):
        load(processor, write_questions(train=2))


def test_a_retrieval_of_other_questions_is_refused(
    processor, write_questions, write_knowledge, load
):
    knowledge = write_knowledge({"train-0": [[0]]})
    with pytest.raises(KformerError, match="'train-1' is not in the retrieval table"):
        load(processor, write_questions(train=2), knowledge).split("train")


def test_lists_of_facts_for_another_number_of_choices_are_refused(
    processor, write_questions, write_knowledge, load
):
    knowledge = write_knowledge({"train-0": [[0], [1], [2]]})
    with pytest.raises(KformerError, match="question 'train-0': facts: 3 lists for 2 choices; "):
        load(processor, write_questions(train=1), knowledge).split("train")


@pytest.mark.parametrize("unknown", [3, -1])
def test_a_fact_that_is_not_in_the_table_is_refused(
    unknown, processor, write_questions, write_knowledge, load
):
    knowledge = write_knowledge({"train-0": [[0, unknown]]})
    with pytest.raises(KformerError, match=rf"names fact {unknown}, and \S+ has 3 facts; give"):
        load(processor, write_questions(train=1), knowledge)


def test_a_retrieval_for_other_questions_of_the_same_ids_is_refused(
    processor, write_questions, write_knowledge, load
):
    origin = {"questions_sha256": sha256_of(write_questions(train=2))}
    knowledge = write_knowledge({"train-0": [[0]], "train-1": [[0]]}, origin)
    load(processor, write_questions(train=2), knowledge)
    with pytest.raises(KformerError, match="retrieved for other questions than "):
        load(processor, write_questions(train=3), knowledge)


def test_a_retrieval_of_other_facts_is_refused(processor, write_questions, write_knowledge, load):
    facts, _ = write_knowledge({"train-0": [[0]]})
    origin = {"facts_sha256": sha256_of(facts)}
    load(processor, write_questions(train=1), write_knowledge({"train-0": [[0]]}, origin))
    with pytest.raises(KformerError, match="retrieved from other facts than "):
        knowledge = write_knowledge({"train-0": [[0]]}, origin, facts=FACTS[:2])
        load(processor, write_questions(train=1), knowledge)


@pytest.mark.parametrize("made_with_another", ["questions", "facts"])
def test_tokens_of_another_tokenizer_are_refused(
    made_with_another, processor, write_questions, write_knowledge, tokenise, tmp_path
):
    questions = write_questions(train=1)
    facts, retrieval = write_knowledge({"train-0": [[0]]})
    tokens = {"questions": tokenise(questions), "facts": tokenise(facts)}
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])}
    BertTokenizer(vocab=words).save_pretrained(tmp_path / "encoder")
    (tmp_path / "encoder/config.json").write_text('{"model_type": "bert"}')
    table = {"questions": questions, "facts": facts}[made_with_another]
    featurize(table, str(tmp_path / "encoder"), tokens[made_with_another])
    with pytest.raises(KformerError, match=rf"^{tokens[made_with_another]}: made with another"):
        TokenisedQuestions(processor, tokens["questions"], (tokens["facts"], retrieval))


def test_a_limit_draws_the_same_questions_each_time(factless, write_questions, load):
    questions = load(factless, write_questions(train=40, validation=3))

    def drawn(limit, seed=1):
        random.seed(seed)
        return [each.question_id for each in questions.split("train", limit)]

    assert drawn(10) == drawn(10, seed=2)
    assert len(set(drawn(10))) == 10
    assert drawn(10) != [f"train-{i}" for i in range(10)]  # not merely the first ones
    assert drawn(40) == drawn(99) == drawn(None) == [f"train-{i}" for i in range(40)]


# --- the same as the processor makes of the texts

words = st.lists(st.sampled_from(["krez", "pet", "of", "[SEP]", "ﬁne", "what", "."]), max_size=7)
texts = words.map(" ".join)
answers = st.lists(st.sampled_from(["cat", "dog", "a"]), min_size=1, max_size=3).map(" ".join)


@st.composite
def tables(draw):
    """Questions, facts, and for each question a list of facts, or one for each choice."""
    facts = draw(st.lists(texts, min_size=1, max_size=5))
    found = st.lists(st.integers(0, len(facts) - 1), max_size=4)
    questions = []
    for number in range(draw(st.integers(1, 4))):
        choices = draw(st.lists(answers, min_size=2, max_size=4))
        lists = draw(st.sampled_from([1, len(choices)]))
        question = {"question_id": str(number), "split": "train", "answer": 0, "choices": choices}
        question |= {"context": draw(texts), "question": draw(texts)}
        questions.append((question, [draw(found) for _ in range(lists)]))
    return questions, facts


@properties(max_examples=40)
@given(
    given=tables(),
    injection=st.sampled_from(["none", "concat", "ffn"]),
    facts=st.integers(1, 3),
    max_tokens=st.integers(13, 40),
    max_fact_tokens=st.integers(1, 8),
)
def test_examples_are_what_the_processor_makes_of_the_texts(
    given, tiny_encoder, write_knowledge, load, tmp_path, injection, **limits
):
    rows, fact_texts = given
    write_table(tmp_path / "questions.parquet", "questions", [row for row, _ in rows])
    knowledge = write_knowledge({row["question_id"]: ids for row, ids in rows}, facts=fact_texts)
    config = KformerConfig(injection=injection, **limits)
    processor = KformerProcessor(load_tokenizer(tiny_encoder), config)
    examples = load(processor, tmp_path / "questions.parquet", knowledge).split("train")
    expected = []
    for row, lists in rows:
        found = [[fact_texts[i] for i in ids] for ids in lists]
        texts = found[0] if len(found) == 1 else found
        expected.append(processor(row["context"], row["question"], row["choices"], texts))
    for example, features in zip(examples, expected, strict=True):
        assert as_lists(example.features) == features
    assert examples.lengths == [features.length for features in expected]
    assert examples.inputs_cut == sum(features.cut for features in expected)
    fact_tokens = {token for each in expected for ids in each.facts for i in ids for token in i}
    assert examples.fact_tokens == fact_tokens
    read = {token for each in expected for ids in each.choices for token in ids}
    assert examples.input_tokens >= read  # and what was cut
    same, wanted = (
        processor.collate([each.features for each in examples]),
        processor.collate(expected),
    )
    assert same.keys() == wanted.keys()
    assert all(torch.equal(same[name], wanted[name]) for name in wanted)


def as_lists(features):
    facts = [[fact.tolist() for fact in each] for each in features.facts]
    return replace(features, choices=[each.tolist() for each in features.choices], facts=facts)


def test_a_split_that_must_be_answered_has_questions(factless, write_questions, load):
    questions = load(factless, write_questions(train=2))
    assert len(questions.answered("train")) == 2
    with pytest.raises(KformerError, match=r"\.arrow: there is no question of split 'validation'"):
        questions.answered("validation")


def test_a_split_that_must_be_answered_has_all_answers(factless, write_questions, load):
    rows = list(read_rows(write_questions(train=3), "questions"))
    rows[1]["answer"] = None
    table = write_questions()
    write_table(table, "questions", rows)
    questions = load(factless, table)
    assert len(questions.split("train")) == 3
    with pytest.raises(KformerError, match=r"question 'train-1' of split 'train' has no answer"):
        questions.answered("train")
