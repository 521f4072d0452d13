"""What the report of a study is told of it, besides its results."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kformer.report.settings import About, Found, Varied
from kformer.study import paths
from kformer.study.experiment import Condition
from kformer.study.layout import Layout


def about_report(study: Layout) -> About:
    """What is known of a study before anything has run."""
    read: dict[str, list[str]] = {}
    for name, found in study.retrieval_of.items():
        read.setdefault(found.key, []).append(name)
    return About(
        dataset=study.experiment.questions.dataset,
        facts={name: study.tables_of_facts(name)["facts"] for name in study.retrieval_of},
        retrievals=[
            Found(conditions=names, numbers=paths.retrieval_report(key).numbers)
            for key, names in read.items()
        ],
        varied=list(varied_numbers(study.conditions)),
    )


def varied_numbers(conditions: Mapping[str, Condition]) -> Iterator[Varied]:
    """The numbers of the config in which some trained conditions differ, and in nothing else."""
    numbers = {
        name: dict(_numbers(condition.model_dump(mode="json")))
        for name, condition in conditions.items()
        if condition.answer_by == "model"
    }
    rest = {
        name: json.dumps(_without_numbers(conditions[name].model_dump(mode="json")), sort_keys=True)
        for name in numbers
    }
    for setting in sorted({each for found in numbers.values() for each in found}):
        alike: dict[str, dict[str, float]] = {}
        for name, found in numbers.items():
            if setting in found:
                others = {each: value for each, value in found.items() if each != setting}
                group = json.dumps([rest[name], others], sort_keys=True)
                alike.setdefault(group, {})[name] = found[setting]
        for values in alike.values():
            if len(set(values.values())) > 1:
                yield Varied(setting=setting, values=values)


def _numbers(section: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in a section of the config, by their paths."""
    if isinstance(section, dict):
        for key, value in section.items():
            yield from _numbers(value, f"{path}.{key}" if path else key)
    elif isinstance(section, int | float) and not isinstance(section, bool):
        yield path, section


def _without_numbers(section: Any) -> Any:
    """The same with all its numbers alike."""
    if isinstance(section, dict):
        return {key: _without_numbers(value) for key, value in section.items()}
    if isinstance(section, int | float) and not isinstance(section, bool):
        return "a number"
    return section
