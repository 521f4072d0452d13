"""Checking the user's own data: all problems at once, where a stage stops at the first."""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from kformer.checking.kinds import (
    SUFFIXES,
    Columns,
    Kind,
    UserReader,
    first_kind,
    kind_of,
    kind_of_columns,
    reader_of,
)
from kformer.checking.report import Report
from kformer.checking.stages import rows_as_read
from kformer.config_section import load_section
from kformer.errors import KformerError
from kformer.io.normal_form import normal_form
from kformer.io.problems import Problems
from kformer.io.records import PARQUET, Record, misspelt, some_records
from kformer.io.text_files import decoded, files_below, is_kind, raw_lines
from kformer.knowledge.user_files import FactRow, NamesOrOrder, TxtFacts, Unit, UserFacts
from kformer.questions.columns import QuestionColumns
from kformer.questions.copies import find_copies
from kformer.questions.equal_choices import find_equal_choices
from kformer.questions.question_row import QuestionRow
from kformer.questions.question_set import QuestionSet
from kformer.questions.split_names import SplitNames, check_parts
from kformer.questions.split_sizes import split_sizes
from kformer.questions.unlabelled import NoAnswer
from kformer.questions.user_files import UserQuestions


def parse_columns(text: str, kind: Kind | None, path: Path) -> Columns:
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
        content = load_section(dict[str, Any] | list[Any], text, "--columns")
        kind = kind_of_columns(content) or first_kind(files_below(path, SUFFIXES))
    section = QuestionColumns if kind == "questions" else NamesOrOrder
    columns: Columns = load_section(section, text, "--columns")
    return columns


def check(
    path: Path,
    kind: Kind | None,
    on_problem: Callable[[str], None],
    columns: Columns | None = None,
    unit: Unit | None = None,
) -> Report:
    """Reads the user's own questions or facts to the end, as the stage does.

    Args:
        path: a file, compressed or not, or a folder of them.
        kind: what they are; None = see from ``columns`` or each file.
        on_problem: is called with every kind of problem, one line that starts with file and line.
        columns: which field is what, if they do not have the usual names.
        unit: what of a ``.txt`` file is a fact, if not a passage.

    Raises:
        KformerError: there is nothing to read at ``path``, or ``columns`` are of the other kind.
    """
    if columns:
        of_columns: Kind = "questions" if isinstance(columns, QuestionColumns) else "facts"
        if kind not in (None, of_columns):
            raise KformerError(f"--columns: these are columns of {of_columns}, not of {kind}")
        kind = of_columns
    files = files_below(path, SUFFIXES)
    checker = _Checker(path, columns, unit)
    for file in files:
        try:
            checker.check(file, kind)
        except KformerError as error:  # of the whole file: damaged, or without a header
            checker.problem(error)
    checker.check_question_sets()
    checker.check_stages()
    for message in checker.problems.messages():
        on_problem(message)
    return checker.report


class _Checker:
    def __init__(
        self,
        path: Path,
        columns: Columns | None,
        unit: Unit | None,
    ) -> None:
        self.report = Report()
        self.problems = Problems()
        self._path = path
        self._columns = columns
        self._unit = unit
        self._question_sets: dict[type[UserQuestions], QuestionSet] = {}
        self._unlabelled: dict[Path, KformerError | None] = {}  # of files with NoAnswer
        self._told: set[str] = set()
        self._facts: set[bytes] = set()
        self._files: dict[tuple[type[UserReader], Kind], list[Path]] = {}  # by what reads them

    def problem(self, error: KformerError) -> None:
        """Notes a problem; one of a whole file is met again at each of its records."""
        if str(error) not in self._told:
            self._told.add(str(error))
            self.report.problems += 1
            self.problems.add(str(error))

    def check(self, file: Path, kind: Kind | None) -> None:
        if not is_kind(file, *PARQUET):
            next(raw_lines(file), None)  # which says what it is if it is no text
        wanted, kind = kind or "questions or facts", kind or kind_of(file)
        reader = reader_of(file, kind, self._columns, self._unit, file)
        self._files.setdefault((type(reader), kind), []).append(file)
        if isinstance(reader, TxtFacts):
            self._check_text(file)
            return
        for record in some_records(reader.records(file), file, wanted):
            self._count_unread(record, QuestionRow if kind == "questions" else FactRow)
            try:
                if isinstance(reader, UserQuestions):
                    self._check_question(record, reader)
                else:
                    self._check_fact(record, reader)
            except KformerError as error:
                self.problem(error)
            else:
                self.report.fine[kind] += 1

    def check_question_sets(self) -> None:
        """Checks what the stage of questions does once it has read all files of a format."""
        for questions in self._question_sets.values():
            files = questions.names.files
            reader = reader_of(self._path, "questions", self._columns, self._unit, files[0])
            assert isinstance(reader, UserQuestions)
            try:
                check_parts(files)
                rows = reader.in_splits(questions)
                self.report.doubts += questions.lines()
                self.report.doubts += find_copies(rows).lines()
                if not self.report.problems:  # else there may be more once they are corrected
                    split_sizes(rows, self._path)
            except KformerError as error:
                self.problem(error)
            self.report.doubts += find_equal_choices(questions.rows).lines()

    def check_stages(self) -> None:
        """What is fine so far is so only if the stage takes it, which reads all files of a format.

        Its first rows show how it reads them.
        """
        if self.report.problems:
            return
        for (reads, kind), files in self._files.items():
            others = [each for each in files_below(self._path, reads.suffixes) if each not in files]
            try:
                if others:
                    raise KformerError(
                        f"{others[0]}: not {kind} as in {files[0]}, but a stage reads all files of "
                        "a format below a folder; give it a folder of its own"
                    )
                reader = reader_of(self._path, kind, self._columns, self._unit, files[0])
                self.report.rows += rows_as_read(reader, self._path)
            except KformerError as error:
                self.problem(error)
                return

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

    def _question_set(self, reader: UserQuestions) -> QuestionSet:
        """What is read of all files of a format."""
        if type(reader) not in self._question_sets:
            names = SplitNames(self._path, files_below(self._path, reader.suffixes))
            self._question_sets[type(reader)] = QuestionSet(names)
        return self._question_sets[type(reader)]

    def _check_question(self, record: Record, reader: UserQuestions) -> None:
        questions, file = self._question_set(reader), record.file
        try:
            row = reader.as_row(record, self._path, questions.names)
        except NoAnswer as error:
            if file not in self._unlabelled:
                self._unlabelled[file] = reader.all_unlabelled(file, questions.names)
            raise self._unlabelled[file] or error from None
        questions.add(row, record)
        self.report.splits[row["split"] or "no split"] += 1

    def _check_fact(self, record: Record, reader: UserFacts) -> None:
        text = reader.fact(record).text.strip()
        digest = blake2b(text.encode(), digest_size=16).digest()
        self.report.duplicates += digest in self._facts
        self._facts.add(digest)

    def _count_unread(self, record: Record, model: type[QuestionRow | FactRow]) -> None:
        if isinstance(record.content, dict):
            unread = record.content.keys() - model.model_fields.keys()
            self.report.unread_columns.update(sorted(unread))
            self.report.misspelt_columns |= misspelt(record.content, model)
