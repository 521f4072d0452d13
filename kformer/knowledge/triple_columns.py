"""Which column of a table without a known header is what, told by the values in it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from itertools import islice
from math import isnan
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.knowledge.column_names import (
    TRIPLE,
    known_columns,
    names_columns,
    names_facts,
)
from kformer.knowledge.triples import KNOWN_RELATIONS, plain_name
from kformer.knowledge.unlikely_relations import (
    NAME_THEM,
    ends_as_sentence,
    refuse_unlikely_relations,
    relation_column,
)

WEIGHT = "weight"
SAMPLE = 1_000  # rows from which the columns are told

_AS_CSV = "give it the suffix .csv, and a header or columns: if it has no header"
_SEPARATORS = {
    "commas": (",", _AS_CSV),
    "semicolons": (";", _AS_CSV),
    "bars": (r"\|+", "put tabs there"),
    "spaces": (" {2,}", "put tabs there"),
}
_IN_TEXTS = {"tabs": ("\t", "give it the suffix .tsv"), **_SEPARATORS}


def order_of(where: str, rows: Sequence[Sequence[str]], relations: Set[str]) -> list[str]:
    """What the columns of triples are; raises KformerError if that cannot be told."""
    count, with_weights = len(rows[0]), has_weights(rows)
    if count != 3 and not with_weights:
        raise KformerError(
            f"{where}: {count} columns, expected 3 (head, relation, tail), perhaps with a weight "
            f"as the fourth, or 1 (text); {NAME_THEM}, with null for one that is not read"
        )
    triples = [row[:3] for row in rows]
    column = relation_column(triples, relations)
    if column is None:
        refuse_unlikely_relations(where, triples, relations)
        column = 1
    names = ["head", "tail"]
    names.insert(column, "relation")
    return names + [WEIGHT] * with_weights


def has_weights(rows: Sequence[Sequence[str]]) -> bool:
    """Whether there is a fourth column, of numbers; its first cell may be that of a header."""
    return {*map(len, rows)} == {4} and all(is_number(row[3]) for row in rows[1:] or rows)


def refuse_other_order(
    path: Path, rows: Iterable[Sequence[str]], at: int, relations: Set[str]
) -> None:
    """Raises KformerError for a file with a header, or with its relations in another column.

    Args:
        path: the file.
        rows: its rows, of which the first few are looked at.
        at: the column, from 0, in which its source has the relations.
        relations: names of relations, as `plain_name` writes them.
    """
    triples = [row[:3] for row in islice(rows, SAMPLE) if len(row) >= 3]
    column = relation_column(triples, relations)
    if column not in (None, at):
        raise KformerError(
            f"{path}: the relations are in column {column + 1}, not in column {at + 1} as in this "
            "source; read it with source: tsv"
        )
    if triples and set(TRIPLE) <= set(known_columns(triples[0]) or ()):
        raise KformerError(f"{path}: has a header, unlike this source; read it with source: tsv")


def unknown_header(where: str, first: Sequence[str], columns: Sequence[str]) -> KformerError:
    return KformerError(
        f"{where}: is {' | '.join(first)!r:.80} a header? Then name its columns text, or head, "
        "relation and tail, or say which is what with columns: {head: …}; else put a header above "
        f"it: {' | '.join(columns)}"
    )


def looks_like_header(
    rows: Sequence[Sequence[str]], columns: Sequence[str], relations: Set[str]
) -> bool:
    """Whether the first row is unlike all others, as a header of other names than known ones is."""
    first, *others = rows
    if "text" in columns:
        at = columns.index("text")
        ends = [ends_as_sentence(row[at]) for row in rows]
        return len(others) >= 3 and not ends[0] and all(ends[1:])
    if not relations.isdisjoint(map(plain_name, first)):
        return False
    if names_columns(first):
        return True
    if not others:
        return False
    if WEIGHT in columns and not is_number(first[columns.index(WEIGHT)]):
        return True
    at = columns.index("relation")
    of_others = Counter(row[at] for row in others)
    if first[at] in of_others:
        return False
    if all(plain_name(relation) in relations for relation in of_others):
        return True
    occurs_again = any(
        cell in column
        for cell, column in zip(first, map(set, zip(*others, strict=True)), strict=True)
    )
    return len(others) >= 3 and min(of_others.values()) > 1 and not occurs_again


def refuse_other_separators(where: str, lines: Sequence[str], relations: Set[str]) -> None:
    """Raises KformerError if single cells are rather rows with other separators than tabs.

    Or JSON objects, see `refuse_json`.
    """
    refuse_json(where, "".join(lines[:3]))
    for what, (separator, remedy) in _SEPARATORS.items():
        if _is_table(lines, separator, relations) or _may_be_table(lines, separator, relations):
            raise KformerError(f"{where}: {what} separate its columns, not tabs; {remedy}")


def refuse_table(where: str, lines: Sequence[str]) -> None:
    """Raises KformerError if the lines of a text are rather the rows of a table."""
    tabs = [line.count("\t") for line in lines]
    if len(tabs) > 1 and min(tabs) == max(tabs) > 1:
        raise KformerError(
            f"{where}: each line has {tabs[0]} tabs: rather a table than text; give it the suffix "
            ".tsv and read it with source: tsv"
        )
    for what, (separator, remedy) in _IN_TEXTS.items():
        if _is_table(lines, separator, KNOWN_RELATIONS):
            raise KformerError(
                f"{where}: {what} separate columns: rather a table than text, for source: csv or "
                f"tsv; {remedy}"
            )


def _is_table(lines: Sequence[str], separator: str, relations: Set[str]) -> bool:
    """Whether the first line is a header of facts, or one part of most lines a known relation."""
    rows = [[part.strip() for part in re.split(separator, line)] for line in lines]
    known = sum(len(row) > 2 and not relations.isdisjoint(map(plain_name, row)) for row in rows)
    return 2 * known > len(rows) or (len(rows[0]) > 1 and names_facts(rows[0], relations))


def _may_be_table(lines: Sequence[str], separator: str, relations: Set[str]) -> bool:
    """Whether the first line may be cells rather than a sentence, and others have as many.

    Commas of a sentence have a space behind them.
    """
    first = re.split(separator, lines[0])
    if len(first) < 2 or any(part[:1].isspace() for part in first):
        return False
    if known_columns(first, relations):
        return True
    counts = [len(re.findall(rf"{separator}(?=\S)", line)) for line in lines]
    is_usual = 2 * sum(count >= len(first) - 1 for count in counts) > len(lines)
    return is_usual and len(first) > 2 and not any(map(ends_as_sentence, first[:-1]))


def refuse_json(where: str, line: str) -> None:
    """Raises KformerError if a line of text is rather a JSON object, or begins a list of them."""
    if re.match(r'\[?\s*\{\s*"[^"]*"\s*:', line):
        raise KformerError(f"{where}: JSON, not text; give it the suffix .jsonl")


def is_number(value: Any) -> bool:
    try:
        return not isnan(float(value))
    except (TypeError, ValueError, OverflowError):
        return False
