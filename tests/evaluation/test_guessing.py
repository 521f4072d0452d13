"""Whether a condition does better than somebody who does not read the questions."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from kformer.evaluation.answers import AnsweredQuestions, Answers, RunAnswers
from kformer.evaluation.guessing import against_guessing, guessing, preference_p_value


def questions_with(answers, choices):
    ids = tuple(f"q{i}" for i in range(len(answers)))
    return AnsweredQuestions(ids, "test", np.asarray(answers), np.broadcast_to(choices, len(ids)))


def run_with(chosen, questions, seed=1):
    chosen = np.asarray(chosen)
    nothing = np.zeros(len(chosen), dtype=bool)
    credit = (chosen == questions.answers).astype(float)
    answers = Answers(chosen, credit, nothing, np.ones(len(chosen)), nothing, nothing)
    return RunAnswers("some", seed, answers, None)


def p_guessing(chosen, questions):
    return against_guessing([run_with(chosen, questions)], questions)["p_guessing"]


def test_what_guessing_gets():
    found = guessing(AnsweredQuestions(("a", "b"), "test", np.array([0, 3]), np.array([2, 4])))
    assert found.evenly == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert (found.best_constant, found.best_constant_accuracy) == (0, 0.5)
    assert found.key == [0.5, 0, 0, 0.5]


@pytest.mark.parametrize("choice", [0, 1, 2])
def test_a_constant_answer_is_never_better_than_guessing(choice):
    """As on 60 questions with the answers yes, no and maybe, most of which are yes."""
    questions = questions_with([0] * 35 + [1] * 20 + [2] * 5, 3)
    assert p_guessing([choice] * 60, questions) >= 0.5


def test_nor_is_a_preference_for_the_choices_that_are_right_most_often():
    rng = np.random.default_rng(5)
    key = rng.permutation([0] * 120 + [1] * 60 + [2] * 20)
    questions = questions_with(key, 3)
    p_values = [p_guessing(rng.permutation(key), questions) for _ in range(40)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.1


def test_nor_is_who_reads_but_gets_less_than_the_best_constant_answer():
    key = np.repeat([0, 1], [160, 40])
    chosen = np.where(np.arange(200) % 3 == 0, 1 - key, key)  # two thirds right, of both
    questions = questions_with(key, 2)
    votes = np.eye(2)[chosen]
    assert preference_p_value(votes, questions) < 0.01
    assert p_guessing(chosen, questions) > 0.9


def test_who_is_right_more_often_is_better_than_guessing():
    rng = np.random.default_rng(5)
    key = rng.integers(4, size=200)
    chosen = np.where(rng.random(200) < 0.5, key, rng.integers(4, size=200))
    assert p_guessing(chosen, questions_with(key, 4)) < 0.001


def test_preferences_agree_with_fishers_test_of_two_choices():
    key = np.repeat([0, 1], [30, 50])
    chosen = np.concatenate([np.repeat([0, 1], [17, 13]), np.repeat([0, 1], [19, 31])])
    table = [[17, 13], [19, 31]]
    exact = stats.fisher_exact(table, alternative="greater").pvalue
    p_value = preference_p_value(np.eye(2)[chosen], questions_with(key, 2))
    assert p_value == pytest.approx(exact, abs=0.01)


def test_right_answers_are_permuted_among_questions_with_as_many_choices():
    """Else the right answer 3 of one question would be tried with another that has two choices."""
    questions = AnsweredQuestions(
        tuple("abcdefgh"), "test", np.array([0, 1] * 2 + [2, 3] * 2), np.array([2] * 4 + [4] * 4)
    )
    votes = np.eye(4)[questions.answers]
    assert preference_p_value(votes, questions) == pytest.approx((1 / 6) ** 2, abs=0.005)


def test_seeds_that_agree_are_not_more_evidence():
    questions = questions_with([0, 1, 2, 3] * 25, 4)
    chosen = np.where(np.arange(100) < 35, questions.answers, 0)
    one, three = (
        against_guessing([run_with(chosen, questions, seed) for seed in seeds], questions)
        for seeds in ([1], [1, 2, 3])
    )
    assert one == three


def test_answers_and_macro_f1():
    questions = questions_with([0, 0, 1, 2], 3)
    chosen = [0, 1, 1, 0]
    found = against_guessing([run_with(chosen, questions)], questions)
    assert found["answers"] == [0.5, 0.5, 0]
    assert found["macro_f1"] == pytest.approx(
        f1_score([0, 0, 1, 2], chosen, average="macro", zero_division=0)
    )
