"""The user's own questions: JSON lines, a table (CSV) or Parquet."""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator

from kformer.config_section import Text
from kformer.errors import KformerError
from kformer.io.record_files import JsonlFiles, ParquetFiles, RecordFiles
from kformer.io.records import Record, csv_records
from kformer.io.table_schemas import SPLITS
from kformer.io.tables import Row
from kformer.io.text_files import name_below
from kformer.questions.columns import QuestionColumns, in_order_of_letters
from kformer.questions.reader import QuestionReader, hash_fraction
from kformer.sources.user_data import UserData

# What the splits are called, here and elsewhere, also as names of files.
_AnySplit = Literal["train", "validation", "dev", "val", "valid", "test"]
_SPLITS = {name: name for name in SPLITS} | dict.fromkeys(("dev", "val", "valid"), "validation")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")  # as the Hugging Face hub numbers the parts of a split
_LETTERS = frozenset(ascii_uppercase)


def _as_split(value: Any) -> Any:
    return _SPLITS.get(value.lower(), value) if isinstance(value, str) else value


def _as_list(choices: Any) -> Any:
    """Choices by letter as a list."""
    return in_order_of_letters(choices) if isinstance(choices, dict) else choices


_ListOrLetters = (
    Annotated[list[Text], Field(min_length=2, max_length=26)]
    | Annotated[dict[str, Text], Field(min_length=2, max_length=26)]
)


def _number_or_text(answer: Any) -> Any:
    if isinstance(answer, bool) or not isinstance(answer, int | str):
        raise ValueError(f"must be an index from 0, a letter or a text (not {answer!r:.60})")
    return answer


class QuestionRow(BaseModel):
    """One of your own questions: a line of a JSON-lines file. Other keys are not read."""

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
    """The right one: its index from 0, its letter, or its text."""
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
        _ = self.answer_index
        return self

    @property
    def answer_index(self) -> int:
        """The right choice, from 0; raises ValueError if the answer means none, or several."""
        last = len(self.choices) - 1
        if isinstance(self.answer, int):
            if not 0 <= self.answer <= last:
                raise ValueError(f"answer: {self.answer} is out of range 0 to {last}")
            return self.answer
        given = self.answer.strip()
        meanings = {
            index
            for index, choice in enumerate(self.choices)
            if given in (choice.strip(), ascii_uppercase[index], str(index))
        }
        if not meanings:
            raise ValueError(
                f"answer: {given!r:.60} is neither a choice, nor a letter A to "
                f"{ascii_uppercase[last]}, nor an index 0 to {last}"
            )
        if len(meanings) > 1:
            named = " or ".join(str(each) for each in sorted(meanings))
            raise ValueError(
                f"answer: {given!r:.60} may mean choice {named}; write it another way (index from "
                "0, letter or text), or say what it is with columns: answer_is"
            )
        return meanings.pop()


