"""What a study found, in a few sentences: which method, by how much, how sure, at what cost, and
whether by knowledge."""

from collections.abc import Iterator

from kformer.evaluation.condition_report import (
    between,
    is_detected,
    is_significant,
    on_single_seeds,
)
from kformer.evaluation.results import (
    Comparison,
    ConditionResult,
    ControlResult,
    Difference,
)
from kformer.io.formatting import p_value, percent, points, times


def headline(comparison: Comparison) -> list[str]:
    """The sentences, the most important one first."""
    best = best_method(comparison)
    single = on_single_seeds(comparison.conditions)
    sentences = [single] if single else []
    if best is None:
        baseline = comparison.condition(comparison.baseline)
        accuracy = percent(baseline.accuracy_mean)
        what = (
            "nothing is compared"
            if len(comparison.conditions) == 1
            else "beside it there are only controls, gold facts or untrained answers"
        )
        first = f"{baseline.condition} gets {accuracy} % right; {what}."
        return [*sentences, first, *_on_search(comparison)]
    return [*sentences, *_on_best(best, comparison), *_on_search(comparison)]


def best_method(comparison: Comparison) -> ConditionResult | None:
    """The most accurate of the methods that are shown to be better than the baseline or, if there
    is none, of all methods: trained conditions but baseline, controls and gold facts."""
    methods = _methods(comparison)
    shown = [each for each in methods if each.gain and _is_better(each.gain)]
    return max(shown or methods, key=lambda result: result.accuracy_mean, default=None)


def _is_better(difference: Difference) -> bool:
    return is_detected(difference) and difference.delta > 0


def _methods(comparison: Comparison) -> list[ConditionResult]:
    """The trained conditions that somebody could use: no baseline, control, or gold facts."""
    others = {comparison.baseline}
    for ladder in comparison.ladders:
        others.update(rung.condition for rung in ladder.rungs if rung.kind != "retrieved")
        others.update(each.condition for rung in ladder.rungs for each in rung.controls)
    return [each for each in comparison.conditions if each.seeds and each.condition not in others]


def _on_best(best: ConditionResult, comparison: Comparison) -> Iterator[str]:
    gain = best.gain
    assert gain is not None  # it is not the baseline
    baseline, accuracy = comparison.baseline, percent(best.accuracy_mean)
    if not _is_better(gain):
        side = "above" if gain.delta >= 0 else "below"
        yield (
            f"No method is shown to be better than {baseline}: the best, {best.condition}, gets "
            f"{accuracy} % of {comparison.questions:,} {comparison.split} questions right, "
            f"{percent(abs(gain.delta))} points {side} ({_evidence(gain)}){_power(gain)}."
        )
        return
    cost = f", at {_cost(best, comparison)}" if best.relative_cost else ""
    yield (
        f"{best.condition} gets {accuracy} % of {comparison.questions:,} {comparison.split} "
        f"questions right, {percent(gain.delta)} points above {baseline} "
        f"({_evidence(gain)}){cost}."
    )
    yield from _on_knowledge(best, gain, comparison)
    methods = _methods(comparison)
    if equals := [each for each in methods if not _is_told_apart(each, best, comparison)]:
        names = ", ".join(f"{each.condition} ({percent(each.accuracy_mean)} %)" for each in equals)
        yield f"Not told apart from it: {names}."


def _power(difference: Difference) -> str:
    smallest = difference.detectable_with_seeds
    if is_detected(difference) or smallest is None:
        return ""
    return (
        f"; {percent(smallest)} points or more would have been seen in 4 of 5 such studies, before "
        "the correction for several comparisons"
    )


def _cost(result: ConditionResult, comparison: Comparison) -> str:
    if comparison.cost_measure == "cpu_seconds":
        return f"{times(result.relative_cost)} the CPU seconds of training"
    return (
        f"{times(result.relative_cost)} the seconds of training, which depend on what else the "
        "machine did"
    )


def _evidence(difference: Difference) -> str:
    return f"95 % CI {between(difference.ci95_with_seeds)}, p {_equals(difference.p_holm)}"


def _equals(p: float) -> str:
    text = p_value(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _on_knowledge(best: ConditionResult, gain: Difference, comparison: Comparison) -> Iterator[str]:
    """One sentence for each control, or why there is none."""
    rungs = [rung for ladder in comparison.ladders for rung in ladder.rungs]
    mine = [rung for rung in rungs if rung.condition == best.condition]
    if not mine:
        yield "Whether knowledge does it is not known: it has no control, or reads no facts."
    elif not mine[0].controls:
        yield "Whether knowledge does it is not known: it has no control."
    else:
        yield from (_on_control(control, gain, comparison) for control in mine[0].controls)


def _on_control(control: ControlResult, gain: Difference, comparison: Comparison) -> str:
    accuracy = percent(comparison.condition(control.condition).accuracy_mean)
    due = control.due_to_knowledge
    facts = "the facts of other questions" if control.control == "shuffle" else "random facts"
    evidence = f"({_evidence(due)})"
    if not _is_better(due):
        return (
            f"That knowledge does it is not shown: the same method on {facts} gets {accuracy} %, "
            f"{points(-due.delta)} points {evidence}."
        )
    if control.gain and _is_better(control.gain):
        return (
            f"Knowledge does a part of it: the same method on {facts} gets {accuracy} %, so of the "
            f"{percent(gain.delta)} points {percent(due.delta)} are due to knowledge {evidence}."
        )
    return (
        f"Knowledge does it: the same method on {facts} gets {accuracy} %, {percent(due.delta)} "
        f"points less {evidence}."
    )


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
