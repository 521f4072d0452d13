"""The stage that turns a data set into the questions table."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kformer.config_section import Text, in_one_line
from kformer.errors import KformerError
from kformer.io.normal_form import in_normal_form
from kformer.io.table_schemas import SPLITS
from kformer.io.tables import Row, write_table
from kformer.questions import QuestionSource


class _Question(BaseModel):
    """A row of the questions table, as every reader must give it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    question_id: Text
    split: Literal["train", "validation", "test"]
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

    Args:
        reader: the data set.
        path: its file or folder.
        out: the table to write.

    Returns:
        the number of questions per split.

    Raises:
        KformerError: a row that is not a proper question, or a split without questions.
    """
    counts: Counter[str] = Counter()
    write_table(out, "questions", _checked(reader.read(path), path, counts))
    return {f"{split}_questions": counts[split] for split in SPLITS}


def _checked(rows: Iterable[Row], path: Path, counts: Counter[str]) -> Iterator[Row]:
    seen = set()
    for row in rows:
        try:
            question = _Question.model_validate(in_normal_form(row))
        except ValidationError as error:
            name = row.get("question_id")
            raise KformerError(f"{path}: question {name!r}: {in_one_line(error)}") from None
        if question.question_id in seen:
            raise KformerError(f"{path}: question {question.question_id!r} is there twice")
        seen.add(question.question_id)
        counts[question.split] += 1
        yield question.model_dump()
    for split in SPLITS:
        if not counts[split]:
            raise KformerError(
                f"{path}: the split {split} has no questions; every split needs some"
            )
