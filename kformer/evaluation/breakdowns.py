"""Accuracy on parts of the questions: where what a method gains comes from.

Shapes: S seeds, Q questions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from kformer.evaluation.answers import AnsweredQuestions, Bools, RunAnswers, right_answers
from kformer.evaluation.results import Breakdown, GroupResult
from kformer.io.formatting import percent
from kformer.io.table_schemas import TEST_SPLITS
from kformer.io.tables import read_columns

_MOST_TYPES = 12  # more would be no table
_NO_TYPE = "(no type)"

RunsOf = Mapping[str, Sequence[RunAnswers]]
"""The runs of each condition."""
Property = Mapping[str, Sequence[str]]
"""Groups of questions: in each, by its name, the ids of questions."""


def read_properties(questions: Path) -> dict[str, Property]:
    """How a table divides the questions that are tested: by type, and by length.

    By length they are three groups, as large as equal lengths allow.
    """
    types: dict[str, list[str]] = {}
    lengths: dict[str, int] = {}
    columns = ["question_id", "split", "type", "context", "question"]
    for batch in read_columns(questions, "questions", columns):
        for row in batch.to_pylist():
            if row["split"] in TEST_SPLITS:
                types.setdefault(row["type"] or _NO_TYPE, []).append(row["question_id"])
                lengths[row["question_id"]] = len(row["context"]) + len(row["question"])
    return {"type": dict(sorted(types.items())), "length": _in_thirds(lengths)}


def _in_thirds(lengths: Mapping[str, int]) -> Property:
    if not lengths:
        return {}
    values = list(lengths.values())
    one, two = np.quantile(values, [1 / 3, 2 / 3], method="lower").astype(int).tolist()
    return {
        f"to {one:,} characters": [name for name, length in lengths.items() if length <= one],
        f"to {two:,}": [name for name, length in lengths.items() if one < length <= two],
        "longer": [name for name, length in lengths.items() if length > two],
    }


def breakdowns_of(
    questions: AnsweredQuestions, runs_of: RunsOf, properties: Mapping[str, Property]
) -> list[Breakdown]:
    """The accuracies of all conditions on groups of questions, in every way that divides them: by
    what the questions are, and by what became of them in each run.

    Args:
        properties: of the questions, by name; see `read_properties`.
    """
    by_property = {
        name: {group: _membership(questions, ids) for group, ids in groups.items()}
        for name, groups in properties.items()
    }
    return [
        Breakdown(by=name, groups=groups)
        for name, members in {**by_property, **_OUTCOMES}.items()
        if _divide(groups := list(_groups(questions, runs_of, members)))
    ]


def _divide(groups: Sequence[GroupResult]) -> bool:
    """Whether some condition has questions in several groups, and these are few enough to show."""
    conditions = groups[0].questions if groups else {}
    return len(groups) <= _MOST_TYPES and any(
        sum(group.questions[name] > 0 for group in groups) > 1 for name in conditions
    )


_Members = Mapping[str, Callable[[RunAnswers], Bools]]
"""Which questions (Q,) are in each group for a run."""

_OUTCOMES: Mapping[str, _Members] = {
    "facts": {
        "read": lambda run: run.answers.facts_read,
        "none read": lambda run: ~run.answers.facts_read,
    },
    "input": {
        "whole": lambda run: ~run.answers.was_cut,
        "cut": lambda run: run.answers.was_cut,
    },
}


def _membership(questions: AnsweredQuestions, ids: Sequence[str]) -> Callable[[RunAnswers], Bools]:
    of_group = np.isin(questions.ids, list(ids))
    return lambda run: of_group


def _groups(
    questions: AnsweredQuestions, runs_of: RunsOf, members: _Members
) -> Iterator[GroupResult]:
    """The groups that have a question in some run."""
    for name, is_member in members.items():
        masks = {
            condition: np.stack([is_member(run) for run in runs])  # (S, Q)
            for condition, runs in runs_of.items()
        }
        if any(mask.any() for mask in masks.values()):
            yield GroupResult(
                name=name,
                questions={each: float(mask.sum(axis=1).mean()) for each, mask in masks.items()},
                guessing=float(np.mean(1 / questions.choices[_in_some_run(masks)])),
                accuracies={
                    each: float(right_answers(runs_of[each])[mask].mean()) if mask.any() else None
                    for each, mask in masks.items()
                },
            )


def _in_some_run(masks: Mapping[str, Bools]) -> Bools:
    found: Bools = np.array(np.concatenate(list(masks.values())).any(axis=0))
    return found


def breakdown_header(breakdown: Breakdown) -> list[str]:
    """The header of a table: each group, with its questions where they are the same for all."""
    return ["accuracy %", *(_titled(group) for group in breakdown.groups)]


def breakdown_rows(breakdown: Breakdown, conditions: Iterable[str]) -> list[list[str]]:
    """What guessing and each condition get on each group."""
    guessing = ["guessing", *(percent(group.guessing) for group in breakdown.groups)]
    return [
        guessing,
        *([name, *(_cell(group, name) for group in breakdown.groups)] for name in conditions),
    ]


def _is_same_for_all(group: GroupResult) -> bool:
    return len(set(group.questions.values())) == 1


def _titled(group: GroupResult) -> str:
    if not _is_same_for_all(group):
        return group.name
    return f"{group.name}\n({next(iter(group.questions.values())):,.0f})"


def _cell(group: GroupResult, condition: str) -> str:
    accuracy = group.accuracies[condition]
    if accuracy is None:
        return ""
    count = "" if _is_same_for_all(group) else f" ({group.questions[condition]:,.0f})"
    return f"{percent(accuracy)}{count}"
