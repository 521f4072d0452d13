"""Reading and writing the Parquet tables that pass between stages; their columns are in
`kformer.io.table_schemas`."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kformer.errors import KformerError
from kformer.io.file_writing import replacing, sha256_of
from kformer.io.sealed_parquet import is_whole, seal
from kformer.io.table_schemas import SCHEMAS, TABLES_VERSION, TableName

Row = Mapping[str, Any]

ROWS_PER_BATCH = 5_000
# Columns with few different values; a dictionary of the others only costs time.
_REPETITIVE = ["split", "type", "relation", "source"]


def write_table(
    path: Path, name: TableName, rows: Iterable[Row], provenance: Mapping[str, Any] | None = None
) -> int:
    """Streams rows into a Parquet file, whole or not at all, and returns how many there were.

    Args:
        provenance: what the rows were made from; kept in the file, `provenance` reads it.

    Raises:
        KformerError: a row does not fit the table's schema.
    """

    def batches() -> Iterator[pa.Table]:
        written = 0
        remaining = iter(rows)
        while batch := list(islice(remaining, ROWS_PER_BATCH)):
            yield _to_arrow(batch, SCHEMAS[name], path, written)
            written += len(batch)

    return write_batches(path, name, batches(), provenance)


def write_batches(
    path: Path,
    name: TableName,
    batches: Iterable[pa.Table],
    provenance: Mapping[str, Any] | None = None,
) -> int:
    """Streams Arrow tables into a Parquet file as `write_table` does with rows.

    Raises:
        KformerError: a value is missing that must not be.
    """
    metadata = {"kformer_table": name, "kformer_version": TABLES_VERSION}
    if provenance:
        metadata["kformer_made_of"] = json.dumps(provenance, sort_keys=True)
    schema = SCHEMAS[name].with_metadata(metadata)
    written = 0
    with replacing(path) as partial:
        with (
            partial.open("wb") as file,  # whose errors name it, while Arrow's do not
            pq.ParquetWriter(
                file,
                schema,
                compression="zstd",
                use_dictionary=_REPETITIVE,
                write_statistics=False,
                write_page_checksum=True,
            ) as writer,
        ):
            for batch in batches:
                for field in schema:
                    if not field.nullable and batch[field.name].null_count:
                        raise KformerError(f"{path}: column {field.name} may not be empty")
                writer.write_table(batch.replace_schema_metadata(metadata))
                written += batch.num_rows
        seal(partial)
    return written


def rebatched(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of `ROWS_PER_BATCH`: the bytes of a file depend on the rows alone."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= ROWS_PER_BATCH:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, ROWS_PER_BATCH).combine_chunks()
            waiting, rows = [joined.slice(ROWS_PER_BATCH)], rows - ROWS_PER_BATCH
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def read_table(path: Path, name: TableName) -> pa.Table:
    """Reads a whole table.

    Raises:
        KformerError: there is no such file, or it does not hold the table ``name``.
    """
    file = _open(path, name)
    with parquet_errors(path):
        return file.read()


def provenance(path: Path, name: TableName) -> dict[str, Any]:
    """What a table was made from, as far as it says; raises as `read_table` does."""
    metadata = _open(path, name).schema_arrow.metadata
    return json.loads(metadata.get(b"kformer_made_of", b"{}"))


def check_retrieved_for(questions: Path, retrieval: Path) -> None:
    """Raises KformerError for a retrieval table that was made for other questions than these."""
    if not _is_made_of("questions", questions, retrieval):
        raise KformerError(
            f"{retrieval}: retrieved for other questions than {questions}; give those questions, "
            "or retrieve again"
        )


def check_retrieved_from(facts: Path, retrieval: Path) -> None:
    """Raises KformerError for a retrieval table that was made from other facts than these."""
    if not _is_made_of("facts", facts, retrieval):
        raise KformerError(
            f"{retrieval}: retrieved from other facts than {facts}; give those facts, or "
            "retrieve again"
        )


def _is_made_of(name: TableName, path: Path, retrieval: Path) -> bool:
    """Whether a retrieval table says that it was made of a table, or does not say."""
    known = provenance(retrieval, "retrieval").get(f"{name}_sha256")
    return known is None or known == sha256_of(path)


def count_rows(path: Path, name: TableName) -> int:
    """How many rows a table has, without reading them; raises as `read_table` does."""
    return _open(path, name).metadata.num_rows


def read_rows(
    path: Path, name: TableName, start: int = 0, end: int | None = None
) -> Iterator[dict[str, Any]]:
    """Streams rows [start, end) of a table, in bounded memory; raises as `read_table` does."""
    for batch in read_columns(path, name, SCHEMAS[name].names, start, end):
        yield from batch.to_pylist()


def read_columns(
    path: Path, name: TableName, columns: Sequence[str], start: int = 0, end: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Streams some columns of rows [start, end), in bounded memory; raises as `read_table` does."""
    file = _open(path, name)
    end = file.metadata.num_rows if end is None else end
    first = 0  # of the row group
    for group in range(file.num_row_groups):
        last = first + file.metadata.row_group(group).num_rows
        if first < end and start < last:
            with parquet_errors(path):
                rows = file.read_row_group(group, columns=list(columns))
            part = rows.slice(max(start - first, 0), min(end, last) - max(start, first))
            yield from part.to_batches(max_chunksize=ROWS_PER_BATCH)
        first = last


