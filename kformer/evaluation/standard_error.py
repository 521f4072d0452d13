"""How far a mean over questions and seeds would be elsewhere: other questions, other seeds.

The answers of a condition are a crossed table, each seed answers each question. How much of the
difference between seeds is more than their luck with these questions is estimated as in a two-way
analysis of variance with random effects (Searle, Casella, McCulloch 1992, "Variance Components");
the degrees of freedom of the sum are Satterthwaite's (1946, "An approximate distribution of
estimates of variance components").

Shapes: S seeds, Q questions.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

from kformer.evaluation.answers import Floats


class VarianceOfSeeds(NamedTuple):
    """What the seeds of a condition add to the variance of its accuracy."""

    seeds: int
    observed: float
    """the variance of the accuracies of seeds, by the number of seeds"""
    beyond_noise: float
    """the part of it that is no luck with these questions; never below 0"""


class StandardError(NamedTuple):
    """The standard error of a mean, and how well it is known."""

    value: float
    freedom: float
    """degrees of freedom"""
    has_seeds: bool
    """whether seeds have a part in it"""

    @property
    def stretch(self) -> float:
        """How much wider Student's t is than the normal distribution, at 95 %."""
        return float(stats.t.ppf(0.975, self.freedom) / stats.norm.ppf(0.975))


def variance_of_seeds(right: Floats) -> VarianceOfSeeds:
    """What the seeds of an (S, Q) table of right answers add to the variance of its mean.

    Seeds that are equally good still get other questions right. That much variance, had from what
    is left of the table when the means of its rows and columns are taken off, is no effect of the
    seed.
    """
    seeds, questions = right.shape
    if seeds == 1 or questions == 1:
        return VarianceOfSeeds(seeds, 0.0, 0.0)
    accuracies = right.mean(axis=1)
    noise = right - right.mean(axis=0) - (accuracies - accuracies.mean())[:, None]
    variance_of_noise = float((noise**2).sum()) / ((seeds - 1) * (questions - 1)) / questions
    observed = float(accuracies.var(ddof=1))
    beyond = max(0.0, observed - variance_of_noise)
    return VarianceOfSeeds(seeds, observed / seeds, beyond / seeds)


def standard_error(values: Floats, of_seeds: Sequence[VarianceOfSeeds] = ()) -> StandardError:
    """That of the mean of (Q,) ``values``, each of which is a mean over seeds or a difference of
    two such means.

    Args:
        of_seeds: of each condition that the values are of.
    """
    questions = len(values)
    of_questions = float(values.var(ddof=1)) / questions if questions > 1 else 0.0
    variance = of_questions + sum(each.beyond_noise for each in of_seeds)
    # The error of each estimated part; that of the noise, from all questions, is nothing to it.
    squares = of_questions**2 / max(questions - 1, 1) + sum(
        each.observed**2 / (each.seeds - 1) for each in of_seeds if each.seeds > 1
    )
    freedom = variance**2 / squares if squares else math.inf
    has_seeds = any(each.observed for each in of_seeds)
    return StandardError(math.sqrt(variance), min(max(freedom, 1.0), questions - 1.0), has_seeds)
