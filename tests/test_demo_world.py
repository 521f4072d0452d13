"""The generated world: reproducible, and beyond chance only for whoever reads the facts."""

import re
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kformer.demo_world import ATTRIBUTES, DemoWorld, write_world
from kformer.evaluation.retrieval_only import answer_by_retrieval
from kformer.io.tables import read_rows
from kformer.io.text_files import read_jsonl
from kformer.knowledge.build import build_facts
from kformer.knowledge.demo import DemoFacts
from kformer.questions.build import build_questions
from kformer.questions.demo import DemoQuestions
from kformer.retrieval.index import index_words
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.settings import Retrieval

SIZES = {"train": 480, "validation": 48, "test": 240}
WORLD = DemoWorld(**{f"{split}_questions": size for split, size in SIZES.items()})
SMALL = DemoWorld(train_questions=24, validation_questions=24, test_questions=24)


def rows_of(folder, name):
    return [row for _, row in read_jsonl(folder / f"{name}.jsonl")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "world"
    assert write_world(WORLD, folder) == {"questions": 768, "facts": 768}
    return folder


@pytest.fixture(scope="module")
def questions(folder):
    return rows_of(folder, "questions")


@pytest.fixture(scope="module")
def facts(folder):
    return rows_of(folder, "facts")


def asked_about(question):
    """The attribute and the person of a question."""
    words = question["question"].removesuffix("?").split()
    return words[1], words[3]


def groups(questions):
    """The questions of each block of people and attribute: they share their choices."""
    by_group = defaultdict(list)
    for question in questions:
        attribute, _ = asked_about(question)
        number = int(question["question_id"].removeprefix("demo-"))
        by_group[number // 24, attribute].append(question)
    return by_group.values()


def test_the_same_seed_gives_the_same_bytes_and_another_one_another_world(tmp_path):
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        write_world(SMALL.model_copy(update={"seed": seed}), tmp_path / name)
    for file in ("questions.jsonl", "facts.jsonl"):
        one, two, other = (
            (tmp_path / name / file).read_bytes() for name in ("one", "two", "other")
        )
        assert one == two != other


def test_every_split_has_its_size_and_every_question_its_own_id(questions):
    assert Counter(question["split"] for question in questions) == SIZES
    assert len({question["question_id"] for question in questions}) == len(questions)


def test_no_person_is_in_two_splits(questions):
    people = defaultdict(set)
    for question in questions:
        people[question["split"]].add(asked_about(question)[1])
    assert len(set.union(*people.values())) == sum(map(len, people.values()))
    assert {split: len(names) * len(ATTRIBUTES) for split, names in people.items()} == SIZES


def test_in_each_group_every_choice_is_right_exactly_once(questions):
    for group in groups(questions):
        choices = {frozenset(question["choices"]) for question in group}
        right = {question["choices"][question["answer"]] for question in group}
        assert (len(group), len(right), choices) == (4, 4, {frozenset(right)})


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations([value for values in ATTRIBUTES.values() for value in values]))
def test_whoever_prefers_some_words_to_others_is_right_in_a_quarter(questions, preference):
    rank = {word: i for i, word in enumerate(dict.fromkeys(preference))}
    right = Counter(
        question["split"]
        for question in questions
        if min(question["choices"], key=rank.get) == question["choices"][question["answer"]]
    )
    assert right == {split: size // 4 for split, size in SIZES.items()}


def test_the_position_of_the_right_choice_says_little_and_half_are_hard(questions):
    for position in range(4):
        share = sum(question["answer"] == position for question in questions) / len(questions)
        assert 0.19 < share < 0.31
    assert 0.45 < sum(question["type"] == "hard" for question in questions) / len(questions) < 0.55


def test_the_gold_fact_is_a_fact_about_the_person(questions, facts):
    origins = {fact["text"]: (fact["relation"], fact["origin"]) for fact in facts}
    assert len(origins) == len(facts) == len(questions)
    for question in questions:
        (gold,) = question["gold_facts"]
        assert origins[gold] == asked_about(question)


def test_the_order_of_facts_says_nothing_about_their_questions(questions, facts):
    gold = [question["gold_facts"][0] for question in questions]
    assert [fact["text"] for fact in facts] != gold
    same_person = sum(one["origin"] == other["origin"] for one, other in pairwise(facts))
    assert same_person < len(facts) / 20


def test_a_fact_has_the_word_of_the_right_choice_or_for_a_hard_question_another_one(questions):
    for question in questions:
        attribute, _ = asked_about(question)
        (stated,) = re.findall(r" is (\w+)\.$", question["gold_facts"][0])
        right = question["choices"][question["answer"]]
        other_word = ATTRIBUTES[attribute][right]
        assert stated == (other_word if question["type"] == "hard" else right)


def test_no_word_stands_for_two_values():
    words = [word for pairs in ATTRIBUTES.values() for pair in pairs.items() for word in pair]
    assert len(set(words)) == len(words)
    assert not set(words) & set(ATTRIBUTES)


def test_retrieval_alone_answers_easy_questions_and_guesses_hard_ones(folder, tmp_path):
    questions, facts, found = (tmp_path / name for name in ("questions", "facts", "found"))
    build_questions(DemoQuestions(), folder, questions)
    build_facts([DemoFacts()], [folder], facts)
    settings = Retrieval(query="choice", top_k=3)
    index_words(settings, facts, tmp_path / "index")
    retrieve(settings, questions, facts, [tmp_path / "index"], found)
    answer_by_retrieval(questions, found, tmp_path / "answers")
    type_of = {row["question_id"]: row["type"] for row in read_rows(questions, "questions")}
    right = defaultdict(list)
    for row in read_rows(tmp_path / "answers", "predictions"):
        right[type_of[row["question_id"]]].append(row["prediction"] == row["answer"])
    assert len(right["hard"]) > 90 and all(right["easy"])
    assert 0.16 < sum(right["hard"]) / len(right["hard"]) < 0.34


@pytest.mark.parametrize(("share", "kinds"), [(0.0, {"easy"}), (1.0, {"hard"})])
def test_the_share_of_hard_questions_can_be_set(tmp_path, share, kinds):
    write_world(SMALL.model_copy(update={"hard_share": share}), tmp_path / "world")
    rows = [row for _, row in read_jsonl(tmp_path / "world" / "questions.jsonl")]
    assert {row["type"] for row in rows} == kinds


@pytest.mark.parametrize("size", [0, 25, -24])
def test_a_size_that_makes_no_whole_blocks_is_refused(size):
    with pytest.raises(ValidationError, match="train_questions"):
        DemoWorld(train_questions=size)


def test_a_world_may_be_as_large_as_the_names_suffice_for_and_no_larger(tmp_path):
    with pytest.raises(ValidationError, match=r"there are names for \d+ people") as caught:
        DemoWorld(train_questions=12_000)
    (names,) = re.findall(r"names for (\d+) people", str(caught.value))
    train = int(names) // 4 * 24 - 48
    world = DemoWorld(train_questions=train, validation_questions=24, test_questions=24)
    assert write_world(world, tmp_path / "world")["questions"] == train + 48
