"""The stage that turns a data set into the questions table."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kformer.config_section import Text, in_one_line
from kformer.errors import KformerError
from kformer.io.normal_form import in_normal_form
from kformer.io.tables import Row, write_table
from kformer.questions import QuestionSource
from kformer.questions.copies import find_copies
from kformer.questions.equal_choices import find_equal_choices
from kformer.questions.known_gold_facts import share_of_known_gold_facts
from kformer.questions.split_sizes import split_sizes

_log = logging.getLogger(__name__)


class _Question(BaseModel):
    """A row of the questions table, as every reader must give it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    question_id: Text
    split: Literal["train", "validation", "test", "test_extra"]
    context: str = ""
    question: Text
    choices: Annotated[list[Text], Field(min_length=2)]
    answer: int
    type: str | None = None
    gold_facts: list[str] | None = None

    @model_validator(mode="after")
    def _answer_is_a_choice(self) -> Self:
        if not 0 <= self.answer < len(self.choices):
            last = len(self.choices) - 1
            raise ValueError(f"answer is {self.answer}, out of range 0 to {last}")
        return self


def build_questions(reader: QuestionSource, path: Path, out: Path) -> dict[str, float]:
    """Writes the questions table of a data set, all texts in normal form.

    What makes its results doubtful is logged, with the ids of a few questions.

    Args:
        reader: the data set.
        path: its file or folder.
        out: the table to write.

    Returns:
        the number of questions per split, and of those that are in two splits, or in one twice, or
        have the same choice twice; the share of test questions whose gold facts are known from
        training questions.

    Raises:
        KformerError: a row that is not a proper question, or a split without questions.
    """
    questions = list(_checked(reader.read(path), path))
    sizes = split_sizes(questions, path)
    copies, equal_choices = find_copies(questions), find_equal_choices(questions)
    for line in (*copies.lines(), *equal_choices.lines()):
        _log.warning("%s: %s", path, line)
    dropped = copies.unwanted if reader.overlap == "drop" else frozenset()
    for row in questions:
        sizes[row["split"]] -= row["question_id"] in dropped
    if emptied := [split for split, size in sizes.items() if not size]:
        raise KformerError(
            f"{path}: every question of {emptied[0]} is in another split too, so overlap: drop "
            "would leave none; add others, or set overlap: keep"
        )
    kept = [row for row in questions if row["question_id"] not in dropped]
    write_table(out, "questions", kept)
    return {
        **{f"{split}_questions": size for split, size in sizes.items()},
        **copies.counts,
        "copies_dropped": len(dropped),
        **equal_choices.counts,
        **share_of_known_gold_facts(kept),
    }


def _checked(rows: Iterable[Row], path: Path) -> Iterator[dict[str, Any]]:
    seen = set()
    for row in rows:
        try:
            question = _Question.model_validate(in_normal_form(row))
        except ValueError as error:  # also two keys that look the same
            reason = in_one_line(error) if isinstance(error, ValidationError) else f"{error}"
            name = row.get("question_id")
            raise KformerError(f"{path}: question {name!r}: {reason}") from None
        if question.question_id in seen:
            raise KformerError(f"{path}: question {question.question_id!r} is there twice")
        seen.add(question.question_id)
        yield question.model_dump()
