"""The stage that turns a data set into the questions table."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from kformer.errors import KformerError
from kformer.questions import Questions
from kformer.tables import SPLITS, Row, write_table


def build_questions(reader: Questions, folder: Path, out: Path) -> dict[str, float]:
    """Writes the questions table of a data set whose files lie in ``folder``.

    Returns:
        the number of questions per split.

    Raises:
        KformerError: a row that is no proper question, or a split without any.
    """
    counts: Counter[str] = Counter()
    write_table(out, "questions", _checked(reader.read(folder), folder, counts))
    return {f"{split}_questions": counts[split] for split in SPLITS}


def _checked(rows: Iterable[Row], folder: Path, counts: Counter[str]) -> Iterator[Row]:
    seen = set()
    for row in rows:
        if problem := _problem(row):
            raise KformerError(f"{folder}: question {row.get('question_id')!r}: {problem}")
        if row["question_id"] in seen:
            raise KformerError(f"{folder}: question {row['question_id']!r} is there twice")
        seen.add(row["question_id"])
        counts[row["split"]] += 1
        yield row
    for split in SPLITS:
        if not counts[split]:
            raise KformerError(
                f"{folder}: no questions in the split {split}; each split needs some"
            )


def _problem(row: Row) -> str | None:
    if row["split"] not in SPLITS:
        return f"split is {row['split']!r}; it must be one of {', '.join(SPLITS)}"
    choices, answer = row["choices"], row["answer"]
    if len(choices) < 2:
        return f"it has {len(choices)} choices; it needs at least 2"
    if not all(choice.strip() for choice in choices):
        return "one of its choices is empty"
    if not row["question"].strip():
        return "its question is empty"
    if answer is None:
        return "it has no answer; every question needs a label"
    if not 0 <= answer < len(choices):
        return f"its answer is {answer}, out of range 0…{len(choices) - 1}"
    return None
