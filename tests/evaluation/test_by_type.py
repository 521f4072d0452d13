"""Accuracy by type of question."""

import numpy as np
import pytest

from kformer.evaluation.answers import AnsweredQuestions
from kformer.evaluation.by_type import accuracies_by_type

QUESTIONS = AnsweredQuestions(
    ids=("a", "b", "c", "d"),
    split="test",
    answers=np.array([0, 1, 0, 2]),
    choices=np.array([2, 2, 4, 4]),
)
RIGHT = {
    "none": np.array([[1.0, 1, 0, 0], [1, 0, 0, 0]]),  # two seeds
    "kformer": np.array([[1.0, 0, 1, 1]]),
}


def test_each_type_has_its_own_chance_and_the_mean_over_seeds_of_each_condition():
    easy, hard = accuracies_by_type(
        QUESTIONS, RIGHT, {"a": "easy", "b": "easy", "c": "hard", "d": "hard"}
    )
    assert (easy.type, easy.questions, easy.chance) == ("easy", 2, 0.5)
    assert easy.accuracies == {"none": 0.75, "kformer": 0.5}
    assert (hard.type, hard.questions, hard.chance) == ("hard", 2, 0.25)
    assert hard.accuracies == {"none": 0.0, "kformer": 1.0}


@pytest.mark.parametrize("type_of", [{}, dict.fromkeys("abcd", "one")])
def test_questions_of_one_type_or_none_are_not_divided(type_of):
    assert accuracies_by_type(QUESTIONS, RIGHT, type_of) == []


def test_questions_without_a_type_among_others_are_a_type_of_their_own():
    without, easy = accuracies_by_type(QUESTIONS, RIGHT, {"a": "easy", "b": "easy", "c": "easy"})
    assert (without.type, without.questions, easy.questions) == ("(no type)", 1, 3)
