"""How far a mean over questions and seeds would be elsewhere."""

import numpy as np
import pytest
from scipy import stats

from kformer.evaluation.standard_error import standard_error, variance_of_seeds
from kformer.evaluation.statistics import paired_p_value


def null_study(rng, seeds, questions, spread):
    """The p-value of two conditions that are the same method: questions differ, seeds differ, the
    rest is luck."""
    ease = rng.normal(0, 1.5, questions)
    logits = ease + rng.normal(0, spread, (2, seeds, 1))
    one, other = (rng.random((*logits.shape[:2], questions)) < 1 / (1 + np.exp(-logits))) * 1.0
    difference = one.mean(axis=0) - other.mean(axis=0)
    error = standard_error(difference, [variance_of_seeds(one), variance_of_seeds(other)])
    return paired_p_value(difference, error)


def test_without_seeds_it_is_that_of_a_mean():
    values = np.random.default_rng(1).normal(size=200)
    error = standard_error(values)
    assert error.value == pytest.approx(stats.sem(values))
    assert (error.freedom, error.has_seeds) == (pytest.approx(199), False)
    p_value = 2 * stats.t.sf(abs(values.mean()) / error.value, error.freedom)
    assert p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_without_differences_between_questions_it_is_welchs():
    """Of seeds that get all questions right or none, a test of two samples of seeds is left."""
    one, other = np.array([1.0, 1, 0, 1]), np.array([0.0, 0, 1])
    tables = [np.tile(each[:, None], (1, 1000)) for each in (one, other)]
    difference = tables[0].mean(axis=0) - tables[1].mean(axis=0)
    error = standard_error(difference, [variance_of_seeds(table) for table in tables])
    welch = stats.ttest_ind(one, other, equal_var=False)
    assert error.freedom == pytest.approx(welch.df)
    assert difference.mean() / error.value == pytest.approx(welch.statistic)


def test_luck_is_no_effect_of_a_seed():
    rng = np.random.default_rng(2)
    of_seeds = [variance_of_seeds((rng.random((4, 200)) < 0.5).astype(float)) for _ in range(300)]
    assert np.mean([each.observed for each in of_seeds]) == pytest.approx(0.25 / 200 / 4, rel=0.15)
    assert np.mean([each.beyond_noise for each in of_seeds]) < 0.4 * 0.25 / 200 / 4
    assert np.median([each.beyond_noise for each in of_seeds]) < 0.1 * 0.25 / 200 / 4


def test_of_one_seed_nothing_is_known():
    assert variance_of_seeds(np.ones((1, 9))) == (1, 0, 0)
    assert variance_of_seeds(np.ones((9, 1))) == (9, 0, 0)


@pytest.mark.slow
def test_null_studies_with_two_seeds_are_called_significant_in_one_of_twenty():
    """By signs of questions alone a third of these would be, where seeds differ so much."""
    rng = np.random.default_rng(3)
    p_values = [null_study(rng, seeds=2, questions=400, spread=0.15) for _ in range(100)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.1
