"""The rows of tables of facts, with a header or without one."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from kformer.errors import KformerError
from kformer.io.delimited_rows import TableRow
from kformer.io.records import Record, refuse_repeated
from kformer.knowledge.column_names import (
    TRIPLE,
    known_columns,
    may_be_triple,
    refuse_text_or_triple,
)
from kformer.knowledge.triple_columns import (
    SAMPLE,
    WEIGHT,
    has_weights,
    is_number,
    looks_like_header,
    order_of,
    refuse_other_separators,
    unknown_header,
)
from kformer.knowledge.unlikely_relations import NAME_THEM, stray_relations

_ADDRESS = re.compile(r"/[acr]/\S")


class FactTable(NamedTuple):
    """What the columns of a table are."""

    columns: Sequence[str]
    has_header: bool
    stray: Callable[[Sequence[str]], str | None] = lambda _: None
    """What finds the relation of a row whose columns are in another order."""


def fact_records(
    path: Path, rows: Iterator[TableRow], table_of: Callable[[Sequence[TableRow]], FactTable]
) -> Iterator[Record]:
    """Streams the rows of a table as records, without their empty cells.

    Args:
        path: the file.
        rows: its rows.
        table_of: what its columns are, seen from its first rows.
    """
    first = list(islice(rows, SAMPLE))
    good = [row for row in first if not isinstance(row.cells, KformerError)]
    table = table_of(good) if good else FactTable((), False)
    columns, header = table.columns, table.has_header
    for line, cells in chain(first, rows):
        if isinstance(cells, KformerError):
            yield Record(path, line, cells)
        elif not (header and line == good[0].line):
            where = f"{path}:{line}"
            problem = _problem_with(cells, table)
            content = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
            error = problem and KformerError(f"{where}: {problem}")
            yield Record(path, line, error or content, tuple(columns))


def table_with_header(path: Path, rows: Sequence[TableRow], relations: Set[str]) -> FactTable:
    """The columns of a table whose first line has to be a header.

    Raises:
        KformerError: that names no text, nor a head, relation and tail; or perhaps both.
    """
    _refuse_addresses(path, rows)
    where, names = _first(path, rows)
    columns = known_columns(names, relations)
    if columns is None:
        raise KformerError(
            f"{where}: no column text, nor head, relation and tail, in the header "
            f"{' | '.join(names)!r:.80}; name them there, or with columns:"
        )
    return _table_below(where, names, columns, rows, relations)


def table_in_order(
    path: Path, rows: Sequence[TableRow], order: Sequence[str | None], relations: Set[str]
) -> FactTable:
    """The columns of a table as the config names them; a header may only say the same.

    Raises:
        KformerError: it says something else, or has names that are not known.
    """
    where, first = _first(path, rows)
    header = known_columns(first, relations) or []
    wanted = [(at, name) for at, name in enumerate(order) if name in ("text", *TRIPLE)]
    if len(header) == len(order) and all(header[at] == name for at, name in wanted):
        return FactTable(_names(order, header.index(WEIGHT) if WEIGHT in header else None), True)
    cells = _rows_of(len(order), rows)
    is_weighted = {*TRIPLE} == {*order[:3]} and has_weights(cells)
    names = _names(order, 3 if is_weighted else None)
    # A first cell "text" may as well be the head of a fact.
    if header and ("text" not in header or "text" in order):
        raise KformerError(
            f"{where}: the header {' | '.join(first)!r:.80} says otherwise than columns: "
            f"{', '.join(names)}; correct columns, or leave them out"
        )
    if cells[:1] == [first] and looks_like_header(cells, names, relations):
        raise unknown_header(where, first, names)
    return FactTable(names, False)


def _names(order: Sequence[str | None], weight: int | None) -> list[str]:
    """The columns as the config names them, with a name for those that are not read, too."""
    return [
        name or (WEIGHT if at == weight else f"column {at + 1}") for at, name in enumerate(order)
    ]


def table_of_any_kind(path: Path, rows: Sequence[TableRow], relations: Set[str]) -> FactTable:
    """The columns of a table with or without a header.

    Without one, a single column is the text; of three columns, and a fourth with weights, the one
    with names of relations is the relation; if none has, they are head, relation and tail.

    Raises:
        KformerError: what they are cannot be told, or looks wrong.
    """
    _refuse_addresses(path, rows)
    where, first = _first(path, rows)
    columns = known_columns(first, relations)
    if columns and not (len(first) == len(TRIPLE) and may_be_triple(columns)):
        return _table_below(where, first, columns, rows, relations)
    counts = Counter(len(row.cells) for row in rows if isinstance(row.cells, list))
    (usual, times), *_ = counts.most_common(1)
    if usual != len(first) and times > counts.total() / 2:
        raise KformerError(
            f"{where}: {len(first)} columns, but most lines have {usual}; correct or remove it"
        )
    cells = _rows_of(len(first), rows)
    if len(first) == 1:
        refuse_other_separators(where, [text for (text,) in cells], relations)
        table = FactTable(["text"], False)
    else:
        table = FactTable(order_of(where, cells, relations), False)
    if columns or looks_like_header(cells, table.columns, relations):
        raise unknown_header(where, first, table.columns)
    return _with_order_checked(table, rows, relations)


def _table_below(
    where: str,
    header: Sequence[str],
    columns: Sequence[str],
    rows: Sequence[TableRow],
    relations: Set[str],
) -> FactTable:
    """The table with a header that names columns; raises KformerError if it names too many."""
    refuse_text_or_triple(where, header)
    refuse_repeated(columns, where)
    return _with_order_checked(FactTable(columns, True), rows, relations)


def _refuse_addresses(path: Path, rows: Sequence[TableRow]) -> None:
    """Raises KformerError for ``/c/en/cat`` where "cat" is meant."""
    for line, cells in rows[:2]:  # of which one may be a header
        if not isinstance(cells, KformerError) and any(map(_ADDRESS.match, cells)):
            raise KformerError(
                f"{path}:{line}: addresses of ConceptNet, not words; read them with source: "
                "conceptnet, or name the columns that have words with columns: {head: …}"
            )


def _first(path: Path, rows: Sequence[TableRow]) -> tuple[str, list[str]]:
    cells = rows[0].cells
    assert not isinstance(cells, KformerError)
    return f"{path}:{rows[0].line}", cells


def _rows_of(count: int, rows: Sequence[TableRow]) -> list[list[str]]:
    """The rows with so many cells."""
    cells = (row.cells for row in rows)
    return [row for row in cells if isinstance(row, list) and len(row) == count]


def _with_order_checked(
    table: FactTable, rows: Sequence[TableRow], relations: Set[str]
) -> FactTable:
    """The table, with a check that the relation of each row is where those of most rows are."""
    if not set(TRIPLE) <= set(table.columns):
        return table
    good = _rows_of(len(table.columns), rows[table.has_header :])
    return table._replace(stray=stray_relations(good, table.columns, relations))


def _problem_with(cells: Sequence[str], table: FactTable) -> str | None:
    columns, has_header, _ = table
    if len(cells) != len(columns):
        names = ", ".join(columns)
        return f"{len(cells)} columns, expected {len(columns)} ({' '.join(names.split()):.80})"
    if (stray := table.stray(cells)) is not None:
        at = columns.index("relation")
        return (
            f"the relation would be {cells[at]!r:.40}, but {stray!r:.40} in the column "
            f"{columns[cells.index(stray)]} is rather one; correct the order of the row, or if it "
            f"is right, {NAME_THEM}"
        )
    if not has_header and columns[-1] == WEIGHT and not is_number(cells[-1]):
        return f"the weight {cells[-1]!r:.40} is no number; correct it"
    return None
