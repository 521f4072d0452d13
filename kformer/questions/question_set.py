"""The user's questions as a whole: no id twice, and each question in a split."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.io.records import Record
from kformer.questions.copies import comparison_form
from kformer.questions.reader import hash_fraction
from kformer.questions.record_keys import UnreadKeys
from kformer.questions.split_names import SplitNames


class QuestionSet:
    """The questions of the files at a path; some may have no split yet."""

    def __init__(self, names: SplitNames) -> None:
        self.names = names
        """what the files' names say"""
        self.rows: list[dict[str, Any]] = []
        """of the questions table; the split may be None"""
        self.unread = UnreadKeys()
        self._named: dict[Path, str | None] = {}  # the splits that the files' names say
        self._named_otherwise: Counter[Path] = Counter()  # questions in another split than that
        self._first_with_id: dict[str, str] = {}  # file and line
        self._first: dict[bool, Record] = {}  # with a split, and without one

    def add(self, row: dict[str, Any], record: Record) -> None:
        """Adds a question of a record; raises KformerError if another one has its id."""
        name = row["question_id"]
        first = self._first_with_id.setdefault(name, record.where)
        if first != record.where:
            raise KformerError(
                f"{record.where}: id: {name!r} is that of {first} too; give each question its own"
            )
        if record.file not in self._named:
            self._named[record.file] = self.names.plain_split_of(record.file)
        named = self._named[record.file]
        self._named_otherwise[record.file] += named not in (None, row["split"])
        self.unread.add(record, has_split=row["split"] is not None)
        self._first.setdefault(row["split"] is not None, record)
        self.rows.append(row)

    def lines(self) -> list[str]:
        """What is doubtful: each file whose questions say another split than its name."""
        return [
            f"{file}: its name says {self._named[file]}, but the field split of {count:,} "
            f"{'questions' if count > 1 else 'question'} says another, which counts"
            for file, count in self._named_otherwise.items()
            if count
        ]

    def in_splits(
        self, test_share: float, validation_share: float, seed: int
    ) -> list[dict[str, Any]]:
        """All questions, in their order, each in a split.

        If none has one, they are dealt to all three. Where all have one and none is in validation,
        a share of train is dealt to that.

        Raises:
            KformerError: a split is there in another format, or only some questions have one.
        """
        self._check_other_formats()
        self._check_all_or_none_have_splits()
        if not self._first.get(True):
            _deal(self.rows, {"test": test_share, "validation": validation_share}, seed)
        elif not any(row["split"] == "validation" for row in self.rows):
            train = [row for row in self.rows if row["split"] == "train"]
            _deal(train, {"validation": validation_share}, seed)
        return self.rows

    def _check_other_formats(self) -> None:
        """A split that is there in another format is not read, and hardly meant to be dealt."""
        there = {row["split"] for row in self.rows}
        for split, file in self.names.in_other_formats().items():
            if split not in there:
                one, other = sorted((file, self.names.files[0]))
                raise KformerError(
                    f"{one} and {other}: splits in two formats, of which a stage reads one; write "
                    "all in one format, or remove what is not meant"
                )

    def _check_all_or_none_have_splits(self) -> None:
        """Where some questions have a split, the others are hardly meant to be dealt."""
        if len(self._first) > 1:
            raise KformerError(
                f"{self._first[False].where}: has no split, while {self._first[True].where} has "
                "one; name each file after its split, or give every question a split, or none"
            )


def shared_text(row: Mapping[str, Any]) -> str:
    """What keeps questions together where they are dealt to splits: the context or, without one,
    the text, in the `comparison_form`."""
    return comparison_form(row["context"] or row["question"])


def _deal(rows: Iterable[dict[str, Any]], shares: dict[str, float], seed: int) -> None:
    """Gives each split its share of the rows, in a random order, and train the rest.

    Rows with the same `shared_text` stay together.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(shared_text(row), []).append(row)
    order = sorted(groups.values(), key=lambda group: _position(group, seed))
    sizes = {split: math.ceil(share * len(order)) for split, share in shares.items()}
    splits = [split for split, size in sizes.items() for _ in range(size)]
    for position, group in enumerate(order):
        for row in group:
            row["split"] = splits[position] if position < len(splits) else "train"


def _position(group: Sequence[dict[str, Any]], seed: int) -> tuple[float, str]:
    """Where a group comes in the random order: it depends on its texts alone."""
    texts = {" ".join((row["context"] or row["question"]).split()).casefold() for row in group}
    return min((hash_fraction(text, seed), text) for text in texts)
