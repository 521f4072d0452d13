"""What can be had without reading the questions, and whether a condition does better.

Guessing evenly is not all of it: of questions with the answers yes, no and maybe, "yes" alone may
be right for most; and whoever prefers the choices that are right most often gets more than an even
share without reading any.

Shapes: Q questions, S seeds, C choices.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import f1_score

from kformer.evaluation.answers import (
    AnsweredQuestions,
    Floats,
    Ints,
    RunAnswers,
    right_answers,
    votes_for_choices,
)
from kformer.evaluation.results import Guessing
from kformer.evaluation.statistics import RESAMPLES, RNG_SEED, batch_of, sign_flip_p_value


def guessing(questions: AnsweredQuestions) -> Guessing:
    """What guessing gets, evenly or always the same choice, and how the right ones are spread."""
    counts = np.bincount(questions.answers, minlength=int(questions.choices.max()))
    key = counts / counts.sum()
    return Guessing(
        evenly=questions.chance,
        best_constant=int(counts.argmax()),
        best_constant_accuracy=float(key.max()),
        key=key.tolist(),
    )


def against_guessing(runs: Sequence[RunAnswers], questions: AnsweredQuestions) -> dict[str, Any]:
    """The fields of a condition that tell it from guessing.

    ``p_guessing`` is the larger of two one-sided p-values, for both have to be beaten: that of what
    answers with the same preferences get, and that of the best constant answer, which is chosen
    with the right answers in view.
    """
    votes = votes_for_choices(runs, questions)
    scores = right_answers(runs).mean(axis=0)
    constant = questions.answers == guessing(questions).best_constant
    return {
        "answers": (votes.sum(axis=0) / votes.sum()).tolist(),
        "macro_f1": float(np.mean([_macro_f1(run.answers.chosen, questions) for run in runs])),
        "p_guessing": max(preference_p_value(votes, questions), _better_p_value(scores - constant)),
    }


def preference_p_value(votes: Floats, questions: AnsweredQuestions) -> float:
    """The one-sided p-value of "the answers have nothing to do with the questions".

    The (Q, C) ``votes``, the share of seeds that chose each choice, are scored against the right
    answers of other questions: these are permuted among the questions with as many choices. So
    whoever prefers some choices is compared with somebody who has the same preferences, and a
    constant answer gets 1. Seeds that agree with each other are not counted as independent
    evidence.
    """
    rng = np.random.default_rng(RNG_SEED)
    rows = np.arange(len(votes))
    same_size = [questions.choices == size for size in np.unique(questions.choices)]

    def permuted_answers(size: tuple[int, int]) -> Ints:
        answers = np.broadcast_to(questions.answers, size).copy()
        for group in same_size:
            answers[:, group] = rng.permuted(answers[:, group], axis=1)
        return answers

    result = stats.monte_carlo_test(  # type: ignore[call-overload]  # stubs miss `axis`
        questions.answers,
        rvs=permuted_answers,
        statistic=lambda answers, axis: votes[rows, answers.astype(np.int64)].mean(axis=axis),
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=batch_of(votes),
        alternative="greater",
    )
    return float(result.pvalue)


def _better_p_value(differences: Floats) -> float:
    """The one-sided p-value of (Q,) ``differences`` whose mean is not above 0."""
    p_value = sign_flip_p_value(differences)
    return p_value / 2 if differences.mean() > 0 else 1 - p_value / 2


def _macro_f1(predictions: Ints, questions: AnsweredQuestions) -> float:
    return float(f1_score(questions.answers, predictions, average="macro", zero_division=0))
