"""Accuracy by type of question: where what a method gains comes from."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kformer.evaluation.answers import AnsweredQuestions, Floats
from kformer.evaluation.results import SplitComparison, TypeResult
from kformer.io.formatting import percent
from kformer.io.tables import read_columns

_MOST_TYPES = 12  # more would be no table
_NO_TYPE = "(no type)"


def read_types(questions: Path) -> dict[str, str]:
    """The type of each question of a table that has one, by the question's id."""
    batches = read_columns(questions, "questions", ["question_id", "type"])
    rows = (row for batch in batches for row in batch.to_pylist())
    return {row["question_id"]: row["type"] for row in rows if row["type"]}


def accuracies_by_type(
    questions: AnsweredQuestions, right: Mapping[str, Floats], type_of: Mapping[str, str]
) -> list[TypeResult]:
    """The mean accuracy of each condition's runs on the questions of each type.

    None where questions are of one type alone, or of too many for a table.

    Args:
        right: (S, Q) where each run of each condition was right.
        type_of: the types of questions that have one, by their ids.
    """
    types = np.array([type_of.get(each, _NO_TYPE) for each in questions.ids])
    found = sorted(set(types.tolist()))
    if not 1 < len(found) <= _MOST_TYPES:
        return []
    return [
        TypeResult(
            type=each,
            questions=int((types == each).sum()),
            chance=float(np.mean(1 / questions.choices[types == each])),
            accuracies={
                name: float(table[:, types == each].mean()) for name, table in right.items()
            },
        )
        for each in found
    ]


def type_header(split: SplitComparison) -> list[str]:
    """The header of the table: each type, and how many questions it has."""
    return ["accuracy %", *(f"{each.type}\n({each.questions:,})" for each in split.by_type)]


def type_rows(split: SplitComparison) -> list[list[str]]:
    """What guessing and each condition get on each type."""
    guessing = ["guessing", *(percent(each.chance) for each in split.by_type)]
    return [
        guessing,
        *(
            [name, *(percent(each.accuracies[name]) for each in split.by_type)]
            for name in split.by_type[0].accuracies
        ),
    ]
