"""Conditions that answered the same questions: their accuracies, differences and shares.

Shapes: Q questions, S seeds, R resampled studies.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np

from kformer.evaluation.answers import Floats
from kformer.evaluation.resampling import middle_95, resampled_accuracies
from kformer.evaluation.results import Difference, Interval, PairResult, Share
from kformer.evaluation.standard_error import StandardError, standard_error, variance_of_seeds
from kformer.evaluation.statistics import (
    detectable_difference,
    holm,
    mean_interval,
    paired_p_value,
)
from kformer.progress import track

Pair = tuple[str, str]


class PairedConditions:
    """The conditions of a study, compared question by question.

    Args:
        right: (S, Q) where each run of each condition was right; Q is the same for all.
    """

    def __init__(self, right: Mapping[str, Floats]) -> None:
        self._scores = {name: table.mean(axis=0) for name, table in right.items()}
        self._of_seeds = {name: variance_of_seeds(table) for name, table in right.items()}
        self._resampled = resampled_accuracies(right)
        self._p_values: dict[frozenset[str], float] = {}

    def accuracy_intervals(self, condition: str) -> tuple[Interval, Interval]:
        """The 95 % intervals of an accuracy: over questions alone, and over seeds as well."""
        scores = self._scores[condition]
        alone = mean_interval(scores, 0, 1)
        error = standard_error(scores, [self._of_seeds[condition]])
        return alone, _with_seeds(alone, error, self._resampled[condition], lowest=0)

    def differences(self, pairs: Iterable[Pair]) -> dict[Pair, Difference]:
        """How the first condition of each pair differs from the second.

        The pairs are one planned family: Holm's correction is for all of them.
        """
        found = {pair: self._difference(*pair) for pair in dict.fromkeys(pairs)}
        corrected = holm([difference.p_value for difference in found.values()])
        return {
            pair: difference.model_copy(update={"p_holm": p})
            for (pair, difference), p in zip(found.items(), corrected, strict=True)
        }

    def all_pairs(self) -> list[PairResult]:
        """How every two conditions differ; Holm's correction is for all these pairs."""
        pairs = list(combinations(self._scores, 2))
        p_values = [
            self._p_value(*pair)
            for pair in track(pairs, "comparing pairs of conditions", len(pairs))
        ]
        return [
            PairResult(
                condition=one,
                other=other,
                delta=float((self._scores[one] - self._scores[other]).mean()),
                p_value=p_value,
                p_holm=p_holm,
            )
            for (one, other), p_value, p_holm in zip(pairs, p_values, holm(p_values), strict=True)
        ]

    def _p_value(self, one: str, other: str) -> float:
        """Of a pair, whichever of the two comes first; it takes seconds, so it is kept."""
        pair = frozenset({one, other})
        if pair not in self._p_values:
            differences = self._scores[one] - self._scores[other]
            error = self._error(differences, one, other)
            self._p_values[pair] = paired_p_value(differences, error)
        return self._p_values[pair]

    def share(self, condition: str, gold: str, baseline: str, gain_of_gold: Difference) -> Share:
        """The gain of a condition over the baseline, by that of the condition with gold facts.

        The interval is that of the ratio in resampled studies, which have all three conditions.
        """
        if gain_of_gold.ci95_with_seeds[0] <= 0:
            reason = f"no gain of {gold} over {baseline} is certain"
            return Share(value=None, ci95=None, unknown_because=reason)
        gain = float((self._scores[condition] - self._scores[baseline]).mean())
        shares = self._gains(condition, baseline) / self._gains(gold, baseline)
        known = shares[np.isfinite(shares)]
        return Share(value=gain / gain_of_gold.delta, ci95=middle_95(known), unknown_because=None)

    def _gains(self, condition: str, baseline: str) -> Floats:
        """The gain in each resampled study, stretched for few seeds."""
        differences = self._scores[condition] - self._scores[baseline]
        error = self._error(differences, condition, baseline)
        return _stretched(self._resampled[condition] - self._resampled[baseline], error)

    def _difference(self, one: str, other: str) -> Difference:
        differences = self._scores[one] - self._scores[other]
        alone = mean_interval(differences, -1, 1)
        error = self._error(differences, one, other)
        resampled = self._resampled[one] - self._resampled[other]
        p_value = self._p_value(one, other)
        return Difference(
            delta=float(differences.mean()),
            ci95=alone,
            ci95_with_seeds=_with_seeds(alone, error, resampled, lowest=-1),
            p_value=p_value,
            p_holm=p_value,
            detectable=detectable_difference(differences),
            detectable_with_seeds=detectable_difference(differences, error),
        )

    def _error(self, differences: Floats, one: str, other: str) -> StandardError:
        return standard_error(differences, [self._of_seeds[one], self._of_seeds[other]])


def _with_seeds(
    alone: Interval, error: StandardError, resampled: Floats, lowest: float
) -> Interval:
    """The interval over questions and seeds; no narrower than that over questions ``alone``, and
    the same where there is one seed.

    How far a few seeds differ is known so badly that the middle of resampled studies is too narrow:
    it is stretched as Student's t is wider than the normal distribution.
    """
    if not error.has_seeds:
        return alone
    low, high = middle_95(_stretched(resampled, error))
    return max(lowest, min(alone[0], low)), min(1.0, max(alone[1], high))


def _stretched(resampled: Floats, error: StandardError) -> Floats:
    """Resampled studies as far from their mean as few seeds demand; with one seed as they are."""
    if not error.has_seeds:
        return resampled
    middle = resampled.mean()
    stretched: Floats = middle + error.stretch * (resampled - middle)
    return stretched
