"""The settings of every condition, for whoever looks at its runs: written once for each study."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kformer.io.file_writing import read_memory, write_json
from kformer.study import paths

if TYPE_CHECKING:
    from kformer.study.experiment import Condition
    from kformer.study.layout import Layout


class ConditionSettings(NamedTuple):
    """The settings of a condition.

    Attributes:
        read: those that its runs depend on.
        all: also those that nothing reads.
        baseline: all those of the baseline.
    """

    read: Mapping[str, Any]
    all: Mapping[str, Any]
    baseline: Mapping[str, Any]


def write_conditions(study: "Layout") -> None:
    """Writes the settings of each condition, and which is the baseline."""
    conditions = {
        name: {"read": _read_settings(condition), "all": _all_settings(condition)}
        for name, condition in study.conditions.items()
    }
    content = {"baseline": study.experiment.baseline, "conditions": conditions}
    write_json(paths.saved_conditions(study.folder), content)


def settings_of_condition(config: Path, name: str) -> ConditionSettings | None:
    """The settings of a condition, where `write_conditions` wrote them beside the config."""
    written = read_memory(paths.saved_conditions(config.parent))
    try:
        own = written["conditions"][name]
        baseline = written["conditions"][written["baseline"]]
        return ConditionSettings(own["read"], own["all"], baseline["all"])
    except (KeyError, TypeError):  # of another study, or damaged
        return None


def _read_settings(condition: "Condition") -> dict[str, Any]:
    settings: dict[str, Any] = {"answer_by": condition.answer_by}
    if condition.uses_facts:
        retrieval = condition.retrieval
        settings["knowledge"] = _knowledge(condition)
        settings["retrieval"] = {**retrieval.relevant_settings(), "control": retrieval.control}
    if condition.answer_by == "model":
        settings |= condition.train_settings.relevant_settings()
    return settings


def _all_settings(condition: "Condition") -> dict[str, Any]:
    return condition.model_dump(mode="json") | {"knowledge": _knowledge(condition)}


def _knowledge(condition: "Condition") -> str:
    return "+".join(reader.label for reader in condition.knowledge)
