"""The records of JSON-lines, CSV and Parquet files, one by one.

A record that cannot be read is a value too, so that `kformer check` can list all of them where a
stage stops at the first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from kformer.config_section import in_one_line
from kformer.errors import KformerError, listed
from kformer.io.delimited_rows import TableRow, csv_rows, tsv_rows
from kformer.io.file_kinds import START, refuse_known_kind
from kformer.io.json_lists import is_list, list_elements
from kformer.io.table_files import reading_errors
from kformer.io.text_files import decoded, is_kind, parse_object, raw_lines

JSONL = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet",)

_ROWS_PER_BATCH = 1_000
_ALIKE = 0.75  # how much a misspelt name has in common with the right one, as difflib counts

_Model = TypeVar("_Model", bound=BaseModel)


class NoSuchColumn(KformerError):
    """A column that the config names is not in a file."""


class Record(NamedTuple):
    """One record of a file, or why it cannot be read."""

    file: Path
    line: int
    """From 1; in a Parquet file the row, in a JSON list the element."""
    content: dict[str, Any] | KformerError
    columns: tuple[str, ...] | None = None
    """Of a table: all its columns, also those that are empty in this record."""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"

    def parse(self, model: type[_Model]) -> _Model:
        """The record as a model; raises KformerError, naming the line, if it is none."""
        if isinstance(self.content, KformerError):
            raise self.content
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            meant = "; ".join(
                f"is {key!r:.60} meant as {name}?"
                for key, name in misspelt(self.content, model).items()
            )
            raise KformerError(
                f"{self.where}: {in_one_line(error)}{f' ({meant})' if meant else ''}"
            ) from None

    def field(self, path: str) -> Any:
        """The value of a field; None where it is null or an empty cell.

        Args:
            path: its name. A dot leads into an object (``question.stem``), or into each object of
                a list (``choices.text``, which then is the list of these texts).

        Raises:
            NoSuchColumn: there is no such field.
        """
        assert isinstance(self.content, dict)
        if path in self.content:
            return self.content[path]
        empty = dict.fromkeys(self.columns or ())
        try:
            return _inside(empty | self.content, path)
        except KeyError as error:
            (there,) = error.args
            raise NoSuchColumn(
                f"{self.where}: no column {path!r}; there are: {listed(there)}"
            ) from None


def some_records(records: Iterable[Record], file: Path, what: str) -> Iterator[Record]:
    """Streams the records of a file.

    Raises:
        KformerError: there are none; it says ``what`` they would be.
    """
    is_empty = True
    for record in records:
        is_empty = False
        yield record
    if is_empty:
        raise KformerError(f"{file}: no {what} in it; add some, or remove the file")


def misspelt(content: Mapping[str, Any], model: type[BaseModel]) -> dict[str, str]:
    """The keys of a record that are like those of fields which it lacks, with these."""
    lacking = tuple(name for name in model.model_fields if name not in content)
    unknown = (key for key in content if key not in model.model_fields)
    meant = ((key, _closest(key, lacking)) for key in unknown)
    return {key: name for key, name in meant if name}


@lru_cache
def _closest(key: str, names: tuple[str, ...]) -> str | None:
    return next(iter(get_close_matches(key.lower(), names, 1, _ALIKE)), None)


def _inside(value: Any, path: str, parent: str = "") -> Any:
    """The value at a path below ``parent``; raises KeyError with a list of what there is."""
    if value is None:
        return None
    if isinstance(value, list):
        return [_inside(each, path, parent) for each in value]
    keys = value if isinstance(value, dict) else {}
    if path in keys:
        return keys[path]
    head, _, rest = path.partition(".")
    if not rest or head not in keys:
        raise KeyError([f"{parent}{key}" for key in keys] or [parent.rstrip(".")])
    return _inside(keys[head], rest, f"{parent}{head}.")


def jsonl_records(path: Path) -> Iterator[Record]:
    """Streams the objects of a JSON file: one on each line, or all in one list.

    Blank lines are none. The elements of a list are numbered instead of lines.

    Raises:
        KformerError: it is one object over several lines, or not a valid list.
    """
    if is_list(path):
        for number, element in enumerate(list_elements(path), start=1):
            yield _json_record(path, number, element)
        return
    for number, line in raw_lines(path):
        if line.strip():
            yield _json_record(path, number, line)


def _json_record(path: Path, number: int, text: str | bytes) -> Record:
    where = f"{path}:{number}"
    try:
        text = decoded(text, where) if isinstance(text, bytes) else text
        return Record(path, number, parse_object(text, where))
    except KformerError as error:
        return Record(path, number, error)


def csv_records(path: Path, needed: tuple[str, ...] = ()) -> Iterator[Record]:
    """Streams the rows of a table with a header: tabs in a ``.tsv`` file, else commas.

    Instead of commas there may be semicolons. Empty cells are left out.

    Raises:
        KformerError: the header is missing, names a column twice, lacks one of ``needed``, or has
            tabs where there should be commas or the other way round.
    """
    rows = tsv_rows(path) if is_kind(path, ".tsv") else csv_rows(path)
    return records_with_header(path, rows, needed)


def records_with_header(
    path: Path, rows: Iterator[TableRow], needed: tuple[str, ...] = ()
) -> Iterator[Record]:
    """Streams the rows of a table as records under the names in its first row.

    Raises:
        KformerError: as `csv_records` does.
    """
    header: list[str] = []
    for line, cells in rows:
        if isinstance(cells, KformerError):
            yield Record(path, line, cells)
        elif not header:
            header = _checked_header(cells, f"{path}:{line}", needed)
        else:
            yield _table_record(path, line, cells, header)
    if not header:
        raise KformerError(f"{path}: empty; the first line must name the columns")


def _table_record(path: Path, line: int, cells: Sequence[str], header: Sequence[str]) -> Record:
    """A row as a record, without its empty cells; not one if it has not a cell for each column."""
    if len(cells) == len(header):
        content = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
        return Record(path, line, content, tuple(header))
    problem = (
        f"{path}:{line}: {len(cells)} cells, but the header names {len(header)} columns; correct "
        f"the row (columns: {' | '.join(header)!r:.80})"
    )
    return Record(path, line, KformerError(problem))


def _checked_header(cells: list[str], where: str, needed: tuple[str, ...]) -> list[str]:
    names = [cell.lower() for cell in cells]
    refuse_repeated(names, where)
    if len(cells) == 1 and any(separator in cells[0] for separator in ",;"):
        raise KformerError(
            f"{where}: commas or semicolons separate its columns, not tabs; give it the suffix .csv"
        )
    if missing := [name for name in needed if name not in names]:
        close = {name: get_close_matches(name, names, 1, _ALIKE) for name in missing if name[1:]}
        meant = "".join(
            f"; is {like[0]!r} meant as {name}?" for name, like in close.items() if like
        )
        raise KformerError(
            f"{where}: no column {', '.join(missing)} in the header {' | '.join(cells)!r:.80}; "
            f"name the columns there, and separate them by commas, or by tabs in a .tsv file{meant}"
        )
    return cells


def refuse_repeated(names: Sequence[str], where: str) -> None:
    """Raises KformerError, whose message starts with ``where``, if two columns have a name."""
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise KformerError(f"{where}: the column {twice!r} is there twice; rename one")


def parquet_records(path: Path) -> Iterator[Record]:
    """Streams the rows of any Parquet file, such as those of Hugging Face data sets.

    Raises:
        KformerError: it is no Parquet file, damaged, or has a column twice.
    """
    row = 0
    with reading_errors(path, "Parquet"):
        with path.open("rb") as opened:
            if not (start := opened.read(START)).startswith(b"PAR1"):
                refuse_known_kind(path, start)
        file = pq.ParquetFile(path)
        columns = tuple(file.schema_arrow.names)
        for names in _names_at_each_level(file.schema_arrow):
            refuse_repeated(names, f"{path}")
        for batch in file.iter_batches(_ROWS_PER_BATCH):
            for content in batch.to_pylist():
                row += 1
                yield Record(path, row, content, columns)


def _names_at_each_level(fields: Iterable[pa.Field], parent: str = "") -> Iterator[list[str]]:
    """The paths of the columns, then of the fields of each object in them."""
    yield [f"{parent}{field.name}" for field in fields]
    for field in fields:
        kind = field.type
        while pa.types.is_list(kind) or pa.types.is_large_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind):
            yield from _names_at_each_level(list(kind), f"{parent}{field.name}.")
