"""The content of ``comparison.json``: accuracies, differences and shares are fractions."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat

from kformer.evaluation.ladder import RungKind

Interval = tuple[FiniteFloat, FiniteFloat]
CostMeasure = Literal["cpu_seconds", "step_seconds"]
"""A number of `TrainingSummary`: the second hangs on what else a machine does."""


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Difference(_Result):
    """One condition against another, on the same questions."""

    delta: FiniteFloat
    ci95: Interval
    """over questions alone: it holds for the seeds that were run"""
    ci95_with_seeds: Interval
    """over questions and seeds; that over questions alone where each condition has one seed"""
    p_value: FiniteFloat
    p_holm: FiniteFloat
    """corrected for the other differences of its family"""
    detectable: FiniteFloat | None
    """the smallest difference that such a study detects in 4 of 5 cases, with the same seeds; null
    where it has too few questions for any"""
    detectable_with_seeds: FiniteFloat | None
    """the same, where each such study draws its own seeds"""


class Guessing(_Result):
    """What can be had without reading the questions."""

    evenly: FiniteFloat
    """the accuracy of guessing among the choices of each question"""
    best_constant: int
    """the index of the choice that is right most often"""
    best_constant_accuracy: FiniteFloat
    key: list[FiniteFloat]
    """(C,) for which share of the questions each choice is right"""


class ReliabilityBin(_Result):
    """Answers given with like confidence."""

    answers: int
    confidence: FiniteFloat
    accuracy: FiniteFloat


class Calibration(_Result):
    """Whether answers are right as often as the model is confident of them."""

    confidence: FiniteFloat
    """the mean probability of the chosen choices"""
    error: FiniteFloat
    """expected calibration error: how far confidence and accuracy are apart, in the mean"""
    bins: list[ReliabilityBin]


class ConditionResult(_Result):
    """One condition, and how it differs from the baseline, with the fields of `Difference`; times
    are seconds."""

    condition: str
    seeds: list[int]
    seed_accuracies: list[FiniteFloat]
    accuracy_mean: FiniteFloat
    accuracy_std: FiniteFloat | None
    ci95: Interval
    ci95_with_seeds: Interval
    tied: FiniteFloat
    delta: FiniteFloat
    delta_ci95: Interval | None
    delta_ci95_with_seeds: Interval | None
    p_value: FiniteFloat | None
    p_holm: FiniteFloat | None
    detectable: FiniteFloat | None
    detectable_with_seeds: FiniteFloat | None
    p_guessing: FiniteFloat
    """of an accuracy so much above what guessing with the same preferences, and the best constant
    answer, get"""
    answers: list[FiniteFloat]
    """(C,) how often each choice was chosen, a share"""
    macro_f1: FiniteFloat
    """the mean F1 score of the choices, by their positions"""
    calibration: Calibration | None
    """null where nothing was trained, for scores are no logits"""
    seconds_per_step: FiniteFloat | None
    relative_cost: FiniteFloat | None
    train_seconds: FiniteFloat | None
    added_parameters: int | None
    validation_accuracy: FiniteFloat | None
    flops_per_question: FiniteFloat | None
    """of answering one; null where nobody counted"""

    @property
    def gain(self) -> Difference | None:
        """How it differs from the baseline; None for the baseline itself."""
        if self.delta_ci95 is None:
            return None
        names = {"ci95": "delta_ci95", "ci95_with_seeds": "delta_ci95_with_seeds"}
        fields = {name: getattr(self, names.get(name, name)) for name in Difference.model_fields}
        return Difference(**fields)


class Share(_Result):
    """How much of what gold facts give a condition gets: its gain by that of gold facts."""

    value: FiniteFloat | None
    ci95: Interval | None
    """over questions and seeds"""
    unknown_because: str | None
    """why there is no value; null where there is one"""


class ControlResult(_Result):
    """A control of a rung."""

    control: str
    """the setting `retrieval.control`"""
    condition: str
    gain: Difference | None
    """the control against the baseline; null where it is the baseline"""
    due_to_knowledge: Difference
    """the rung against its control"""
    share_of_gold: Share | None
    """null where the ladder has no gold facts"""


class RungResult(_Result):
    """A condition of a ladder."""

    kind: RungKind
    condition: str
    gain: Difference | None
    """against the baseline; null where it is the baseline"""
    share_of_gold: Share | None
    """null for gold facts themselves and the baseline, and where the ladder has no gold facts"""
    controls: list[ControlResult]


class LadderResult(_Result):
    """One method on other facts, from gold ones down."""

    name: str
    """the condition whose retrieval the ladder is about"""
    rungs: list[RungResult]

    @property
    def conditions(self) -> dict[str, list[str]]:
        """The conditions by the facts that they read: a kind of rung or, of the main rung's
        controls, the setting.

        There may be several of a kind, such as gold facts among few others and among many.
        """
        found: dict[str, list[str]] = {}
        for rung in self.rungs:
            found.setdefault(rung.kind, []).append(rung.condition)
        for control in self.main.controls:
            found.setdefault(control.control, []).append(control.condition)
        return found

    @property
    def main(self) -> RungResult:
        """The rung that the ladder is named after."""
        return next(rung for rung in self.rungs if rung.condition == self.name)


class PairResult(_Result):
    """Two conditions, neither of which need be the baseline."""

    condition: str
    other: str
    delta: FiniteFloat
    """the first above the second"""
    p_value: FiniteFloat
    p_holm: FiniteFloat
    """corrected for all pairs"""


class GroupResult(_Result):
    """Some of the questions: those that have something in common."""

    name: str
    questions: dict[str, FiniteFloat]
    """by condition, how many; not whole where seeds differ in what they read"""
    accuracies: dict[str, FiniteFloat | None]
    """by condition, the mean over seeds; null where there is no question"""
    guessing: FiniteFloat
    """what guessing evenly gets on them"""


class Breakdown(_Result):
    """The questions in groups."""

    by: str
    groups: list[GroupResult]


class Proportion(_Result):
    """A share of some questions; where a condition has several seeds, the mean over these."""

    value: FiniteFloat
    ci95: Interval
    """over questions"""
    questions: int


class UseOfFacts(_Result):
    """What the facts do to the answers of a condition, on a sample of the questions."""

    condition: str
    seeds: list[int]
    changed_without_facts: Proportion
    """of answers that are others without facts"""
    changed_with_other_facts: Proportion
    """of answers that are others with another question's facts"""
    margin_gain: FiniteFloat
    """what the facts add to the logit of the right choice minus the best other one"""
    gold_mattered_most: Proportion | None
    """of the questions that read a gold fact, those for which it adds more than any other; null
    where none did"""
    gold_by_chance: FiniteFloat | None
    """what that share would be were the fact drawn"""


class SplitComparison(_Result):
    """All conditions on the questions of one split, in the order of the config."""

    split: str
    questions: int
    guessing: Guessing
    cost_measure: CostMeasure
    """what `relative_cost` compares"""
    conditions: list[ConditionResult]
    pairs: list[PairResult]
    """every two conditions"""
    ladders: list[LadderResult]
    breakdowns: list[Breakdown]
    """those that divide the questions"""
    use_of_facts: list[UseOfFacts] = []
    """of the conditions that read facts; empty where it was not measured on this split"""

    @property
    def names(self) -> list[str]:
        """Of the conditions."""
        return [result.condition for result in self.conditions]

    def condition(self, name: str) -> ConditionResult:
        return next(result for result in self.conditions if result.condition == name)


class Comparison(SplitComparison):
    """All conditions on the first split that was evaluated, and on the others, if there are any."""

    experiment: str
    baseline: str
    versions: dict[str, str]
    other_splits: list[SplitComparison]

    @property
    def splits(self) -> list[SplitComparison]:
        return [self, *self.other_splits]
