"""How far an accuracy may be in another study, one with other questions and other seeds.

A study draws two samples, questions and seeds, and each seed answers each question. An interval
over questions alone holds for the very models that were trained; one that is to hold for the method
has to draw seeds, too. Resampling both at once is the crossed, or "pigeonhole", bootstrap (Owen
2007, "The pigeonhole bootstrap"; for the bootstrap itself Efron 1979, "Bootstrap methods").

Resampled as it stands, a table of right answers counts its noise three times: which questions a
seed happens to get right is drawn with the questions, with the seeds, and with both (McCullagh
2000, "Resampling and exchangeable arrays"). Owen calls the outcome mildly conservative, but between
seeds there is often little else than that noise. So each sample has its own part here: questions
are drawn with the answers of all seeds, which has the noise in it once, and seeds are drawn by how
much they differ beyond it (`seed_effects`).

Shapes: Q questions, S seeds, R resampled studies.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from kformer.evaluation.answers import Floats
from kformer.evaluation.standard_error import variance_of_seeds

_STUDIES = 9_999  # R
_RNG_SEED = 0  # fixed: the same predictions give the same comparison, byte for byte
_VALUES_AT_ONCE = 4_000_000  # bounds the memory of resampling at some tens of MB


def seed_effects(right: Floats) -> Floats:
    """(S,) how much better or worse each seed is than their mean, for any questions.

    The accuracies of seeds on (S, Q) ``right`` differ even if all seeds are equally good, as each
    happens to get other questions right. The effects are scaled to what they differ by beyond that
    (`variance_of_seeds`): their mean square is the unbiased estimate of the variance between seeds,
    or zero.
    """
    effects: Floats = right.mean(axis=1) - right.mean()
    beyond_noise = variance_of_seeds(right).beyond_noise
    if not beyond_noise:
        return np.zeros(len(effects))
    scaled: Floats = effects * (math.sqrt(len(effects) * beyond_noise) / effects.std())
    return scaled


def resampled_accuracies(conditions: Mapping[str, Floats]) -> dict[str, Floats]:
    """(R,) the accuracy of each condition in R studies with resampled questions and seeds.

    All conditions answer the same resampled questions, which is what pairs them, so the difference
    or ratio of two of these arrays is that of two conditions in each study. Seeds are drawn for
    each condition by itself: an equal seed gives two conditions the same order of the training
    questions, but another network, which makes no better pair of it than two seeds would.

    Args:
        conditions: (S, Q) the right answers of each condition; S may differ, Q may not.
    """
    by_question = np.stack([right.mean(axis=0) for right in conditions.values()])  # (conditions, Q)
    counts = _counts_of_questions(by_question.shape[1])
    accuracies = np.concatenate([each @ by_question.T for each in counts]) / by_question.shape[1]
    generators = np.random.default_rng(_RNG_SEED).spawn(len(conditions))
    return {
        name: accuracies[:, column] + _resampled_means(seed_effects(conditions[name]), generator)
        for column, (name, generator) in enumerate(zip(conditions, generators, strict=True))
    }


def middle_95(values: Floats) -> tuple[float, float]:
    """The interval with 95 % of (R,) resampled ``values`` in its middle."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _counts_of_questions(questions: int) -> Iterator[Floats]:
    """How often each question is drawn in each study: (R, Q), in parts that fit into memory."""
    rng = np.random.default_rng(_RNG_SEED)
    at_once = max(1, _VALUES_AT_ONCE // questions)
    for start in range(0, _STUDIES, at_once):
        studies = min(at_once, _STUDIES - start)
        drawn = rng.integers(questions, size=(studies, questions))
        drawn += questions * np.arange(studies)[:, None]  # the cell of the table below
        counts = np.bincount(drawn.ravel(), minlength=studies * questions)
        yield counts.reshape(studies, questions).astype(np.float64)


def _resampled_means(effects: Floats, rng: np.random.Generator) -> Floats:
    """(R,) the mean of as many seeds as there are, drawn with replacement."""
    drawn = rng.integers(len(effects), size=(_STUDIES, len(effects)))
    means: Floats = effects[drawn].mean(axis=1)
    return means
