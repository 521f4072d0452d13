"""Conditions that answered the same questions: their accuracies, differences and shares.

Shapes: Q questions, S seeds, R resampled studies.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from kformer.evaluation.answers import Floats
from kformer.evaluation.resampling import middle_95, resampled_accuracies, seed_effects
from kformer.evaluation.results import Difference, Interval, Share
from kformer.evaluation.statistics import (
    detectable_difference,
    holm,
    mean_interval,
    paired_p_value,
)

Pair = tuple[str, str]


class PairedConditions:
    """The conditions of a study, compared question by question.

    Args:
        right: (S, Q) where each run of each condition was right; Q is the same for all.
    """

    def __init__(self, right: Mapping[str, Floats]) -> None:
        self._scores = {name: table.mean(axis=0) for name, table in right.items()}
        self._seed_effects = {name: seed_effects(table) for name, table in right.items()}
        self._resampled = resampled_accuracies(right)

    def accuracy_intervals(self, condition: str) -> tuple[Interval, Interval]:
        """The 95 % intervals of an accuracy: over questions alone, and over seeds as well."""
        alone = mean_interval(self._scores[condition], 0, 1)
        resampled = self._resampled[condition]
        return alone, self._with_seeds([condition], alone, resampled, lowest=0)

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

    def share(self, condition: str, gold: str, baseline: str, gain_of_gold: Difference) -> Share:
        """The gain of a condition over the baseline, by that of the condition with gold facts.

        The interval is that of the ratio in resampled studies, which have all three conditions.
        """
        if gain_of_gold.ci95_with_seeds[0] <= 0:
            reason = f"no gain of {gold} over {baseline} is certain"
            return Share(value=None, ci95=None, unknown_because=reason)
        gain = float((self._scores[condition] - self._scores[baseline]).mean())
        below = self._resampled[baseline]
        shares = (self._resampled[condition] - below) / (self._resampled[gold] - below)
        return Share(value=gain / gain_of_gold.delta, ci95=middle_95(shares), unknown_because=None)

    def _difference(self, one: str, other: str) -> Difference:
        differences = self._scores[one] - self._scores[other]
        alone = mean_interval(differences, -1, 1)
        resampled = self._resampled[one] - self._resampled[other]
        p_value = paired_p_value(differences)
        variance = self._variance_of_seeds(one) + self._variance_of_seeds(other)
        return Difference(
            delta=float(differences.mean()),
            ci95=alone,
            ci95_with_seeds=self._with_seeds([one, other], alone, resampled, lowest=-1),
            p_value=p_value,
            p_holm=p_value,
            detectable=detectable_difference(differences),
            detectable_with_seeds=detectable_difference(differences, variance),
        )

    def _variance_of_seeds(self, condition: str) -> float:
        """What the seeds of a condition add to the variance of its accuracy."""
        effects = self._seed_effects[condition]
        return float(np.mean(effects**2)) / len(effects)

    def _with_seeds(
        self, conditions: Iterable[str], alone: Interval, resampled: Floats, lowest: float
    ) -> Interval:
        """The interval over questions and seeds; no narrower than that over questions ``alone``,
        and the same where seeds do not differ or there is one."""
        if not any(self._seed_effects[name].any() for name in conditions):
            return alone
        low, high = middle_95(resampled)
        return max(lowest, min(alone[0], low)), min(1.0, max(alone[1], high))
