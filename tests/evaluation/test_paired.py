"""Differences between conditions, and shares of what gold facts give."""

import numpy as np
import pytest

from kformer.evaluation.paired import PairedConditions


def conditions(questions=500, seeds=2, **accuracies):
    """(S, Q) right answers of conditions by name: each gets these accuracies, seed by seed."""
    rng = np.random.default_rng(1)
    return PairedConditions(
        {
            name: (rng.random((seeds, questions)) < accuracy).astype(float)
            for name, accuracy in accuracies.items()
        }
    )


def test_with_one_seed_the_interval_over_seeds_is_that_over_questions():
    study = conditions(seeds=1, none=0.5, method=0.6)
    alone, with_seeds = study.accuracy_intervals("method")
    assert alone == with_seeds
    difference = study.differences([("method", "none")])["method", "none"]
    assert difference.ci95 == difference.ci95_with_seeds
    assert difference.detectable == difference.detectable_with_seeds


def test_seeds_that_differ_widen_intervals_and_what_is_detectable():
    rng = np.random.default_rng(2)
    apart = np.array([[0.4], [0.5], [0.6]])
    study = PairedConditions(
        {
            "none": (rng.random((3, 500)) < 0.5).astype(float),
            "method": (rng.random((3, 500)) < apart).astype(float),
        }
    )
    (low, high), (lower, higher) = study.accuracy_intervals("method")
    assert lower < low - 0.02 and higher > high + 0.02
    difference = study.differences([("method", "none")])["method", "none"]
    assert difference.detectable_with_seeds > 1.5 * difference.detectable
    low, high = difference.ci95_with_seeds
    assert low < difference.ci95[0] and high > difference.ci95[1]


def test_no_interval_is_wider_than_what_is_possible():
    right = np.ones((2, 50))
    right[1, :20] = 0
    _, (low, high) = PairedConditions({"x": right}).accuracy_intervals("x")
    assert 0 <= low < high <= 1


def test_holm_corrects_within_the_pairs_that_are_given():
    study = conditions(none=0.5, a=0.53, b=0.56)
    alone = study.differences([("a", "none")])["a", "none"]
    family = study.differences([("a", "none"), ("b", "none")])
    assert alone.p_holm == alone.p_value == family["a", "none"].p_value
    assert family["b", "none"].p_holm == pytest.approx(2 * family["b", "none"].p_value)


def test_a_share_is_the_ratio_of_gains_with_an_interval_about_as_wide_as_theory_says():
    study = conditions(questions=1000, seeds=1, none=0.3, found=0.5, gold=0.9)
    gain = study.differences([("gold", "none")])["gold", "none"]
    share = study.share("found", "gold", "none", gain)
    assert share.value == pytest.approx(1 / 3, abs=0.06)
    # Delta method, of three independent samples of answers.
    gradient = np.array([1 / 0.6, -0.2 / 0.36, -1 / 0.6 + 0.2 / 0.36])
    variance = np.array([0.25, 0.09, 0.21]) / 1000
    error = np.sqrt((gradient**2 * variance).sum())
    low, high = share.ci95
    assert low < share.value < high
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_a_share_of_no_certain_gain_is_unknown_and_says_why():
    study = conditions(questions=200, none=0.5, found=0.5, gold=0.5)
    gain = study.differences([("gold", "none")])["gold", "none"]
    share = study.share("found", "gold", "none", gain)
    assert share.value is share.ci95 is None
    assert share.unknown_because == "no gain of gold over none is certain"
