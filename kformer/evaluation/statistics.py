"""Intervals, p-values and power of paired answers to a sample of questions.

The unit is the question. The seeds of a condition answer the same questions, so their answers are
averaged first, question by question; all here works on one value a question and treats the
questions as a sample of all questions of their kind. It covers *which questions* happened to be
asked, for the seeds that were run. What other seeds might give is in
`kformer.evaluation.resampling`.

Shapes: Q questions, C choices.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from kformer.evaluation.answers import AnsweredQuestions, Floats

_RESAMPLES = 19_999  # the smallest p-value that a resampling test can give is 2 / 20,000
_RNG_SEED = 0  # fixed: the same predictions give the same comparison, byte for byte
_VALUES_AT_ONCE = 4_000_000  # bounds the memory of resampling at some tens of MB
_FEWEST_DIFFERENT = 6  # with fewer questions, 2 / 2^n of sign flips is above 0.05


def mean_interval(values: Floats, lowest: float, highest: float) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of (Q,) ``values`` between two possible extremes.

    The questions are resampled (BCa bootstrap: Efron 1987, "Better Bootstrap Confidence
    Intervals"). Where all values are equal, resampling would give an interval without width:
    there the interval reaches as far as if the questions that may go unseen in a sample of this
    size (Wilson's upper bound for 0 of Q) all had the lowest, or all the highest, value. For a
    perfect accuracy that is Wilson's interval.
    """
    if np.allclose(values, values[0]):
        unseen = float(stats.binomtest(0, len(values)).proportion_ci(method="wilson").high)
        value = float(values[0])
        return value + unseen * (lowest - value), value + unseen * (highest - value)
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=_batch(values),
        rng=np.random.default_rng(_RNG_SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def paired_p_value(differences: Floats) -> float:
    """The two-sided p-value of no difference, by flipping the signs of (Q,) ``differences``.

    If two conditions were interchangeable, each question's difference would have been as likely
    the other way round. Questions without a difference cannot change the outcome and are left
    out; where few are left, all their sign patterns are tried and the p-value is exact.
    """
    nonzero = differences[~np.isclose(differences, 0)]
    if len(nonzero) < 2:  # one difference is as likely this way as that
        return 1.0
    result = stats.permutation_test(
        (nonzero,),
        lambda sample, axis: np.sum(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=_batch(nonzero),
        rng=np.random.default_rng(_RNG_SEED),
    )
    return float(result.pvalue)


def chance_p_value(votes: Floats, questions: AnsweredQuestions) -> float:
    """The two-sided p-value of "the answers have nothing to do with the questions".

    ``votes`` is (Q, C): the share of seeds that chose each choice. They are held fixed and
    scored against answer keys drawn evenly at random. So seeds that agree with each other are
    not counted as independent evidence, and for one seed this is the binomial test.
    """
    rng = np.random.default_rng(_RNG_SEED)
    rows = np.arange(len(votes))
    result = stats.monte_carlo_test(  # type: ignore[call-overload]  # stubs miss `axis`
        questions.answers,
        rvs=lambda size: rng.integers(questions.choices, size=size),
        statistic=lambda keys, axis: votes[rows, keys.astype(np.int64)].mean(axis=axis),
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=_batch(votes),
    )
    return float(result.pvalue)


def detectable_difference(differences: Floats, variance_of_seeds: float = 0.0) -> float | None:
    """The smallest true difference that such a study detects in 4 of 5 cases; None = it cannot.

    That is (z_0.975 + z_0.8) times the standard error: power 0.8 of a two-sided test at 0.05
    (Cohen 1988, "Statistical Power Analysis"; Card et al. 2020, "With Little Power Comes Great
    Responsibility", for its use here). The test flips signs of questions, so nothing that rests on
    fewer than six of them is ever detected, however small their variance.

    Args:
        differences: (Q,) of two conditions, whose variance is taken for that of all such studies.
        variance_of_seeds: what other seeds add to the variance of the mean.
    """
    questions = len(differences)
    if questions < _FEWEST_DIFFERENT:
        return None
    variance = float(differences.var(ddof=1)) / questions + variance_of_seeds
    by_variance = float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * math.sqrt(variance)
    smallest = max(by_variance, _FEWEST_DIFFERENT / questions)
    return smallest if smallest <= 1 else None


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values after Holm's correction for testing them all."""
    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def _batch(values: Floats) -> int:
    """How many resamples fit into memory at once."""
    return max(1, _VALUES_AT_ONCE // len(values))
