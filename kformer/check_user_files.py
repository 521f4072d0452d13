"""Checking the user's own data: all problems at once, where a stage stops at the first."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from kformer.config_section import load_section
from kformer.errors import KformerError
from kformer.io.normal_form import normal_form
from kformer.io.records import JSONL, PARQUET, Record, csv_records, jsonl_records, parquet_records
from kformer.io.text_files import decoded, files_below, is_kind, raw_lines
from kformer.knowledge.user_files import (
    CsvFacts,
    FactColumns,
    FactRow,
    JsonlFacts,
    ParquetFacts,
    TsvFacts,
    UserFacts,
    as_fact,
)
from kformer.questions.columns import QuestionColumns
from kformer.questions.user_files import (
    CsvQuestions,
    JsonlQuestions,
    ParquetQuestions,
    QuestionRow,
    SplitNames,
    UserQuestions,
    as_row,
)

Kind = Literal["questions", "facts"]

_SUFFIXES = (*JSONL, ".csv", ".tsv", *PARQUET, ".txt")
_QUESTION_KEYS, _FACT_KEYS = {"question", "choices", "answer"}, {"text", "head", "tail"}
_QUESTIONS: Sequence[type[UserQuestions]] = (JsonlQuestions, CsvQuestions, ParquetQuestions)
_FACTS: Sequence[type[UserFacts]] = (JsonlFacts, CsvFacts, TsvFacts, ParquetFacts)


@dataclass
class Report:
    """What was found in a file or folder."""

    fine: Counter[str] = field(default_factory=Counter)
    """How many questions, facts and lines of text have no problem."""
    problems: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    """Questions by split; ``no split`` for those that will get one at random."""
    identical_choices: int = 0
    """Questions that have the same choice twice."""
    duplicates: int = 0
    """Facts with the text of an earlier one, which will be dropped."""
    unread_columns: Counter[str] = field(default_factory=Counter)
    """Keys or columns that are not read, with how many records have them."""


def parse_columns(text: str, kind: Kind | None, path: Path) -> QuestionColumns | FactColumns:
    """Reads ``columns:`` from JSON text, as the config has it.

    Args:
        text: JSON.
        kind: what the columns are of; None = see from their keys or, where these do not tell, from
            the files.
        path: the file or folder that they are of.

    Raises:
        KformerError: with every problem's path and what is allowed there; or the kind is to be
            seen from a file, and there is none.
    """
    if kind is None:
        keys = load_section(dict[str, Any], text, "--columns").keys()
        kind = _kind_of_columns(keys) or _first_kind(files_below(path, _SUFFIXES))
    section = QuestionColumns if kind == "questions" else FactColumns
    columns: QuestionColumns | FactColumns = load_section(section, text, "--columns")
    return columns


def check(
    path: Path,
    kind: Kind | None,
    on_problem: Callable[[str], None],
    columns: QuestionColumns | FactColumns | None = None,
) -> Report:
    """Reads the user's own questions or facts to the end.

    Args:
        path: a file, compressed or not, or a folder of them.
        kind: what they are; None = see from ``columns`` or each file.
        on_problem: is called with every problem, one line that starts with file and line.
        columns: which field is what, if they do not have the usual names.

    Raises:
        KformerError: there is nothing to read at ``path``, or ``columns`` are of the other kind.
    """
    checker = _Checker(path, on_problem, columns)
    if columns:
        kind_of_columns: Kind = "questions" if isinstance(columns, QuestionColumns) else "facts"
        if kind not in (None, kind_of_columns):
            raise KformerError(f"--columns: these are columns of {kind_of_columns}, not of {kind}")
        kind = kind_of_columns
    for file in files_below(path, _SUFFIXES):
        try:
            checker.check(file, kind)
        except KformerError as error:  # of the whole file: damaged, or without a header
            checker.problem(error)
    checker.check_splits()
    return checker.report


def summary(report: Report) -> str:
    """A report as text: what is fine, and what is worth knowing."""
    parts = [f"{count:,} {kind} are fine" for kind, count in report.fine.items()] or [
        "nothing is fine"
    ]
    if report.splits:
        splits = ", ".join(f"{split} {count:,}" for split, count in report.splits.items())
        parts[-1] += f" ({splits})"
    parts.append(f"{report.problems:,} {'problem' if report.problems == 1 else 'problems'}")
    if report.identical_choices:
        parts.append(f"{report.identical_choices:,} questions have the same choice twice")
    if report.duplicates:
        parts.append(f"{report.duplicates:,} facts are there twice and will be dropped")
    if report.unread_columns:
        keys = ", ".join(f"{key} ({count:,})" for key, count in report.unread_columns.most_common())
        parts.append(f"not read: {keys}")
    return "; ".join(parts)


class _Checker:
    def __init__(
        self,
        path: Path,
        on_problem: Callable[[str], None],
        columns: QuestionColumns | FactColumns | None,
    ) -> None:
        self.report = Report()
        self._path = path
        self._on_problem = on_problem
        self._columns = columns
        self._first_with_id: dict[str, str] = {}  # file and line, by question id
        self._facts: set[bytes] = set()
        self._split_names = SplitNames(path)

    def problem(self, error: KformerError) -> None:
        self.report.problems += 1
        self._on_problem(str(error))

    def check(self, file: Path, kind: Kind | None) -> None:
        if is_kind(file, ".txt"):
            self._check_text(file)
            return
        wanted, kind = kind or "questions or facts", kind or _kind_of(file)
        reader = _reader_of(file, kind, self._columns)
        is_empty = True
        for record in reader.records(file):
            is_empty = False
            try:
                if isinstance(reader, UserQuestions):
                    self._check_question(record)
                else:
                    self._check_fact(record, reader)
            except KformerError as error:
                self.problem(error)
            else:
                self.report.fine[kind] += 1
        if is_empty:
            raise KformerError(f"{file}: no {wanted} in it; add some, or remove the file")

    def check_splits(self) -> None:
        """Splits are named by all files or by none; if every question has one, each needs some."""
        try:
            self._split_names.check()
        except KformerError as error:
            self.problem(error)
        splits = self.report.splits
        for split in ("train", "test"):
            if splits and not splits["no split"] and not splits[split]:
                self.problem(
                    KformerError(
                        f"{self._path}: no question is in the split {split}; give some to it, or "
                        "leave the split out of all"
                    )
                )

    def _check_text(self, file: Path) -> None:
        is_empty = True
        for number, line in raw_lines(file):
            is_empty = is_empty and not line.strip()
            try:
                text = normal_form(decoded(line, f"{file}:{number}"))
                self.report.fine["lines of text"] += bool(text.strip())
            except KformerError as error:
                self.problem(error)
        if is_empty:
            raise KformerError(f"{file}: no text in it; add some, or remove the file")

    def _check_question(self, record: Record) -> None:
        row = as_row(record.parse(QuestionRow), record, self._path)
        name = row["question_id"]
        first = self._first_with_id.setdefault(name, record.where)
        if first != record.where:
            raise KformerError(
                f"{record.where}: id: {name!r} is that of {first} too; give each question its own"
            )
        self._split_names.add(record.file, row["split"])
        self.report.splits[row["split"] or "no split"] += 1
        self.report.identical_choices += len(set(row["choices"])) < len(row["choices"])
        self._count_unread(record, QuestionRow)

    def _check_fact(self, record: Record, reader: UserFacts) -> None:
        text = as_fact(record.parse(FactRow), record, reader).text.strip()
        digest = blake2b(text.encode(), digest_size=16).digest()
        self.report.duplicates += digest in self._facts
        self._facts.add(digest)
        self._count_unread(record, FactRow)

    def _count_unread(self, record: Record, model: type[QuestionRow | FactRow]) -> None:
        assert isinstance(record.content, dict)
        unread = record.content.keys() - model.model_fields.keys()
        self.report.unread_columns.update(sorted(unread))


def _first_kind(files: Iterable[Path]) -> Kind:
    """What the first file that is not empty has."""
    return next(filter(None, map(_kind_of_records, files)), "facts")


def _kind_of(file: Path) -> Kind:
    """Whether a file has questions or facts, by its first record or else by its suffix."""
    return _kind_of_records(file) or ("questions" if is_kind(file, ".csv") else "facts")


def _kind_of_records(file: Path) -> Kind | None:
    """Whether a file has questions or facts, by its first record; None without a good one."""
    if is_kind(file, ".txt"):
        return "facts"
    if is_kind(file, ".csv", ".tsv"):
        records = csv_records(file)
    elif is_kind(file, *PARQUET):
        records = parquet_records(file)
    else:
        records = jsonl_records(file)
    for record in records:
        if isinstance(record.content, dict):
            keys = {key.lower() for key in record.columns or record.content}
            is_odd_table = is_kind(file, ".csv") and not keys & _FACT_KEYS
            return "questions" if keys & _QUESTION_KEYS or is_odd_table else "facts"
    return None


def _kind_of_columns(keys: Iterable[str]) -> Kind | None:
    """What ``columns:`` with these keys are of; None where no key is of one kind only."""
    of_questions, of_facts = (
        section.model_fields.keys() for section in (QuestionColumns, FactColumns)
    )
    if (of_questions - of_facts) & set(keys):
        return "questions"
    return "facts" if (of_facts - of_questions) & set(keys) else None


def _reader_of(
    file: Path, kind: Kind, columns: QuestionColumns | FactColumns | None
) -> UserQuestions | UserFacts:
    """The reader that a config would choose for a file."""
    readers = _QUESTIONS if kind == "questions" else _FACTS
    reader = next((each for each in readers if is_kind(file, *each.suffixes)), None)
    if reader is None:
        raise KformerError(f"{file}: unknown suffix; known are {', '.join(_SUFFIXES)}")
    return reader.model_validate({"path": str(file), "columns": columns})
