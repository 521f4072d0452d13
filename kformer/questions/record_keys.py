"""Keys of the user's records: those that are read, in any case, and what others may be meant as."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.io.records import Record, misspelt, refuse_repeated
from kformer.questions.columns import QuestionColumns
from kformer.questions.question_row import QuestionRow
from kformer.questions.split_words import SPLIT_OF


class UsualKeys:
    """The usual names of fields, which may be in any case, as in the header of a table."""

    def __init__(self, columns: QuestionColumns | None) -> None:
        paths = (columns or QuestionColumns()).paths
        self._usual = {key for key, path in paths.items() if path == key}
        named = {
            path
            for given in paths.values()
            for path in ([given] if isinstance(given, str) else given)
        }
        self._named = named | {path.partition(".")[0] for path in named}

    def in_lower_case(self, record: Record) -> Record:
        """A record whose usual keys are in lower case; one that has such a key twice is none."""
        if isinstance(record.content, KformerError):
            return record
        try:
            keys = self._lowered(tuple(record.content), record.where)
            columns = record.columns and self._lowered(record.columns, record.where)
        except KformerError as error:
            return record._replace(content=error)
        content = dict(zip(keys, record.content.values(), strict=True))
        return record._replace(content=content, columns=columns)

    def _lowered(self, keys: Sequence[str], where: str) -> tuple[str, ...]:
        lowered = tuple(
            key.lower() if key.lower() in self._usual and key not in self._named else key
            for key in keys
        )
        refuse_repeated(lowered, where)
        return lowered


class UnreadKeys:
    """The keys of all questions that are not read."""

    def __init__(self) -> None:
        self._misspelt: Counter[tuple[Path, str, str]] = Counter()  # file, key, and what it is like
        self._first: Record | None = None  # of the questions without a split
        self._with_splits: list[str] = []  # keys that hold the name of one in each of these

    def add(self, record: Record, has_split: bool) -> None:
        """Takes the record of a question."""
        assert isinstance(record.content, dict)
        for key, name in misspelt(record.content, QuestionRow).items():
            self._misspelt[record.file, key, name] += 1
        if has_split:
            return
        if self._first is None:
            self._first = record
            self._with_splits = [
                key for key in record.content if key not in QuestionRow.model_fields
            ]
        content = record.content
        self._with_splits = [key for key in self._with_splits if _is_split(content.get(key))]

    def lines(self) -> list[str]:
        """Those that may be misspelt, as `kformer check` asks, too."""
        return [
            f"{file}: not read: the key {key!r:.60} of {count:,} "
            f"{'questions' if count > 1 else 'question'}; is it {name}?"
            for (file, key, name), count in self._misspelt.items()
        ]

    def refuse_splits(self) -> None:
        """Raises KformerError if questions without a split all have one in a key that is not read.

        Dealt at random, those of the official test would be trained on.
        """
        if self._first and self._with_splits:
            key = self._with_splits[0]
            raise KformerError(
                f"{self._first.where}: has no split, but each question has one in the key "
                f"{key!r:.60}; say so with columns: {{split: {key:.60}}}, or with {{split: null}} "
                "that it is none"
            )


def _is_split(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in SPLIT_OF
