"""Questions to be answered by a trained model: one by one, or of a file, with or without answers.

They are read as `kformer.questions.user_files` reads those of a study, but for what only a study
needs: an answer, and a split.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kformer.config_section import Text, in_one_line, validated
from kformer.errors import KformerError
from kformer.io.normal_form import in_normal_form
from kformer.io.records import Record, some_records
from kformer.io.text_files import files_below, is_kind
from kformer.questions.columns import Index, QuestionColumns
from kformer.questions.question_row import QuestionRow
from kformer.questions.question_set import QuestionSet
from kformer.questions.split_names import SplitNames, check_parts
from kformer.questions.unlabelled import NoAnswer
from kformer.questions.user_files import (
    CsvQuestions,
    JsonlQuestions,
    ParquetQuestions,
    UserQuestions,
)

_FACTS = "facts"  # a key of the records


class AskedColumns(QuestionColumns):
    """Which fields of the user's files hold a question; it may have no answer."""

    def is_required(self, key: str, position: int) -> bool:
        return key != "answer" and super().is_required(key, position)


class _AskedCsv(CsvQuestions):
    needed = ("question", "a", "b")


_READERS: tuple[type[UserQuestions], ...] = (JsonlQuestions, _AskedCsv, ParquetQuestions)
_SUFFIXES = tuple(suffix for reader in _READERS for suffix in reader.suffixes)


class _AnySplit(SplitNames):
    """Names of files that may say anything: all questions are asked."""

    def split_of(self, file: Path) -> str:
        return "test"


def read_asked(path: Path, columns: AskedColumns | None = None) -> list[dict[str, Any]]:
    """The questions of a file, or of all files of a format in a folder, in their order.

    Args:
        path: the file or folder; JSON lines, CSV or Parquet, as for a study.
        columns: which field is what, for files with other names.

    Returns:
        rows of the questions table, whose ``answer`` may be None, each with its own ``facts``, a
        list of texts; None where it has none.

    Raises:
        KformerError: there are no such files, files of several formats, or what is no question.
    """
    files = files_below(path, _SUFFIXES)
    reads = next((each for each in _READERS if is_kind(files[0], *each.suffixes)), None)
    if reads is None:
        raise KformerError(f"{path}: unknown suffix; known are {', '.join(_SUFFIXES)}")
    for file in files:
        if not is_kind(file, *reads.suffixes):
            raise KformerError(
                f"{files[0]} and {file}: questions in two formats; name one of the files"
            )
    check_parts(files)
    given = {"columns": columns} if columns else {}
    reader: UserQuestions = validated(reads, {"path": str(path), **given}, str(path))
    names = _AnySplit(path, files)
    questions = QuestionSet(names)  # which refuses an id that is there twice
    for file in files:
        for record in some_records(reader.records(file), file, "questions"):
            row = _row(reader, record, path, names)
            questions.add({**row, _FACTS: _facts_of(record)}, record)
    return questions.rows


def asked_question(
    question: str, choices: Sequence[str], context: str = "", kind: str | None = None
) -> dict[str, Any]:
    """One question as `read_asked` gives them, its text as its id.

    Args:
        kind: its type; None = unknown.

    Raises:
        KformerError: it is blank, a text is not UTF-8, or there are not two choices or more.
    """
    content = {"question": question, "choices": list(choices), "context": context, "type": kind}
    answered = in_normal_form(content) | {"answer": Index(0)}
    row = validated(QuestionRow, answered, "the question")
    return {
        "question_id": row.question.strip(),
        "context": (row.context or "").strip(),
        "question": row.question.strip(),
        "choices": [choice.strip() for choice in row.choices],
        "answer": None,
        "type": row.type,
        "gold_facts": None,
        _FACTS: None,
    }


def _row(reader: UserQuestions, record: Record, path: Path, names: SplitNames) -> dict[str, Any]:
    try:
        return reader.as_row(record, path, names)
    except NoAnswer:
        assert isinstance(record.content, dict)
        answered = record._replace(content={**record.content, "answer": Index(0)})
        return {**reader.as_row(answered, path, names), "answer": None}


def _facts_of(record: Record) -> list[str] | None:
    """The facts that a record gives its question: a text, or a list of texts."""
    assert isinstance(record.content, dict)
    given = record.content.get(_FACTS)
    if given is None:
        return None
    try:
        facts = TypeAdapter(list[Text]).validate_python(
            [given] if isinstance(given, str) else given
        )
    except ValidationError as error:
        raise KformerError(
            f"{record.where}: {_FACTS}: give a text or a list of texts ({in_one_line(error)})"
        ) from None
    return [fact.strip() for fact in facts]
