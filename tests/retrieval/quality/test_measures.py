"""Means and their intervals."""

import math

import pytest
from scipy import stats

from kformer.retrieval.quality.measures import Mean


def mean_of(values):
    mean = Mean()
    for value in values:
        mean.add(value)
    return mean


def test_the_margin_is_student_s():
    values = [0.1, 0.5, 0.4, 1.0] * 8
    expected = stats.t.ppf(0.975, 31) * stats.sem(values)
    assert (mean_of(values).value, mean_of(values).margin) == pytest.approx((0.5, expected))


@pytest.mark.parametrize("values", [[], [0.3], [0.3] * 40, [0.1, 0.5] * 14 + [0.3]])
def test_equal_or_too_few_values_have_no_margin(values):
    assert mean_of(values).margin is None
    assert math.isnan(mean_of(values).value) == (not values)
