"""The statistics, against numbers that can be had by hand or from another method."""

import numpy as np
import pytest
from scipy import stats

from kformer.evaluation.standard_error import StandardError, standard_error
from kformer.evaluation.statistics import (
    detectable_difference,
    holm,
    mean_interval,
    paired_p_value,
    sign_flip_p_value,
)


def test_interval_of_a_perfect_accuracy_is_wilsons():
    wilson = stats.binomtest(40, 40).proportion_ci(method="wilson")
    assert mean_interval(np.ones(40), 0, 1) == pytest.approx((wilson.low, wilson.high))
    assert mean_interval(np.zeros(40), 0, 1) == pytest.approx((1 - wilson.high, 1 - wilson.low))


def test_interval_of_equal_differences_is_not_a_point():
    low, high = mean_interval(np.zeros(100), -1, 1)
    assert -0.05 < low < 0 < high < 0.05


def test_interval_agrees_with_normal_theory():
    values = np.repeat([0.0, 1.0], [300, 700])
    margin = 1.96 * np.sqrt(0.7 * 0.3 / 1000)
    assert mean_interval(values, 0, 1) == pytest.approx((0.7 - margin, 0.7 + margin), abs=0.003)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(7)
    intervals = [mean_interval((rng.random(80) < 0.9).astype(float), 0, 1) for _ in range(150)]
    covered = np.mean([low <= 0.9 <= high for low, high in intervals])
    assert 0.89 <= covered <= 0.995


def test_interval_of_a_single_question():
    low, high = mean_interval(np.array([1.0]), 0, 1)
    assert 0 <= low < 0.5
    assert high == 1


def test_sign_flips_are_exact_where_few_questions_differ():
    # All five of one sign: 2 of the 2^5 patterns are as extreme.
    assert sign_flip_p_value(np.array([1.0, 1, 1, 1, 1, 0, 0, 0])) == pytest.approx(2 / 32)
    # Four against one: 1 + 5 patterns in each tail.
    assert sign_flip_p_value(np.array([1.0, 1, 1, 1, -1, 0])) == pytest.approx(12 / 32)


@pytest.mark.parametrize("differences", [[0, 0, 0], [1, 0, 0], [1, -1, 0], [1]])
def test_too_few_differences_cannot_tell(differences):
    assert sign_flip_p_value(np.array(differences, dtype=float)) == 1


def test_sign_flips_agree_with_mcnemar_on_one_seed():
    differences = np.repeat([1.0, -1.0, 0.0], [60, 35, 400])
    exact = stats.binomtest(60, 95).pvalue
    assert sign_flip_p_value(differences) == pytest.approx(exact, abs=0.005)


def test_sign_flips_find_nothing_between_equals_as_often_as_they_should():
    rng = np.random.default_rng(11)
    p_values = [sign_flip_p_value(rng.choice([-1.0, 0, 1.0], size=60)) for _ in range(100)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.1


def test_power_is_what_the_formula_says():
    differences = np.repeat([1.0, 0.0, -1.0], [200, 600, 200])
    error = np.std(differences, ddof=1) / np.sqrt(1000)
    # 2.8016 of the normal distribution, a little more of Student's t.
    assert detectable_difference(differences) == pytest.approx(2.8016 * error, rel=2e-3)
    seeds = StandardError(0.02, freedom=2.0, has_seeds=True)
    assert detectable_difference(differences, seeds) == pytest.approx(
        (4.3027 + 1.0607) * 0.02, rel=1e-4
    )


def test_a_detectable_difference_is_detected_in_four_of_five_studies():
    rng = np.random.default_rng(3)
    smallest = detectable_difference(np.repeat([-1.0, 0.0, 1.0], [60, 280, 60]))
    assert smallest is not None
    chances = [0.15 - smallest / 2, 0.7, 0.15 + smallest / 2]
    studies = rng.multinomial(400, chances, size=1000)
    # With one seed, flipping signs is this test.
    detected = [stats.binomtest(int(up), int(down + up)).pvalue < 0.05 for down, _, up in studies]
    assert np.mean(detected) == pytest.approx(0.8, abs=0.04)


def test_seeds_that_differ_have_a_part_in_the_p_value():
    differences = np.repeat([1.0, -1.0, 0.0], [60, 35, 400])
    by_signs = sign_flip_p_value(differences)
    alone = standard_error(differences)
    assert paired_p_value(differences, alone) == by_signs
    small = StandardError(alone.value / 2, 100.0, has_seeds=True)
    assert paired_p_value(differences, small) == by_signs
    few = StandardError(0.03, freedom=2.0, has_seeds=True)
    t = differences.mean() / 0.03
    assert paired_p_value(differences, few) == pytest.approx(2 * stats.t.sf(t, 2))
    assert paired_p_value(np.zeros(9), few) == 1


def test_what_rests_on_fewer_than_six_questions_is_never_detectable():
    assert detectable_difference(np.zeros(100)) == pytest.approx(6 / 100)
    assert sign_flip_p_value(np.repeat([1.0, 0.0], [5, 95])) > 0.05
    assert sign_flip_p_value(np.repeat([1.0, 0.0], [6, 94])) < 0.05
    assert detectable_difference(np.zeros(6)) == 1
    assert detectable_difference(np.array([1.0, -1, 1, -1, 1])) is None
    assert detectable_difference(np.array([1.0, -1] * 3)) is None  # not even the largest


def test_holm_of_a_family():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
