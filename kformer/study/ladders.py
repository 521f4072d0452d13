"""The ladders of an experiment, as its conditions alone tell."""

from collections.abc import Mapping
from typing import Any

from kformer.evaluation.ladder import Ladder, Rung, RungKind
from kformer.study.experiment import Condition
from kformer.study.stage_versions import key_of

_DOWNWARDS: tuple[RungKind, ...] = ("gold", "gold_among_others", "retrieved")


def ladders_of(conditions: Mapping[str, Condition]) -> list[Ladder]:
    """All ladders, in the order of their first conditions.

    A method is what reads the facts: conditions are of one method if they agree in model, training
    and knowledge, however many facts they read; a control reads as many as what it controls. Each
    of a method's retrievals is a ladder of its own, named after that condition; they share the
    rungs of gold facts. Without any, the gold facts alone are a ladder, named after the highest. A
    control of no condition at hand is in no ladder.
    """
    methods: dict[str, dict[str, Condition]] = {}
    for name, condition in conditions.items():
        if condition.answer_by == "model" and condition.uses_facts:
            methods.setdefault(_method(condition), {})[name] = condition
    return [ladder for method in methods.values() for ladder in _ladders(method)]


def _ladders(method: Mapping[str, Condition]) -> list[Ladder]:
    rungs = [
        Rung(kind=_kind(condition), condition=name, controls=_controls(condition, method))
        for name, condition in method.items()
        if not condition.retrieval.control
    ]
    rungs.sort(key=lambda rung: _DOWNWARDS.index(rung.kind))
    gold = [rung for rung in rungs if rung.kind != "retrieved"]
    retrieved = rungs[len(gold) :]
    if gold and not retrieved:
        return [Ladder(name=gold[0].condition, rungs=gold)]
    return [Ladder(name=rung.condition, rungs=[*gold, rung]) for rung in retrieved]


def _controls(condition: Condition, method: Mapping[str, Condition]) -> dict[str, str]:
    found = {
        other.retrieval.control: name
        for name, other in method.items()
        if other.retrieval.control and _facts(other) == _facts(condition)
    }
    return dict(sorted(found.items(), key=lambda item: item[0] != "shuffle"))  # the usual one first


def _facts(condition: Condition) -> tuple[dict[str, Any], int]:
    """Which facts are read, control or not."""
    return condition.retrieval.relevant_settings(), condition.model.facts


def _kind(condition: Condition) -> RungKind:
    if condition.retrieval.method != "gold":
        return "retrieved"
    return "gold_among_others" if condition.retrieval.distractors else "gold"


def _method(condition: Condition) -> str:
    settings = condition.train_settings.relevant_settings()
    settings["model"].pop("facts", None)
    return key_of("train", settings, condition.knowledge)
