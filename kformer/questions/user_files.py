"""The user's own questions: JSON lines, a table (CSV) or Parquet."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from kformer.errors import KformerError, listed
from kformer.io.record_files import JsonlFiles, ParquetFiles, RecordFiles
from kformer.io.records import NoSuchColumn, Record, csv_records, misspelt, some_records
from kformer.io.tables import Row
from kformer.io.text_files import name_below
from kformer.questions.columns import LETTERS, QuestionColumns
from kformer.questions.known_forms import columns_for
from kformer.questions.question_row import QuestionRow
from kformer.questions.question_set import QuestionSet
from kformer.questions.reader import QuestionReader
from kformer.questions.record_keys import UsualKeys
from kformer.questions.split_names import SplitNames, check_parts
from kformer.questions.unlabelled import (
    UNLABELLED,
    NoAnswer,
    all_unlabelled,
    instead_of,
    is_unlabelled,
)
from kformer.sources.user_data import UserData

_log = logging.getLogger(__name__)


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
            KformerError: there is no file, or an empty one, a record is not a question, or not
                every question can be given a split.
        """
        files = self.files_at(path, self.suffixes)
        check_parts(files)
        names = SplitNames(path, files)
        questions = QuestionSet(names)
        for file in files:
            for record in some_records(self.records(file), file, "questions"):
                try:
                    questions.add(self.as_row(record, path, names), record)
                except NoAnswer as error:
                    raise self.all_unlabelled(file, names) or error from None
        for line in (*questions.lines(), *questions.unread.lines()):
            _log.warning(line)
        yield from self.in_splits(questions)

    def as_row(self, record: Record, path: Path, names: SplitNames) -> dict[str, Any]:
        """A row of the questions table.

        Its split is None where neither the record nor the name of its file gives one. Without an
        id, a question is named by its line and by its file's path below ``path``.

        Raises:
            NoAnswer: that is all that it lacks.
            KformerError: the record is no question.
        """
        try:
            question = record.parse(QuestionRow)
        except KformerError as error:
            if is_unlabelled(record, QuestionRow, bool(self.columns)):
                raise NoAnswer(record, names) from None
            raise KformerError(f"{error}{self._hint(record, names)}") from None
        file = name_below(path, record.file)
        name = f"{file}-{record.line:06d}" if question.id is None else str(question.id)
        return {
            "question_id": name,
            "split": question.split or names.split_of(record.file),
            "context": (question.context or "").strip(),
            "question": question.question.strip(),
            "choices": [choice.strip() for choice in question.choices],
            "answer": question.answer_index,
            "type": question.type,
            "gold_facts": question.gold_facts and [fact.strip() for fact in question.gold_facts],
        }

    def _hint(self, record: Record, names: SplitNames) -> str:
        """What helps with a record that is no question, to be put behind the error."""
        content = record.content
        if isinstance(content, NoSuchColumn):
            is_of_answer = self.columns and repr(self.columns.answer) in str(content)
            instead = instead_of(record, names) if is_of_answer else ""
            return instead and f"; {UNLABELLED}; leave the file out{instead}"
        if isinstance(content, KformerError):
            return ""
        if not self.columns and (known := columns_for(record, QuestionRow)):
            return f"; {known}"
        there = {*content, *map(str.lower, record.columns or ())}
        if not self.columns and not there.issuperset(("question", "choices", "answer")):
            return f"; there are: {listed(content)}"
        return ""

    def all_unlabelled(self, file: Path, names: SplitNames) -> KformerError | None:
        """What is wrong with a file none of whose questions has an answer; None if one may."""
        return all_unlabelled(self.records(file), QuestionRow, bool(self.columns), names)

    def in_splits(self, questions: QuestionSet) -> list[dict[str, Any]]:
        """All questions, each in a split; raises as `QuestionSet.in_splits` does, and if an unread
        key of all seems to hold their splits."""
        if not self.columns or self.columns.split:
            questions.unread.refuse_splits()
        return questions.in_splits(self.test_share, self.validation_share, self.split_seed)


class JsonlQuestions(UserQuestions, JsonlFiles):
    """JSON lines; `workflow/schemas/question.schema.json` says what a line may hold."""

    dataset: Literal["jsonl"] = "jsonl"

    def raw_records(self, path: Path) -> Iterator[Record]:
        return map(UsualKeys(self.columns).in_lower_case, super().raw_records(path))


class ParquetQuestions(UserQuestions, ParquetFiles):
    """Parquet, as data sets on the Hugging Face hub have it; a row is like a JSON line."""

    dataset: Literal["parquet"] = "parquet"

    def raw_records(self, path: Path) -> Iterator[Record]:
        return map(UsualKeys(self.columns).in_lower_case, super().raw_records(path))


class CsvQuestions(UserQuestions):
    """A table with a header: the columns question, answer, and A, B, … for the choices."""

    suffixes = (".csv", ".tsv")
    have_header = True
    needed: ClassVar[tuple[str, ...]] = ("question", "answer", "a", "b")
    """Columns that a header has, in lower case, where the config names none."""

    dataset: Literal["csv"] = "csv"

    def raw_records(self, path: Path) -> Iterator[Record]:
        if self.columns:
            yield from csv_records(path)
            return
        try:
            for record in csv_records(path, self.needed):
                if isinstance(record.content, KformerError):
                    yield record
                else:
                    yield record._replace(content=_with_choices(record.content))
        except KformerError as error:  # of the header
            raise KformerError(f"{error}{_hint_on_header(path)}") from None


def _hint_on_header(path: Path) -> str:
    """What helps with a table that lacks a column, to be put behind the error."""
    first = next(csv_records(path), None)
    if first is None:
        return ""
    if known := columns_for(first, QuestionRow):
        return f"; {known}"
    header = dict.fromkeys(map(str.lower, first.columns or ()))
    lacks_more = not header.keys() >= {"question", "a", "b"}
    if lacks_more or "answer" in {*header, *misspelt(header, QuestionRow).values()}:
        return ""
    return f"; {UNLABELLED}; leave the file out{instead_of(first, SplitNames(path, [path]))}"


def _with_choices(cells: dict[str, Any]) -> dict[str, Any]:
    """Cells by the lower-case names of their columns, with A, B, … collected as choices."""
    letters = {name: cell for name, cell in cells.items() if name.upper() in LETTERS}
    content = {name.lower(): cell for name, cell in cells.items() if name not in letters}
    content["choices"] = {name.upper(): cell for name, cell in letters.items()}
    return content
