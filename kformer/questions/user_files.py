"""Questions of one's own: JSON lines, or a table (CSV)."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator

from kformer.io.records import JSONL, Record, csv_records, jsonl_records
from kformer.io.tables import SPLITS, Row
from kformer.io.text import files_below, name_below
from kformer.questions.reader import QuestionReader, drawn
from kformer.section import Text
from kformer.sources.user_data import UserData

# What the splits are called, here and elsewhere, also as names of files.
_AnySplit = Literal["train", "validation", "dev", "val", "valid", "test"]
_SPLITS = {name: name for name in SPLITS} | dict.fromkeys(("dev", "val", "valid"), "validation")
_LETTERS = frozenset(ascii_uppercase)


def _as_split(value: Any) -> Any:
    return _SPLITS.get(value.lower(), value) if isinstance(value, str) else value


def _as_list(choices: Any) -> Any:
    """Choices by letter as a list."""
    if isinstance(choices, dict):
        letters = ascii_uppercase[: len(choices)]
        if sorted(choices) != list(letters):
            raise ValueError(f"the letters of {len(choices)} choices must be {', '.join(letters)}")
        return [choices[letter] for letter in letters]
    return choices


_ListOrLetters = (
    Annotated[list[Text], Field(min_length=2, max_length=26)]
    | Annotated[dict[str, Text], Field(min_length=2, max_length=26)]
)


def _number_or_text(answer: Any) -> Any:
    if isinstance(answer, bool) or not isinstance(answer, int | str):
        raise ValueError(f"must be a position from 0, a letter or a text (not {answer!r:.60})")
    return answer


class QuestionRow(BaseModel):
    """A question of your own: one line of a JSON-lines file. Other keys are not read."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, title="Question")

    question: Text
    """What is asked."""
    choices: Annotated[
        list[Text],
        Field(min_length=2, max_length=26),
        BeforeValidator(_as_list, json_schema_input_type=_ListOrLetters),
    ]
    """The possible answers, as a list, or as an object with the letters A, B, … as keys."""
    answer: Annotated[StrictInt | Text, BeforeValidator(_number_or_text)]
    """The right one: its position from 0, its letter, or its text."""
    context: str | None = None
    """What comes before the question; cut first where an input is too long."""
    id: StrictInt | Text | None = None
    """A name that no other question has; without one, file and line are the name."""
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        BeforeValidator(_as_split, json_schema_input_type=_AnySplit | None),
    ] = None
    """Also `dev`, `val`, `valid`; without one, the file's name or `test_share` and
    `validation_share` of the config decide."""
    type: str | None = None
    """What kind of question this is."""
    gold_facts: list[Text] | None = None
    """Facts that answer it, word for word as in the knowledge, if they are known."""

    @model_validator(mode="after")
    def _has_one_answer(self) -> Self:
        _ = self.answer_position
        return self

    @property
    def answer_position(self) -> int:
        """The right choice, from 0; raises ValueError if the answer means none, or several."""
        last = len(self.choices) - 1
        if isinstance(self.answer, int):
            if not 0 <= self.answer <= last:
                raise ValueError(f"answer: {self.answer} is out of range 0 to {last}")
            return self.answer
        given = self.answer.strip()
        readings = {
            position
            for position, choice in enumerate(self.choices)
            if given in (choice.strip(), ascii_uppercase[position], str(position))
        }
        if not readings:
            raise ValueError(
                f"answer: {given!r:.60} is neither a choice, nor a letter A to "
                f"{ascii_uppercase[last]}, nor a position 0 to {last}"
            )
        if len(readings) > 1:
            named = " or ".join(str(each) for each in sorted(readings))
            raise ValueError(
                f"answer: {given!r:.60} may mean choice {named}; write it another way, as position "
                "(from 0), letter or text"
            )
        return readings.pop()


class _Own(UserData, QuestionReader):
    """Questions of one's own, in files of one kind."""

    suffixes: ClassVar[tuple[str, ...]]

    validation_share: float = Field(default=0.1, gt=0, lt=0.5)
    """How many of the questions without a split go to validation; where all have one and none is
    in validation, how many of train."""
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    """How many of the questions without a split go to test."""
    split_seed: int = 0
    """Chooses which questions these are; those with the same context stay together."""

    @property
    def archive(self) -> str | None:
        return f"{self.dataset}_questions" if self.path is None else None

    @staticmethod
    @abstractmethod
    def records(path: Path) -> Iterator[Record]:
        """Streams the records of a file."""

    def read(self, place: Path) -> Iterator[Row]:
        """Yields rows of the questions table.

        Raises:
            KformerError: there is no file, or a record is no question.
        """
        rows = [
            as_row(record.parse(QuestionRow), record, place)
            for path in files_below(place, self.suffixes)
            for record in self.records(path)
        ]
        undecided = [row for row in rows if row["split"] is None]
        self._deal(undecided, {"test": self.test_share, "validation": self.validation_share})
        if not undecided and not any(row["split"] == "validation" for row in rows):
            train = [row for row in rows if row["split"] == "train"]
            self._deal(train, {"validation": self.validation_share})
        yield from rows

    def _deal(self, rows: Iterable[dict[str, Any]], shares: dict[str, float]) -> None:
        """Gives rows their split: those drawn first to the first share, the rest to train."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            text = row["context"] or row["question"]
            groups.setdefault(" ".join(text.split()).casefold(), []).append(row)
        order = sorted(groups, key=lambda text: (drawn(text, self.split_seed), text))
        splits = [
            split for split, share in shares.items() for _ in range(math.ceil(share * len(order)))
        ]
        for position, text in enumerate(order):
            for row in groups[text]:
                row["split"] = splits[position] if position < len(splits) else "train"


class JsonlQuestions(_Own):
    """JSON lines; `workflow/schemas/question.schema.json` says what a line may hold."""

    suffixes = JSONL

    dataset: Literal["jsonl"] = "jsonl"

    @staticmethod
    def records(path: Path) -> Iterator[Record]:
        return jsonl_records(path)


class CsvQuestions(_Own):
    """A table with a header: the columns question, answer, and A, B, … for the choices."""

    suffixes = (".csv", ".tsv")

    dataset: Literal["csv"] = "csv"

    @staticmethod
    def records(path: Path) -> Iterator[Record]:
        for record in csv_records(path, ("question", "answer", "a", "b")):
            if isinstance(record.content, dict):
                yield record._replace(content=_with_choices(record.content))
            else:
                yield record


def _with_choices(cells: dict[str, Any]) -> dict[str, Any]:
    """Cells by their column, those of the columns A, B, … gathered as choices."""
    letters = {name: cell for name, cell in cells.items() if name.upper() in _LETTERS}
    content = {name.lower(): cell for name, cell in cells.items() if name not in letters}
    content["choices"] = {name.upper(): cell for name, cell in letters.items()}
    return content


def as_row(question: QuestionRow, record: Record, place: Path) -> dict[str, Any]:
    """A row of the questions table; its split is None where neither the record has one nor, in a
    folder, the name of its file is one."""
    file = name_below(place, record.file)
    of_file = _SPLITS.get(file.rpartition("/")[2].lower()) if place.is_dir() else None
    name = f"{file}-{record.line:06d}" if question.id is None else str(question.id)
    return {
        "question_id": name,
        "split": question.split or of_file,
        "context": (question.context or "").strip(),
        "question": question.question.strip(),
        "choices": [choice.strip() for choice in question.choices],
        "answer": question.answer_position,
        "type": question.type,
        "gold_facts": question.gold_facts and [fact.strip() for fact in question.gold_facts],
    }
