"""Checking data of one's own: all problems of a file at once, where a stage stops at the first."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from kformer.errors import KformerError
from kformer.io.records import JSONL, Record, csv_records, jsonl_records
from kformer.io.text import decoded, files_below, is_kind, raw_lines
from kformer.knowledge.user_files import FactRow, JsonlFacts, as_fact, tsv_records
from kformer.questions.user_files import CsvQuestions, QuestionRow, as_row

Kind = Literal["questions", "facts"]
Tell = Callable[[str], None]

_TABLES = (".csv", ".tsv")
_ALL = (*JSONL, *_TABLES, ".txt")


@dataclass
class Report:
    """What was found in a file or folder."""

    fine: Counter[str] = field(default_factory=Counter)
    """How many questions, facts and lines of text are as they should be."""
    problems: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    """Questions by split; ``no split`` for those that the config will deal out."""
    identical_choices: int = 0
    """Questions that have the same choice twice."""
    duplicates: int = 0
    """Facts that were there before, and will be dropped."""
    unread_keys: Counter[str] = field(default_factory=Counter)
    """Keys or columns that mean nothing here, with how many records have them."""


def check(place: Path, kind: Kind | None, tell: Tell) -> Report:
    """Reads questions or facts of one's own to the end.

    Args:
        place: a file, compressed or not, or a folder of them.
        kind: what they are; None = see from each file.
        tell: takes every problem, one line that starts with file and line.

    Raises:
        KformerError: there is nothing to read at ``place``.
    """
    checker = _Checker(place, tell)
    for path in files_below(place, _ALL):
        try:
            checker.check(path, kind or _kind_of(path))
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
    if report.unread_keys:
        keys = ", ".join(f"{key} ({count:,})" for key, count in report.unread_keys.most_common())
        parts.append(f"not read: {keys}")
    return "; ".join(parts)


class _Checker:
    def __init__(self, place: Path, tell: Tell) -> None:
        self.report = Report()
        self._place = place
        self._tell = tell
        self._places: dict[str, str] = {}  # of questions, by id
        self._facts: set[bytes] = set()
        self._wording = JsonlFacts(path=".")  # of triples, as without templates of one's own

    def problem(self, error: KformerError) -> None:
        self.report.problems += 1
        self._tell(str(error))

    def check(self, path: Path, kind: Kind) -> None:
        if _is_text(path):
            self._check_text(path)
            return
        check_record = self._check_question if kind == "questions" else self._check_fact
        for record in _records(path, kind):
            try:
                check_record(record)
            except KformerError as error:
                self.problem(error)
            else:
                self.report.fine[kind] += 1

    def check_splits(self) -> None:
        """Where every question has a split, there must be some in train and test."""
        splits = self.report.splits
        for split in ("train", "test"):
            if splits and not splits["no split"] and not splits[split]:
                self.problem(
                    KformerError(
                        f"{self._place}: no question is in the split {split}; give some to it, or "
                        "leave the split out of all"
                    )
                )

    def _check_text(self, path: Path) -> None:
        for number, line in raw_lines(path):
            try:
                self.report.fine["lines of text"] += bool(decoded(line, f"{path}:{number}").strip())
            except KformerError as error:
                self.problem(error)

    def _check_question(self, record: Record) -> None:
        row = as_row(record.parse(QuestionRow), record, self._place)
        name = row["question_id"]
        if self._places.setdefault(name, record.where) != record.where:
            raise KformerError(
                f"{record.where}: id: {name!r} is that of {self._places[name]} too; "
                "give each question its own"
            )
        self.report.splits[row["split"] or "no split"] += 1
        self.report.identical_choices += len(set(row["choices"])) < len(row["choices"])
        self._note_keys(record, QuestionRow)

    def _check_fact(self, record: Record) -> None:
        text = as_fact(record.parse(FactRow), record, self._wording).text.strip()
        digest = blake2b(text.encode(), digest_size=16).digest()
        self.report.duplicates += digest in self._facts
        self._facts.add(digest)
        self._note_keys(record, FactRow)

    def _note_keys(self, record: Record, model: type[QuestionRow | FactRow]) -> None:
        assert isinstance(record.content, dict)
        self.report.unread_keys.update(record.content.keys() - model.model_fields.keys())


def _kind_of(path: Path) -> Kind:
    """Whether a file has questions or facts, by its name and its first record."""
    if _is_text(path):
        return "facts"
    if is_kind(path, ".csv"):
        return "questions"
    records = csv_records(path) if _is_table(path) else jsonl_records(path)
    for record in records:
        if isinstance(record.content, dict):
            keys = {key.lower() for key in record.content}
            return "questions" if keys & {"question", "choices", "answer"} else "facts"
    return "facts"


def _records(path: Path, kind: Kind) -> Iterator[Record]:
    if kind == "questions":
        return CsvQuestions.records(path) if _is_table(path) else jsonl_records(path)
    if _is_table(path):
        return tsv_records(path)
    return jsonl_records(path)


def _is_table(path: Path) -> bool:
    return is_kind(path, *_TABLES)


def _is_text(path: Path) -> bool:
    return is_kind(path, ".txt")
