"""Accuracy by type of question: where what a method gains comes from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kformer.evaluation.answers import AnsweredQuestions, RunAnswers, right_answers
from kformer.evaluation.results import SplitComparison, TypeResult
from kformer.io.formatting import percent
from kformer.io.tables import read_rows

_MOST_TYPES = 12  # more would be no table
_NO_TYPE = "(no type)"


def read_types(questions: Path) -> dict[str, str]:
    """The type of each question of a table that has one, by the question's id."""
    rows = read_rows(questions, "questions")
    return {row["question_id"]: row["type"] for row in rows if row["type"]}


def accuracies_by_type(
    questions: AnsweredQuestions, runs: Sequence[RunAnswers], type_of: Mapping[str, str]
) -> list[TypeResult]:
    """The mean accuracy of each condition's runs on the questions of each type.

    None where questions are of one type alone, or of too many for a table.
    """
    types = np.array([type_of.get(each, _NO_TYPE) for each in questions.ids])
    found = sorted(set(types.tolist()))
    if not 1 < len(found) <= _MOST_TYPES:
        return []
    of_condition: dict[str, list[RunAnswers]] = {}
    for run in runs:
        of_condition.setdefault(run.condition, []).append(run)
    right = {name: right_answers(some, questions).mean(0) for name, some in of_condition.items()}
    return [
        TypeResult(
            type=each,
            questions=int((types == each).sum()),
            chance=float(np.mean(1 / questions.choices[types == each])),
            accuracies={name: float(mean[types == each].mean()) for name, mean in right.items()},
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
