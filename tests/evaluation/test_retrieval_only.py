"""Answering by retrieval alone."""

import pytest

from kformer.errors import KformerError
from kformer.evaluation.retrieval_only import answer_by_retrieval
from kformer.io.tables import read_rows, write_table


def question(question_id, answer, choices=3, split="test"):
    return {
        "question_id": question_id,
        "split": split,
        "context": "",
        "question": "Which?",
        "choices": [f"choice {i}" for i in range(choices)],
        "answer": answer,
        "type": None,
        "gold_facts": None,
    }


def answer(tmp_path, questions, scores):
    """Answers where ``scores[question_id][choice]`` are the scores of what was found."""
    write_table(tmp_path / "q", "questions", questions)
    rows = [
        {
            "question_id": question_id,
            "choice": choice,
            "fact_ids": [10 * choice + i for i in range(len(found))],
            "scores": found,
        }
        for question_id, choices in scores.items()
        for choice, found in enumerate(choices)
    ]
    write_table(tmp_path / "r", "retrieval", rows)
    metrics = answer_by_retrieval(tmp_path / "q", tmp_path / "r", tmp_path / "p")
    return metrics, list(read_rows(tmp_path / "p", "predictions"))


def test_the_choice_whose_query_scored_best_is_the_answer(tmp_path):
    scores = {"a": [[1.0, 0.5], [3.0], [2.5, 2.25, 2.0]], "b": [[4.0], [], [0.5]]}
    metrics, rows = answer(tmp_path, [question("a", 1), question("b", 2)], scores)
    assert rows[0] == {
        "question_id": "a",
        "split": "test",
        "answer": 1,
        "prediction": 1,
        "logits": [1.0, 3.0, 2.5],
        "fact_ids": [[0], [10], [20]],
    }
    assert (rows[1]["prediction"], rows[1]["logits"]) == (0, [4.0, 0.0, 0.5])
    assert rows[1]["fact_ids"] == [[0], [], [20]]
    assert metrics == {"test_questions": 2, "test_accuracy": 0.5}


def test_only_test_questions_are_answered(tmp_path):
    questions = [
        question("a", 0, split="train"),
        question("b", 0),
        question("c", 0, split="validation"),
    ]
    scores = {name: [[1.0], [], []] for name in "abc"}
    metrics, rows = answer(tmp_path, questions, scores)
    assert [row["question_id"] for row in rows] == ["b"]
    assert metrics == {"test_questions": 1, "test_accuracy": 1.0}


def test_of_choices_that_tie_the_first_is_the_answer(tmp_path):
    scores = {"a": [[0.5], [2.0, 2.0], [2.0]]}
    _, rows = answer(tmp_path, [question("a", 0)], scores)
    assert rows[0]["prediction"] == 1


def test_where_nothing_is_found_the_first_choice_is_the_answer(tmp_path):
    metrics, rows = answer(tmp_path, [question("a", 0)], {"a": [[], [], []]})
    assert rows[0]["prediction"] == 0
    assert rows[0]["logits"] == [0.0, 0.0, 0.0]
    assert rows[0]["fact_ids"] == [[], [], []]
    assert metrics["test_accuracy"] == 1.0


def test_questions_may_have_different_numbers_of_choices(tmp_path):
    questions = [question("a", 1, choices=2), question("b", 4, choices=5)]
    scores = {"a": [[1.0], [2.0]], "b": [[], [1.0], [], [], [2.0]]}
    metrics, rows = answer(tmp_path, questions, scores)
    assert [len(row["logits"]) for row in rows] == [2, 5]
    assert metrics["test_accuracy"] == 1.0


def test_the_same_input_gives_the_same_bytes(tmp_path):
    run = (tmp_path, [question("a", 1)], {"a": [[1.0], [3.0], [2.0]]})
    answer(*run)
    before = (tmp_path / "p").read_bytes()
    answer(*run)
    assert (tmp_path / "p").read_bytes() == before


def test_retrieval_with_one_query_a_question_is_refused(tmp_path):
    write_table(tmp_path / "q", "questions", [question("a", 0)])
    row = {"question_id": "a", "choice": None, "fact_ids": [1], "scores": [1.0]}
    write_table(tmp_path / "r", "retrieval", [row])
    with pytest.raises(KformerError):
        answer_by_retrieval(tmp_path / "q", tmp_path / "r", tmp_path / "p")
    assert not (tmp_path / "p").exists()
