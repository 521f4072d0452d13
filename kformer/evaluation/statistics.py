"""Intervals, p-values and power of paired answers to a sample of questions.

The unit is the question. The seeds of a condition answer the same questions, so their answers are
averaged first, question by question; all here works on one value a question and treats the
questions as a sample of all questions of their kind. What other seeds might give is in
`kformer.evaluation.standard_error`.

Shapes: Q questions.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from kformer.evaluation.answers import Floats
from kformer.evaluation.standard_error import StandardError, standard_error

RESAMPLES = 19_999  # the smallest p-value that a resampling test can give is 2 / 20,000
RNG_SEED = 0  # fixed: the same predictions give the same comparison, byte for byte
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
        n_resamples=RESAMPLES,
        batch=batch_of(values),
        rng=np.random.default_rng(RNG_SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def paired_p_value(differences: Floats, error: StandardError) -> float:
    """The two-sided p-value of no difference between two conditions, had other questions been asked
    and other seeds been drawn.

    It is the larger of two. By flipping the signs of (Q,) ``differences``: exact, but for the
    models that were trained. And by Student's t with an ``error`` that has the seeds in it, where
    there are several: by the first alone a method is called different from itself far too often
    where its seeds differ (`benchmarks/null_studies.py`).
    """
    by_signs = sign_flip_p_value(differences)
    if not error.has_seeds or not error.value:
        return by_signs
    by_t = 2 * stats.t.sf(abs(differences.mean()) / error.value, error.freedom)
    return max(by_signs, float(by_t))


def sign_flip_p_value(differences: Floats) -> float:
    """The two-sided p-value of (Q,) ``differences`` that are as likely the other way round.

    Questions without a difference cannot change the outcome and are left out; where few are left,
    all their sign patterns are tried and the p-value is exact.
    """
    nonzero = differences[~np.isclose(differences, 0)]
    if len(nonzero) < 2:  # one difference is as likely this way as that
        return 1.0
    result = stats.permutation_test(
        (nonzero,),
        lambda sample, axis: np.sum(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=batch_of(nonzero),
        rng=np.random.default_rng(RNG_SEED),
    )
    return float(result.pvalue)


def detectable_difference(differences: Floats, error: StandardError | None = None) -> float | None:
    """The smallest true difference that such a study detects in 4 of 5 cases; None = it cannot.

    That is (t_0.975 + t_0.8) times the standard error: power 0.8 of a two-sided test at 0.05
    (Cohen 1988, "Statistical Power Analysis"; Card et al. 2020, "With Little Power Comes Great
    Responsibility", for its use here). The test flips signs of questions, so nothing that rests on
    fewer than six of them is ever detected, however small their variance.

    Args:
        differences: (Q,) of two conditions, whose variance is taken for that of all such studies.
        error: the standard error with seeds; None = the same seeds each time.
    """
    questions = len(differences)
    if questions < _FEWEST_DIFFERENT:
        return None
    error = error or standard_error(differences)
    multiple = float(stats.t.ppf(0.975, error.freedom) + stats.t.ppf(0.8, error.freedom))
    smallest = max(multiple * error.value, _FEWEST_DIFFERENT / questions)
    return smallest if smallest <= 1 else None


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values after Holm's correction for testing them all."""
    if not p_values:
        return []
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def batch_of(values: Floats) -> int:
    """How many resamples of (Q, …) ``values`` fit into memory at once."""
    return max(1, _VALUES_AT_ONCE // len(values))
