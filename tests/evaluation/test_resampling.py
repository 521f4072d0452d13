"""Other questions and other seeds, in simulated studies whose truth is known.

A question is right with probability ``0.5 + question + seed``; all else is noise.
"""

import time

import numpy as np
import pytest

from kformer.evaluation.resampling import middle_95, resampled_accuracies, seed_effects


def study(rng, seeds, questions, spread_of_seeds=0.0, spread_of_questions=0.2):
    """(S, Q) right answers; effects are evenly spread with these standard deviations."""
    of_question = rng.uniform(-1, 1, size=questions) * spread_of_questions * np.sqrt(3)
    of_seed = rng.uniform(-1, 1, size=(seeds, 1)) * spread_of_seeds * np.sqrt(3)
    return (rng.random((seeds, questions)) < 0.5 + of_question + of_seed).astype(float)


def test_effects_of_seeds_have_the_variance_that_they_were_given_on_average():
    rng = np.random.default_rng(1)
    variances = [np.mean(seed_effects(study(rng, 4, 300, 0.05)) ** 2) for _ in range(400)]
    assert np.mean(variances) == pytest.approx(0.05**2, rel=0.1)


def test_seeds_that_differ_by_noise_alone_have_hardly_any_effect():
    rng = np.random.default_rng(2)
    effects = [seed_effects(study(rng, 3, 300)) for _ in range(200)]
    # The accuracies of such seeds themselves differ by 0.027.
    assert np.sqrt(np.mean(np.square(effects))) < 0.02
    assert np.mean([not each.any() for each in effects]) > 0.4
    assert np.mean(effects[0]) == pytest.approx(0)


@pytest.mark.parametrize("right", [np.eye(5)[:1], np.ones((3, 5)), np.array([[1.0], [0.0]])])
def test_one_seed_one_question_or_equal_seeds_show_no_effect(right):
    assert not seed_effects(right).any()


def test_resampled_studies_vary_as_studies_do():
    rng = np.random.default_rng(3)
    true = np.std([study(rng, 5, 200, 0.05).mean() for _ in range(1000)])
    found = [resampled_accuracies({"x": study(rng, 5, 200, 0.05)})["x"].var() for _ in range(30)]
    assert np.sqrt(np.mean(found)) == pytest.approx(true, rel=0.12)


def covers_the_truth(right):
    low, high = middle_95(resampled_accuracies({"x": right})["x"])
    return low <= 0.5 <= high


@pytest.mark.parametrize(("spread_of_seeds", "lowest"), [(0.0, 0.9), (0.03, 0.85)])
def test_the_interval_with_seeds_covers_the_truth(spread_of_seeds, lowest):
    """Nearly as often as it says where seeds differ as much as samples of questions do: a variance
    that is estimated from five of them is itself rough."""
    rng = np.random.default_rng(4)
    covered = [covers_the_truth(study(rng, 5, 200, spread_of_seeds)) for _ in range(80)]
    assert lowest <= np.mean(covered) <= 0.99


def test_over_questions_alone_the_truth_is_missed_where_seeds_differ():
    rng = np.random.default_rng(5)
    studies = [study(rng, 4, 400, 0.06) for _ in range(25)]
    with_seeds = [covers_the_truth(right) for right in studies]
    alone = [covers_the_truth(right.mean(axis=0, keepdims=True)) for right in studies]
    assert np.mean(alone) < 0.7 < np.mean(with_seeds)


def test_conditions_share_their_resampled_questions_but_not_their_seeds():
    right = study(np.random.default_rng(6), 4, 300, 0.1)
    found = resampled_accuracies({"one": right, "same": right})
    one_seed = resampled_accuracies({"one": right[:1], "same": right[:1]})
    assert (one_seed["one"] == one_seed["same"]).all()
    spread = np.std(found["one"] - found["same"])
    assert spread == pytest.approx(np.sqrt(2 * np.mean(seed_effects(right) ** 2) / 4), rel=0.05)


def test_five_seeds_of_two_thousand_questions_take_less_than_a_second():
    right = study(np.random.default_rng(7), 5, 2000, 0.02)
    began = time.process_time()
    resampled_accuracies({"x": right})
    assert time.process_time() - began < 1
