"""Questions to read: one method is right, the other wrong, and these are the facts it read."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scipy.special import softmax

from kformer.errors import KformerError
from kformer.io.output_names import RunFolder
from kformer.io.tables import Row, read_columns, read_table, take_rows

CASES = 20
_RNG_SEED = 0


class ShownFact(NamedTuple):
    """A fact that was read."""

    text: str
    gain: float | None
    """what it adds to the margin of the right choice; None where that was not measured"""


@dataclass(frozen=True)
class ShownChoice:
    """A choice of a question.

    Attributes:
        probabilities: of both methods, fractions.
        chosen_by: the names of those that chose it.
        facts: that the first method read for it; none where all choices have the same.
    """

    text: str
    is_right: bool
    probabilities: tuple[float, float]
    chosen_by: Sequence[str]
    facts: Sequence[ShownFact]


@dataclass(frozen=True)
class Case:
    """A question that one of two methods answers right.

    Attributes:
        right: the method that does.
        facts: that the first method read, where all choices have the same.
    """

    question_id: str
    context: str
    question: str
    right: str
    choices: Sequence[ShownChoice]
    facts: Sequence[ShownFact]


def cases_of(one: RunFolder, other: RunFolder, questions: Path, facts: Path | None) -> list[Case]:
    """Some test questions that one of two runs answers right, half of them each, drawn at random.

    Args:
        one: the run whose facts are shown.
        other: the run that it is compared with.
        questions: the table of the questions.
        facts: the table of the facts that ``one`` read; None = it reads none.

    Raises:
        KformerError: a table cannot be read, or the questions are others.
    """
    answered = [_rows(run) for run in (one, other)]
    differing = [
        name
        for name, row in answered[0].items()
        if {row["credit"], answered[1][name]["credit"]} == {0.0, 1.0}
    ]
    drawn = _draw(differing, answered[0])
    asked = {row["question_id"]: row for row in _read_questions(questions, set(drawn))}
    for name in drawn:
        if name not in asked:
            raise KformerError(
                f"{questions}: has no question {name!r}; give the table that was answered"
            )
    texts = _texts_of(facts, [answered[0][name] for name in drawn]) if facts else {}
    gains = _gains_of(one)
    names = (one.condition, other.condition)
    return [
        _case(
            asked[name],
            [rows[name] for rows in answered],
            names,
            {fact: ShownFact(text, gains.get((name, fact))) for fact, text in texts.items()},
        )
        for name in drawn
    ]


def _rows(run: RunFolder) -> dict[str, Row]:
    rows = read_table(run.predictions, "predictions").to_pylist()
    return {row["question_id"]: row for row in rows if row["split"] == "test"}


def _draw(differing: Sequence[str], answered: Mapping[str, Row]) -> list[str]:
    """Half of them questions that the first run answers right, as far as there are so many."""
    rng = random.Random(_RNG_SEED)
    drawn: list[str] = []
    for credit in (1.0, 0.0):
        some = [name for name in differing if answered[name]["credit"] == credit]
        drawn += rng.sample(some, min(CASES // 2, len(some)))
    return drawn


def _read_questions(questions: Path, names: set[str]) -> Iterator[Row]:
    columns = ["question_id", "context", "question", "choices", "answer"]
    for batch in read_columns(questions, "questions", columns):
        yield from (row for row in batch.to_pylist() if row["question_id"] in names)


def _texts_of(facts: Path, rows: Sequence[Row]) -> dict[int, str]:
    """The texts of the facts that were read, by their ids."""
    ids = sorted({fact for row in rows for read in row["fact_ids"] for fact in read})
    read = take_rows(facts, "facts", ids)
    return {fact: row["text"] for fact, row in zip(ids, read, strict=True)}


def _gains_of(run: RunFolder) -> dict[tuple[str, int], float]:
    """What facts add to the margin, by question and fact, where the run has measured it."""
    if not run.use_of_facts.is_file():
        return {}
    rows = read_table(run.use_of_facts, "use_of_facts").to_pylist()
    return {
        (row["question_id"], fact["fact_id"]): fact["margin_gain"]
        for row in rows
        for fact in row["facts"]
    }


def _case(
    question: Row, answers: Sequence[Row], names: Sequence[str], facts: Mapping[int, ShownFact]
) -> Case:
    read = [[facts[fact] for fact in ids if fact in facts] for ids in answers[0]["fact_ids"]]
    same = all(set(each) == set(read[0]) for each in read)  # a choice orders them by what fits it
    probabilities = [softmax(row["logits"]).tolist() for row in answers]
    (right,) = (name for name, row in zip(names, answers, strict=True) if row["credit"] == 1)
    return Case(
        question["question_id"],
        question["context"],
        question["question"],
        right,
        [
            ShownChoice(
                text,
                number == question["answer"],
                (probabilities[0][number], probabilities[1][number]),
                [
                    name
                    for name, row in zip(names, answers, strict=True)
                    if row["prediction"] == number
                ],
                [] if same else read[number],
            )
            for number, text in enumerate(question["choices"])
        ],
        read[0] if same else [],
    )
