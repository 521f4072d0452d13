"""The user's own questions: JSON lines, a table (CSV) or Parquet."""

import logging
from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    model_validator,
)

from kformer.config_section import Text
from kformer.errors import KformerError, listed
from kformer.io.choices import plain_choice
from kformer.io.record_files import JsonlFiles, ParquetFiles, RecordFiles
from kformer.io.records import NoSuchColumn, Record, csv_records, misspelt, some_records
from kformer.io.tables import Row
from kformer.io.text_files import name_below
from kformer.questions.columns import LETTERS, Index, QuestionColumns, in_order_of_letters
from kformer.questions.known_forms import columns_for
from kformer.questions.question_set import QuestionSet
from kformer.questions.reader import QuestionReader
from kformer.questions.split_names import SplitNames, check_parts
from kformer.questions.split_words import SPLIT_OF
from kformer.questions.unlabelled import (
    UNLABELLED,
    NoAnswer,
    all_unlabelled,
    instead_of,
    is_unlabelled,
)
from kformer.sources.user_data import UserData

_AnySplit = Literal["train", "validation", "dev", "val", "valid", "test"]
_log = logging.getLogger(__name__)


def _as_split(value: Any) -> Any:
    return SPLIT_OF.get(value.lower(), value) if isinstance(value, str) else value


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
    if isinstance(answer, str) and not answer.strip():
        raise ValueError("must not be empty")
    return answer


def _are_one_number(whole: str, other: str) -> bool:
    """Whether a text is that of a whole number, and another one that of the same: ``2.0``."""
    try:
        return float(whole) == float(other) and whole.isdecimal()
    except ValueError:
        return False


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
    answer: Annotated[
        int | str, PlainValidator(_number_or_text, json_schema_input_type=StrictInt | Text)
    ]
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
        if isinstance(self.answer, int) and not 0 <= self.answer <= last:
            raise ValueError(f"answer: {self.answer} is out of range 0 to {last}")
        if isinstance(self.answer, Index):
            return self.answer
        given = plain_choice(str(self.answer))
        meanings = {
            index
            for index, choice in enumerate(self.choices)
            if given in (plain_choice(choice), ascii_uppercase[index], str(index))
        }
        if meanings:
            meanings |= {
                i for i, choice in enumerate(self.choices) if _are_one_number(given, choice)
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
        for line in questions.lines():
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
        """All questions, each in a split; raises as `QuestionSet.in_splits` does."""
        return questions.in_splits(self.test_share, self.validation_share, self.split_seed)


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
        if self.columns:
            yield from csv_records(path)
            return
        try:
            for record in csv_records(path, ("question", "answer", "a", "b")):
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
    if "answer" in {*header, *misspelt(header, QuestionRow).values()}:
        return ""
    return f"; {UNLABELLED}; leave the file out{instead_of(first, SplitNames(path, [path]))}"


def _with_choices(cells: dict[str, Any]) -> dict[str, Any]:
    """Cells by the lower-case names of their columns, with A, B, … collected as choices."""
    letters = {name: cell for name, cell in cells.items() if name.upper() in LETTERS}
    content = {name.lower(): cell for name, cell in cells.items() if name not in letters}
    content["choices"] = {name.upper(): cell for name, cell in letters.items()}
    return content
