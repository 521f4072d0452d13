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
    }


@pytest.fixture
def answer(tmp_path):
    """Answers where ``scores[question_id][choice]`` are the scores of what was found."""

    def run(questions, scores):
        write_table(tmp_path / "q", "questions", questions)
        rows = [
            {
                "question_id": question_id,
                "choice": choice,
                "fact_ids": [10 * (choice or 0) + i for i in range(len(found))],
                "scores": found,
            }
            for question_id, choices in scores.items()
            for choice, found in choices.items()
        ]
        write_table(tmp_path / "r", "retrieval", rows)
        metrics = answer_by_retrieval(tmp_path / "q", tmp_path / "r", tmp_path / "p")
        return metrics, list(read_rows(tmp_path / "p", "predictions"))

    return run


def test_the_choice_whose_query_scored_best_is_the_answer(answer, tmp_path):
    questions = [question("a", 1), question("b", 1, choices=2)]
    scores = {"a": {0: [1.0, 0.5], 1: [3.0], 2: [2.5, 2.25, 2.0]}, "b": {0: [4.0], 1: []}}
    metrics, rows = answer(questions, scores)
    expected = [
        {"answer": 1, "prediction": 1, "logits": [1.0, 3.0, 2.5], "fact_ids": [[0], [10], [20]]},
        {"answer": 1, "prediction": 0, "logits": [4.0, 0.0], "fact_ids": [[0], []]},
    ]
    assert rows == [
        {"question_id": question_id, "split": "test", "tied": False, "inputs_cut": 0, **row}
        | {"credit": float(row["prediction"] == row["answer"])}
        for question_id, row in zip("ab", expected, strict=True)
    ]
    assert metrics == {"test_questions": 2, "test_accuracy": 0.5, "test_questions_tied": 0}
    before = (tmp_path / "p").read_bytes()
    answer(questions, scores)
    assert (tmp_path / "p").read_bytes() == before


def test_only_test_questions_are_answered(answer):
    splits = {"a": "train", "b": "test", "c": "validation"}
    questions = [question(name, 0, split=split) for name, split in splits.items()]
    metrics, rows = answer(questions, {name: {0: [1.0], 1: [], 2: []} for name in "abc"})
    assert [row["question_id"] for row in rows] == ["b"]
    assert metrics == {"test_questions": 1, "test_accuracy": 1.0, "test_questions_tied": 0}


def test_the_extra_test_is_answered_after_the_test(answer):
    splits = {"a": "test_extra", "b": "test", "c": "train", "d": "test_extra"}
    questions = [question(name, int(name == "d"), split=split) for name, split in splits.items()]
    metrics, rows = answer(questions, {name: {0: [1.0], 1: [], 2: []} for name in splits})
    assert [(row["question_id"], row["split"]) for row in rows] == [
        *(("b", "test"), ("a", "test_extra"), ("d", "test_extra"))
    ]
    assert metrics == {
        **{"test_questions": 1, "test_accuracy": 1.0, "test_questions_tied": 0},
        **{"test_extra_questions": 2, "test_extra_accuracy": 0.5, "test_extra_questions_tied": 0},
    }


@pytest.mark.parametrize("scores", [[[0.5], [2.0, 2.0], [2.0]], [[2.5], [2.5, 1.0], []]])
def test_of_choices_that_tie_one_is_drawn(scores, answer):
    names = [f"q{i}" for i in range(60)]
    metrics, rows = answer(
        [question(name, 1) for name in names], {key: dict(enumerate(scores)) for key in names}
    )
    drawn = [row["prediction"] for row in rows]
    best = [choice for choice, found in enumerate(scores) if max(found, default=0.0) >= 2]
    assert set(drawn) == set(best) and all(drawn.count(choice) > 15 for choice in best)
    assert metrics["test_questions_tied"] == 60


def test_where_nothing_is_found_answers_are_worth_a_guess(answer):
    names = [f"q{i}" for i in range(300)]
    for right in range(3):
        questions = [question(name, right) for name in names]
        metrics, _ = answer(questions, {key: {0: [], 1: [], 2: []} for key in names})
        assert metrics["test_accuracy"] == pytest.approx(1 / 3)
        assert metrics["test_questions_tied"] == 300


@pytest.mark.parametrize("right", [0, 2])
def test_the_right_choice_is_right_wherever_its_text_stands(answer, right):
    twice = question("a", right) | {"choices": ["red", "blue", "red"]}
    metrics, (row,) = answer([twice], {"a": {0: [1.78], 1: [1.55], 2: [1.78]}})
    assert (row["prediction"], row["answer"], row["tied"]) == (right, right, False)
    assert metrics == {"test_questions": 1, "test_accuracy": 1.0, "test_questions_tied": 0}


@pytest.mark.parametrize(
    ("found", "named"), [({None: [1.0]}, "retrieval.query: choice"), ({0: [1.0]}, "question 'a'")]
)
def test_a_retrieval_without_one_query_per_choice_is_refused(found, named, answer, tmp_path):
    with pytest.raises(KformerError, match=named):
        answer([question("a", 0)], {"a": found})
    assert not (tmp_path / "p").exists()