def take_rows(path: Path, name: TableName, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Some rows of a table by their numbers, in that order; raises as `read_table` does.

    Each row group is read once, and one at a time.
    """
    file = _open(path, name)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    starts = list(accumulate(sizes, initial=0))
    taken: dict[int, dict[str, Any]] = {}
    by_group = groupby(sorted(set(rows)), key=lambda row: bisect_right(starts, row) - 1)
    for group, wanted in by_group:
        numbers = list(wanted)
        with parquet_errors(path):
            read = file.read_row_group(group)
        in_its_group = [number - starts[group] for number in numbers]
        taken |= zip(numbers, read.take(in_its_group).to_pylist(), strict=True)
    return [taken[row] for row in rows]


def read_column(
    facts: Path, column: str, start: int = 0, end: int | None = None
) -> pa.ChunkedArray:
    """A column of the facts table, rows [start, end); raises as `read_table` does."""
    chunks = [batch[column] for batch in read_columns(facts, "facts", [column], start, end)]
    return pa.chunked_array(chunks, SCHEMAS["facts"].field(column).type)


def _open(path: Path, name: TableName) -> pq.ParquetFile:
    if not path.exists():
        raise KformerError(f"{path}: there is no such file; expected a {name} table")
    damaged = KformerError(f"{path}: damaged (its checksum differs); delete the file and run again")
    with parquet_errors(path):
        whole = is_whole(path)
        if whole is False:
            raise damaged
        file = pq.ParquetFile(path, page_checksum_verification=True)
    metadata = file.schema_arrow.metadata or {}
    found = _as_text(metadata.get(b"kformer_table", b"no table of kformer"))
    if found != name:
        raise KformerError(f"{path}: holds {found}, but a {name} table is needed here")
    version = _as_text(metadata.get(b"kformer_version", b"?"))
    if version != TABLES_VERSION or not file.schema_arrow.equals(SCHEMAS[name]):
        raise KformerError(
            f"{path}: a {name} table of version {version}, but this program reads "
            f"version {TABLES_VERSION}; delete the file and run again"
        )
    if not whole:
        raise damaged
    return file


def _as_text(metadata: bytes) -> str:
    """Metadata of a file that may be anybody's, or damaged, for a message."""
    return _as_line(metadata.decode("utf-8", "replace"))[:80]


def _as_line(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises for a damaged file into a KformerError that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = _as_line(str(error))
        raise KformerError(f"{path}: not a readable Parquet file ({reason})") from None


def _to_arrow(batch: list[Row], schema: pa.Schema, path: Path, first_row: int) -> pa.Table:
    try:
        table = pa.Table.from_pylist([dict(row) for row in batch], schema=schema)
        table.validate()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        last = first_row + len(batch)
        reason = " ".join(str(error).split())
        raise KformerError(f"{path}: rows {first_row} to {last} do not fit: {reason}") from None
    return table
