"""What a study found, in a few sentences: which method, by how much, how sure, at what cost, and
whether by knowledge."""

from collections.abc import Iterator

from kformer.evaluation.condition_report import is_detected, is_significant
from kformer.evaluation.results import (
    Comparison,
    ConditionResult,
    ControlResult,
    Difference,
    Interval,
    LadderResult,
)
from kformer.io.formatting import p_value, percent, points, times


def headline(comparison: Comparison) -> list[str]:
    """The sentences, the most important one first."""
    methods, best = _methods(comparison), best_method(comparison)
    sentences = []
    if comparison.has_one_seed:
        sentences.append("One seed: not a statement about a method, only about one model of it.")
    if best is None:
        baseline = comparison.condition(comparison.baseline)
        accuracy = percent(baseline.accuracy_mean)
        return [*sentences, f"{baseline.condition} gets {accuracy} % right; nothing is compared."]
    return [*sentences, *_on_best(best, methods, comparison), *_on_search(comparison)]


def best_method(comparison: Comparison) -> ConditionResult | None:
    """The trained condition with the highest accuracy but baseline, controls and gold facts."""
    return max(_methods(comparison), key=lambda result: result.accuracy_mean, default=None)


def _methods(comparison: Comparison) -> list[ConditionResult]:
    """The trained conditions that somebody could use: no baseline, control, or gold facts."""
    others = {comparison.baseline}
    for ladder in comparison.ladders:
        others.update(rung.condition for rung in ladder.rungs if rung.kind != "retrieved")
        others.update(each.condition for rung in ladder.rungs for each in rung.controls)
    return [each for each in comparison.conditions if each.seeds and each.condition not in others]


def _on_best(
    best: ConditionResult, methods: list[ConditionResult], comparison: Comparison
) -> Iterator[str]:
    gain = best.gain
    assert gain is not None  # it is not the baseline
    baseline, accuracy = comparison.baseline, percent(best.accuracy_mean)
    if not (is_detected(gain) and gain.delta > 0):
        smallest = gain.detectable_with_seeds
        seen = "" if smallest is None else f"; {percent(smallest)} points would have been seen"
        yield (
            f"No method is shown to be better than {baseline}: the best, {best.condition}, gets "
            f"{accuracy} % of {comparison.questions:,} {comparison.split} questions right, "
            f"{points(gain.delta)} points ({_evidence(gain)}){seen}."
        )
        return
    cost = f", at {_cost(best, comparison)}" if best.relative_cost else ""
    yield (
        f"{best.condition} gets {accuracy} % of {comparison.questions:,} {comparison.split} "
        f"questions right, {percent(gain.delta)} points above {baseline} "
        f"({_evidence(gain)}){cost}."
    )
    yield _on_knowledge(best, comparison)
    if equals := [each for each in methods if not _is_told_apart(each, best, comparison)]:
        names = ", ".join(f"{each.condition} ({percent(each.accuracy_mean)} %)" for each in equals)
        yield f"Not told apart from it: {names}."


def _cost(result: ConditionResult, comparison: Comparison) -> str:
    if comparison.cost_measure == "cpu_seconds":
        return f"{times(result.relative_cost)} the CPU seconds of training"
    return (
        f"{times(result.relative_cost)} the seconds of training, which hang on what else the "
        "machine did"
    )


def _evidence(difference: Difference) -> str:
    return f"95 % CI {_range(difference.ci95_with_seeds)}, p {_equals(difference.p_holm)}"


def _equals(p: float) -> str:
    text = p_value(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _range(interval: Interval) -> str:
    return " to ".join(map(points, interval))


def _on_knowledge(best: ConditionResult, comparison: Comparison) -> str:
    control = _control_of(best.condition, comparison.ladders)
    if control is None:
        return "Whether knowledge does it is not known: it has no control."
    accuracy = percent(comparison.condition(control.condition).accuracy_mean)
    due = control.due_to_knowledge
    other_facts = f"on {'other' if control.control == 'shuffle' else 'random'} facts"
    if is_detected(due) and due.delta > 0:
        return (
            f"Knowledge does it: the same method {other_facts} gets {accuracy} %, "
            f"{percent(due.delta)} points less ({_evidence(due)})."
        )
    return (
        f"That knowledge does it is not shown: the same method {other_facts} gets {accuracy} % "
        f"({points(-due.delta)} points, p {_equals(due.p_holm)})."
    )


def _control_of(condition: str, ladders: list[LadderResult]) -> ControlResult | None:
    controls = (
        control
        for ladder in ladders
        for rung in ladder.rungs
        if rung.condition == condition
        for control in rung.controls
    )
    return next(controls, None)


def _is_told_apart(one: ConditionResult, other: ConditionResult, comparison: Comparison) -> bool:
    names = {one.condition, other.condition}
    if len(names) == 1:
        return True
    pairs = (each for each in comparison.pairs if {each.condition, each.other} == names)
    return is_significant(next(pairs).p_holm)


def _on_search(comparison: Comparison) -> Iterator[str]:
    for each in comparison.conditions:
        if not each.seeds and each.condition != comparison.baseline:
            yield f"{each.condition}, which trains nothing, gets {percent(each.accuracy_mean)} %."