class UserQuestions(UserData, QuestionReader, RecordFiles):
    """The user's own questions, in files of one format."""

    columns: QuestionColumns | None = None
    """Which field is what, for files with other names than those in docs/bring-your-own-data.md."""
    validation_share: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the questions without a split that go to validation; where all have one and none is
    in validation, share of train."""
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of the questions without a split that go to test."""
    split_seed: int = 0
    """Chooses which questions these are; those with the same context stay together."""

    @property
    def archive(self) -> str | None:
        return f"{self.dataset}_questions" if self.path is None else None

    def read(self, path: Path) -> Iterator[Row]:
        """Yields rows of the questions table.

        Raises:
            KformerError: there is no file, a record is not a question, or only some files are named
            after a split and records of others have none.
        """
        rows = []
        named = SplitNames(path)
        for file in self.files_at(path, self.suffixes):
            for record in self.records(file):
                row = as_row(record.parse(QuestionRow), record, path)
                named.add(file, row["split"])
                rows.append(row)
        named.check()
        without_split = [row for row in rows if row["split"] is None]
        shares = {"test": self.test_share, "validation": self.validation_share}
        self._assign_splits(without_split, shares)
        if not without_split and not any(row["split"] == "validation" for row in rows):
            train = [row for row in rows if row["split"] == "train"]
            self._assign_splits(train, {"validation": self.validation_share})
        yield from rows

    def _assign_splits(self, rows: Iterable[dict[str, Any]], shares: dict[str, float]) -> None:
        """Gives each split its share of the rows, in a random order, and train the rest."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            text = row["context"] or row["question"]
            groups.setdefault(" ".join(text.split()).casefold(), []).append(row)
        order = sorted(groups, key=lambda text: (hash_fraction(text, self.split_seed), text))
        splits = [
            split for split, share in shares.items() for _ in range(math.ceil(share * len(order)))
        ]
        for position, text in enumerate(order):
            for row in groups[text]:
                row["split"] = splits[position] if position < len(splits) else "train"


class JsonlQuestions(UserQuestions, JsonlFiles):
    """JSON lines; `workflow/schemas/question.schema.json` says what a line may hold."""

    dataset: Literal["jsonl"] = "jsonl"


class ParquetQuestions(UserQuestions, ParquetFiles):
    """Parquet, as data sets on the Hugging Face hub have it; a row is like a JSON line."""

    dataset: Literal["parquet"] = "parquet"


class CsvQuestions(UserQuestions):
    """A table with a header: the columns question, answer, and A, B, … for the choices."""

    suffixes = (".csv", ".tsv")
    have_header = True

    dataset: Literal["csv"] = "csv"

    def raw_records(self, path: Path) -> Iterator[Record]:
        needed = () if self.columns else ("question", "answer", "a", "b")
        for record in csv_records(path, needed):
            if self.columns or isinstance(record.content, KformerError):
                yield record
            else:
                yield record._replace(content=_with_choices(record.content))


def _with_choices(cells: dict[str, Any]) -> dict[str, Any]:
    """Cells by the lower-case names of their columns, with A, B, … collected as choices."""
    letters = {name: cell for name, cell in cells.items() if name.upper() in _LETTERS}
    content = {name.lower(): cell for name, cell in cells.items() if name not in letters}
    content["choices"] = {name.upper(): cell for name, cell in letters.items()}
    return content


class SplitNames:
    """Which files are named after a split, and which have questions without one.

    Where some are named, the others are hardly meant to be dealt out at random.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._named: Path | None = None
        self._without: Path | None = None

    def add(self, file: Path, split: str | None) -> None:
        """Notes the split of a question of a file."""
        if split is None:
            self._without = self._without or file
        elif split_of_file(self._path, file):
            self._named = self._named or file

    def check(self) -> None:
        """Raises KformerError if there are files of both kinds."""
        if self._named and self._without:
            raise KformerError(
                f"{self._without}: has questions without a split, while {self._named} is named "
                "after one; name each file after its split, or give every question a split"
            )


def split_of_file(path: Path, file: Path) -> str | None:
    """The split after which a file of a folder is named: ``dev.csv``, ``dev-00000-of-00002.csv``.

    Args:
        path: the folder; a file that is itself the path is not named after a split.
    """
    if not path.is_dir():
        return None
    name = name_below(path, file).rpartition("/")[2].lower()
    return _SPLITS.get(_SHARD.sub("", name))


def as_row(question: QuestionRow, record: Record, path: Path) -> dict[str, Any]:
    """A row of the questions table.

    Its split is None where neither the record nor, in a folder, the name of its file gives one.

    Args:
        path: the file or folder that is read; questions without an id are named by their file's
            path below it.
    """
    file = name_below(path, record.file)
    name = f"{file}-{record.line:06d}" if question.id is None else str(question.id)
    return {
        "question_id": name,
        "split": question.split or split_of_file(path, record.file),
        "context": (question.context or "").strip(),
        "question": question.question.strip(),
        "choices": [choice.strip() for choice in question.choices],
        "answer": question.answer_index,
        "type": question.type,
        "gold_facts": question.gold_facts and [fact.strip() for fact in question.gold_facts],
    }
