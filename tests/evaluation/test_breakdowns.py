"""Accuracy on parts of the questions."""

import numpy as np
import pytest

from kformer.evaluation.answers import AnsweredQuestions, Answers, RunAnswers
from kformer.evaluation.breakdowns import (
    breakdown_header,
    breakdown_rows,
    breakdowns_of,
    read_properties,
)
from kformer.io.tables import write_table

QUESTIONS = AnsweredQuestions(
    ids=("a", "b", "c", "d"),
    split="test",
    answers=np.array([0, 1, 0, 2]),
    choices=np.array([2, 2, 4, 4]),
)


def run_with(credit, facts_read=(False,) * 4, was_cut=(False,) * 4, seed=1):
    answers = Answers(
        chosen=np.zeros(4, dtype=np.int64),
        credit=np.array(credit, dtype=float),
        tied=np.zeros(4, dtype=bool),
        confidence=np.ones(4),
        facts_read=np.array(facts_read),
        was_cut=np.array(was_cut),
    )
    return RunAnswers("some", seed, answers, None)


RUNS = {
    "none": [run_with([1, 1, 0, 0]), run_with([1, 0, 0, 0])],
    "kformer": [run_with([1, 0, 1, 1])],
}


def test_each_group_has_its_own_guessing_and_the_mean_over_seeds_of_each_condition():
    (found,) = breakdowns_of(QUESTIONS, RUNS, {"type": {"easy": ["a", "b"], "hard": ["c", "d"]}})
    easy, hard = found.groups
    assert (found.by, easy.name, hard.name) == ("type", "easy", "hard")
    assert (easy.guessing, hard.guessing) == (0.5, 0.25)
    assert easy.accuracies == {"none": 0.75, "kformer": 0.5}
    assert hard.accuracies == {"none": 0.0, "kformer": 1.0}
    assert breakdown_header(found) == ["accuracy %", "easy\n(2)", "hard\n(2)"]
    assert breakdown_rows(found, RUNS)[0] == ["guessing", "50.0", "25.0"]
    assert breakdown_rows(found, RUNS)[1] == ["none", "75.0", "0.0"]


@pytest.mark.parametrize("groups", [{}, {"one": "abcd"}, {"one": "abcd", "other": "x"}])
def test_questions_of_one_group_or_none_are_not_divided(groups):
    assert breakdowns_of(QUESTIONS, RUNS, {"type": groups}) == []


def test_more_types_than_a_table_shows_are_left_out():
    ids = tuple(f"q{i}" for i in range(13))
    questions = AnsweredQuestions(ids, "test", np.zeros(13, int), np.full(13, 2))
    assert breakdowns_of(questions, {}, {"type": {each: [each] for each in ids}}) == []


def test_what_became_of_a_question_is_a_matter_of_the_run():
    runs = {
        "none": [run_with([1, 1, 0, 0])],
        "kformer": [run_with([1, 0, 1, 1], facts_read=[True, True, True, False])],
    }
    (found,) = breakdowns_of(QUESTIONS, runs, {})
    read, not_read = found.groups
    assert found.by == "facts"
    assert read.questions == {"none": 0, "kformer": 3}
    assert read.accuracies == {"none": None, "kformer": pytest.approx(2 / 3)}
    assert not_read.accuracies == {"none": 0.5, "kformer": 1}
    assert breakdown_rows(found, runs)[1:] == [
        ["none", "", "50.0 (4)"],
        ["kformer", "66.7 (3)", "100.0 (1)"],
    ]


def test_inputs_that_were_cut_are_a_group():
    runs = {"none": [run_with([1, 1, 0, 0], was_cut=[False, False, False, True])]}
    (found,) = breakdowns_of(QUESTIONS, runs, {})
    assert [(group.name, group.accuracies["none"]) for group in found.groups] == [
        ("whole", pytest.approx(2 / 3)),
        ("cut", 0),
    ]


def test_a_table_divides_tested_questions_by_type_and_length(tmp_path):
    common = {"choices": ["x", "y"], "answer": 0, "gold_facts": None}
    rows = [
        {"question_id": f"q{i}", "split": "test", "context": "", "question": "?" * (i + 1)}
        | {"type": "odd" if i % 2 else None, **common}
        for i in range(6)
    ]
    rows.append(rows[0] | {"question_id": "t", "split": "train", "question": "long" * 99})
    write_table(tmp_path / "questions.parquet", "questions", rows)
    assert read_properties(tmp_path / "questions.parquet") == {
        "type": {"(no type)": ["q0", "q2", "q4"], "odd": ["q1", "q3", "q5"]},
        "length": {
            "to 2 characters": ["q0", "q1"],
            "to 4": ["q2", "q3"],
            "longer": ["q4", "q5"],
        },
    }


def test_questions_of_equal_length_are_one_group(tmp_path):
    row = {"split": "test", "context": "", "question": "?", "type": None}
    row |= {"choices": ["x", "y"], "answer": 0, "gold_facts": None}
    rows = [{"question_id": name, **row} for name in "abcd"]
    write_table(tmp_path / "questions.parquet", "questions", rows)
    properties = read_properties(tmp_path / "questions.parquet")
    assert breakdowns_of(QUESTIONS, RUNS, properties) == []
