"""The paired comparison of all conditions on the questions of one split."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kformer.evaluation.answers import (
    AnsweredQuestions,
    Floats,
    RunAnswers,
    right_answers,
)
from kformer.evaluation.breakdowns import Property, breakdowns_of
from kformer.evaluation.calibration import calibration_of
from kformer.evaluation.guessing import against_guessing, guessing
from kformer.evaluation.ladder import Ladder, Rung
from kformer.evaluation.paired import Pair, PairedConditions
from kformer.evaluation.results import (
    ConditionResult,
    ControlResult,
    CostMeasure,
    Difference,
    LadderResult,
    RungResult,
    Share,
    SplitComparison,
)


def compare_conditions(
    questions: AnsweredQuestions,
    runs: Sequence[RunAnswers],
    baseline: str,
    ladders: Sequence[Ladder] = (),
    properties: Mapping[str, Property] | None = None,
) -> SplitComparison:
    """Compares every condition among ``runs`` with the condition ``baseline``, which is one.

    In each ladder, every rung is also compared with its controls and with gold facts. The
    differences from the baseline are one family of tests, those from controls another one: each
    has p-values as they are and after Holm's correction for all tests of the family.

    Args:
        ladders: of conditions that are all among ``runs``.
        properties: groups of the questions, see `read_properties`; None = there are none.
    """
    by_condition: dict[str, list[RunAnswers]] = {}
    for run in runs:
        by_condition.setdefault(run.condition, []).append(run)
    right = {name: right_answers(group) for name, group in by_condition.items()}
    conditions = PairedConditions(right)
    gains = conditions.differences((name, baseline) for name in by_condition if name != baseline)
    cost = _cost_measure(runs)
    reference_cost = _mean_measure(by_condition[baseline], cost)
    return SplitComparison(
        split=questions.split,
        questions=len(questions.ids),
        guessing=guessing(questions),
        cost_measure=cost,
        conditions=[
            ConditionResult(
                condition=name,
                **_accuracy(name, group, right[name], conditions),
                **against_guessing(group, questions),
                calibration=calibration_of(group),
                **_gain(gains.get((name, baseline))),
                **_cost(group, cost, reference_cost),
            )
            for name, group in by_condition.items()
        ],
        pairs=conditions.all_pairs(),
        ladders=_ladders(ladders, conditions, baseline, gains),
        breakdowns=breakdowns_of(questions, by_condition, properties or {}),
    )


def _accuracy(
    name: str,
    runs: Sequence[RunAnswers],
    right: Floats,
    conditions: PairedConditions,
) -> dict[str, Any]:
    by_run = right.mean(axis=1)
    trained = [
        (run.seed, float(accuracy))
        for run, accuracy in zip(runs, by_run, strict=True)
        if run.seed is not None
    ]
    alone, with_seeds = conditions.accuracy_intervals(name)
    return {
        "seeds": [seed for seed, _ in trained],
        "seed_accuracies": [accuracy for _, accuracy in trained],
        "accuracy_mean": float(by_run.mean()),
        "accuracy_std": float(by_run.std(ddof=1)) if len(by_run) > 1 else None,
        "ci95": alone,
        "ci95_with_seeds": with_seeds,
        "tied": float(np.mean([run.answers.tied for run in runs])),
    }


def _gain(gain: Difference | None) -> dict[str, Any]:
    """The fields of a condition's gain; those of the baseline for None."""
    if gain is None:
        fields = dict.fromkeys(Difference.model_fields) | {"delta": 0.0}
    else:
        fields = gain.model_dump()
    renamed = {"ci95": "delta_ci95", "ci95_with_seeds": "delta_ci95_with_seeds"}
    return {renamed.get(name, name): value for name, value in fields.items()}


def _cost_measure(runs: Sequence[RunAnswers]) -> CostMeasure:
    """What training costs are compared by, a number of `TrainingSummary`.

    CPU seconds, unless a GPU has computed: other work on the machine makes steps last longer, but
    it hardly changes these.
    """
    trained = [run.training for run in runs if run.training]
    on_cpu = all(each.device == "cpu" and each.cpu_seconds is not None for each in trained)
    return "cpu_seconds" if on_cpu else "step_seconds"


def _cost(runs: Sequence[RunAnswers], measure: str, reference: float | None) -> dict[str, Any]:
    cost = _mean_measure(runs, measure)
    return {
        "seconds_per_step": _mean_measure(runs, "seconds_per_step"),
        "relative_cost": cost / reference if cost and reference else None,
        "train_seconds": _mean_measure(runs, "train_seconds"),
        "added_parameters": runs[0].training.added_parameters if runs[0].training else None,
        "validation_accuracy": _mean_measure(runs, "validation_accuracy"),
        "flops_per_question": _mean([run.flops for run in runs]),
    }


def _mean_measure(runs: Sequence[RunAnswers], name: str) -> float | None:
    return _mean([getattr(run.training, name) for run in runs if run.training])


def _mean(measured: Sequence[float | None]) -> float | None:
    values = [value for value in measured if value is not None]
    return float(np.mean(values)) if values else None


def _ladders(
    ladders: Sequence[Ladder],
    conditions: PairedConditions,
    baseline: str,
    gains: Mapping[Pair, Difference],
) -> list[LadderResult]:
    knowledge = conditions.differences(
        (rung.condition, control)
        for ladder in ladders
        for rung in ladder.rungs
        for control in rung.controls.values()
    )

    def share(condition: str, gold: str | None) -> Share | None:
        gain_of_gold = gains.get((gold, baseline)) if gold else None
        if gold is None or gain_of_gold is None or condition in (gold, baseline):
            return None
        return conditions.share(condition, gold, baseline, gain_of_gold)

    def result(rung: Rung, gold: str | None) -> RungResult:
        return RungResult(
            kind=rung.kind,
            condition=rung.condition,
            gain=gains.get((rung.condition, baseline)),
            share_of_gold=share(rung.condition, gold),
            controls=[
                ControlResult(
                    control=control,
                    condition=name,
                    gain=gains.get((name, baseline)),
                    due_to_knowledge=knowledge[rung.condition, name],
                    share_of_gold=share(name, gold),
                )
                for control, name in rung.controls.items()
            ],
        )

    return [
        LadderResult(name=ladder.name, rungs=[result(rung, ladder.gold) for rung in ladder.rungs])
        for ladder in ladders
    ]
