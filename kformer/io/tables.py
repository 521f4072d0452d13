"""Reading and writing the Parquet tables that pass between stages; their columns are in
`kformer.io.table_schemas`."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kformer.errors import KformerError
from kformer.io.file_writing import replacing, sha256_of
from kformer.io.sealed_files import seal
from kformer.io.table_files import open_table, reading_errors
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
    with reading_errors(path, "Parquet"):
        return file.read()


def provenance(path: Path, name: TableName) -> dict[str, Any]:
    """What a table was made from, as far as it says; raises as `read_table` does."""
    metadata = _open(path, name).schema_arrow.metadata
    return json.loads(metadata.get(b"kformer_made_of", b"{}"))


def check_retrieved_for(questions: Path, retrieval: Path, sha256: str | None = None) -> None:
    """Raises KformerError for a retrieval table that was made for other questions than these.

    Args:
        questions: their table, or what was made from it.
        sha256: of that table; None = ``questions`` is it.
    """
    if not _is_made_of("questions", sha256 or sha256_of(questions), retrieval):
        raise KformerError(
            f"{retrieval}: retrieved for other questions than {questions}; give those questions, "
            "or retrieve again"
        )


def check_retrieved_from(facts: Path, retrieval: Path, sha256: str | None = None) -> None:
    """Raises KformerError for a retrieval table that was made from other facts than these.

    Args:
        facts: their table, or what was made from it.
        sha256: of that table; None = ``facts`` is it.
    """
    if not _is_made_of("facts", sha256 or sha256_of(facts), retrieval):
        raise KformerError(
            f"{retrieval}: retrieved from other facts than {facts}; give those facts, or "
            "retrieve again"
        )


def _is_made_of(name: TableName, sha256: str, retrieval: Path) -> bool:
    """Whether a retrieval table says that it was made of a table, or does not say."""
    return provenance(retrieval, "retrieval").get(f"{name}_sha256") in (None, sha256)


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
            with reading_errors(path, "Parquet"):
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
        with reading_errors(path, "Parquet"):
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


def name_of_table(path: Path) -> str | None:
    """Which table a file says that it holds; None where it is no Parquet file or does not say."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError, ValueError):
        return None
    return metadata.get(b"kformer_table", b"").decode("utf-8", "replace") or None


def _open(path: Path, name: TableName) -> pq.ParquetFile:
    return open_table(path, name, SCHEMAS[name], TABLES_VERSION, "Parquet", _open_parquet)


def _open_parquet(path: Path) -> tuple[pq.ParquetFile, pa.Schema]:
    file = pq.ParquetFile(path, page_checksum_verification=True)
    return file, file.schema_arrow


def _to_arrow(batch: list[Row], schema: pa.Schema, path: Path, first_row: int) -> pa.Table:
    try:
        table = pa.Table.from_pylist([dict(row) for row in batch], schema=schema)
        table.validate()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        last = first_row + len(batch)
        reason = " ".join(str(error).split())
        raise KformerError(f"{path}: rows {first_row} to {last} do not fit: {reason}") from None
    return table
