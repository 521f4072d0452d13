"""The user's files of one format, as settings of what reads them: record after record."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from kformer.config_section import Section
from kformer.errors import KformerError
from kformer.io.columns import Columns
from kformer.io.normal_form import in_normal_form, normal_form
from kformer.io.records import JSONL, PARQUET, Record, jsonl_records, parquet_records


class RecordFiles(Section, ABC):
    """Files whose records are questions or facts."""

    suffixes: ClassVar[tuple[str, ...]]
    have_header: ClassVar[bool] = False
    """Whether a first line names the columns; usual names may be written in any case there."""

    columns: Any = None
    """Which field is what, for files with other names than those in docs/bring-your-own-data.md."""

    @abstractmethod
    def raw_records(self, path: Path) -> Iterator[Record]:
        """Streams the records of a file as they are."""

    def records(self, path: Path) -> Iterator[Record]:
        """Streams the records of a file in normal form, under the names that are known.

        Raises:
            KformerError: the file cannot be read, or lacks a column that the config names.
        """
        records = map(_in_normal_form, self.raw_records(path))
        if isinstance(self.columns, Columns):
            return self.columns.apply(records, self.have_header)
        return records


class JsonlFiles(RecordFiles):
    """JSON lines."""

    suffixes = JSONL

    def raw_records(self, path: Path) -> Iterator[Record]:
        return jsonl_records(path)


class ParquetFiles(RecordFiles):
    """Parquet, as data sets on the Hugging Face hub have it; a row is like a JSON line."""

    suffixes = PARQUET

    def raw_records(self, path: Path) -> Iterator[Record]:
        return parquet_records(path)


def _in_normal_form(record: Record) -> Record:
    if isinstance(record.content, KformerError):
        return record
    try:
        content = in_normal_form(record.content)
    except ValueError as error:
        content = KformerError(f"{record.where}: {error}")
    columns = record.columns and tuple(map(normal_form, record.columns))
    return record._replace(content=content, columns=columns)
