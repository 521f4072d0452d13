"""Whether the user's files hold questions or facts, and what reads them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kformer.config_section import validated
from kformer.errors import KformerError
from kformer.io.delimited_rows import csv_rows, tsv_rows
from kformer.io.records import JSONL, PARQUET, jsonl_records, parquet_records
from kformer.io.text_files import is_kind
from kformer.knowledge.column_names import known_columns
from kformer.knowledge.triples import plain_name
from kformer.knowledge.user_files import (
    CsvFacts,
    FactColumns,
    JsonlFacts,
    ParquetFacts,
    TsvFacts,
    TxtFacts,
    Unit,
)
from kformer.questions.columns import QuestionColumns
from kformer.questions.user_files import CsvQuestions, JsonlQuestions, ParquetQuestions

Kind = Literal["questions", "facts"]
Columns = QuestionColumns | FactColumns | Sequence[str | None]
UserReader = (
    JsonlQuestions
    | CsvQuestions
    | ParquetQuestions
    | JsonlFacts
    | CsvFacts
    | TsvFacts
    | ParquetFacts
    | TxtFacts
)

SUFFIXES = (*JSONL, ".csv", ".tsv", *PARQUET, ".txt")
_QUESTIONS = (JsonlQuestions, CsvQuestions, ParquetQuestions)
_FACTS = (JsonlFacts, CsvFacts, TsvFacts, ParquetFacts, TxtFacts)
_QUESTION_KEYS = {"question", "choices", "answer"}
_FACT_KEYS = {"text", "head", "relation", "tail"}
_RELATIONS = TsvFacts(path=".").known_relations


def first_kind(files: Sequence[Path]) -> Kind:
    """What the first file has whose records tell."""
    return next(filter(None, map(_kind_of_records, files)), kind_of(files[0]))


def kind_of(file: Path) -> Kind:
    """Whether a file has questions or facts, by its first record or else by its suffix."""
    return _kind_of_records(file) or ("questions" if is_kind(file, ".csv") else "facts")


def _kind_of_records(file: Path) -> Kind | None:
    """Whether a file has questions or facts, by its first record; None where that does not tell."""
    if is_kind(file, ".txt"):
        return "facts"
    if is_kind(file, ".csv", ".tsv"):
        return _kind_of_table(file)
    records = parquet_records(file) if is_kind(file, *PARQUET) else jsonl_records(file)
    for record in records:
        if isinstance(record.content, dict):
            keys = {key.lower() for key in record.columns or record.content}
            return "questions" if keys & _QUESTION_KEYS else "facts"
    return None


def _kind_of_table(file: Path) -> Kind | None:
    """Whether a table has questions or facts, by its first row; None where that does not tell."""
    for _, cells in tsv_rows(file) if is_kind(file, ".tsv") else csv_rows(file):
        if not isinstance(cells, KformerError):
            if not _RELATIONS.isdisjoint(map(plain_name, cells)):
                return "facts"
            if len(cells) == 1:  # under the suffix of the other kind of table, perhaps
                cells = [cell.strip('" ') for cell in re.split("[,;\t]", cells[0])]
            keys = {cell.lower() for cell in cells}
            if keys & _QUESTION_KEYS:
                return "questions"
            has_facts = keys & _FACT_KEYS or known_columns(cells) or is_kind(file, ".tsv")
            return "facts" if has_facts else None
    return None


def kind_of_columns(keys: Mapping[str, Any] | Sequence[Any]) -> Kind | None:
    """What ``columns:`` with these keys are of; None where no key is of one kind only.

    A list names the columns of a table of facts.
    """
    if not isinstance(keys, Mapping):
        return "facts"
    of_questions, of_facts = (
        section.model_fields.keys() for section in (QuestionColumns, FactColumns)
    )
    if (of_questions - of_facts) & set(keys):
        return "questions"
    return "facts" if (of_facts - of_questions) & set(keys) else None


def reader_of(
    path: Path, kind: Kind, columns: Columns | None, unit: Unit | None, file: Path
) -> UserReader:
    """The reader that a config would choose for a file.

    Args:
        path: what it is to read: the file, or the folder that it is in.
        kind: what is in the file.
        columns: which field is what.
        unit: what of a text is a fact.
        file: the file.

    Raises:
        KformerError: no reader is for such files, or ``columns`` are not for them.
    """
    readers: Sequence[type[UserReader]] = _QUESTIONS if kind == "questions" else _FACTS
    reader = next((each for each in readers if is_kind(file, *each.suffixes)), None)
    if reader is None:
        known = ", ".join(suffix for each in readers for suffix in each.suffixes)
        raise KformerError(f"{file}: unknown suffix; of {kind} known are {known}")
    given: dict[str, Any] = {"columns": columns} if columns is not None else {}
    if unit and reader is TxtFacts:
        given["unit"] = unit
    found: UserReader = validated(reader, {"path": str(path)} | given, f"{file}")
    return found
