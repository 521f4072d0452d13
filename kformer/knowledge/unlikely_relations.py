"""Triples whose relations are rather in another column than where they are read."""

import re
from collections.abc import Callable, Sequence, Set

from kformer.errors import KformerError
from kformer.knowledge.column_names import TRIPLE
from kformer.knowledge.triples import TEMPLATES, in_words, plain_name

NAME_THEM = "name the columns in their order, such as columns: [relation, head, tail]"

_FEW = 5  # rows, or relations, from which little can be told by how often a value occurs
_FIRST = set("is are was were has have had may can does do did not".split())
_LAST = set("of by to in for with at on from as near than".split())
_SURE_NAME = re.compile(r"_\w|[xo][A-Z][a-z]")  # _hypernym, xNeed
_NAME = re.compile(rf"{_SURE_NAME.pattern}|[a-z]{{2,}}[A-Z][a-z]")  # birthPlace, too
_JOINED = re.compile(r"\S*(?:\w_\w|[a-z][A-Z])\S*")  # side_effect, SideEffect

# Known relations of several words, which are hardly the head or tail of a triple.
_UNMISTAKABLE = {plain_name(name) for name in TEMPLATES if " " in in_words(name)}


def refuse_unlikely_relations(
    where: str, triples: Sequence[Sequence[str]], relations: Set[str]
) -> None:
    """Raises KformerError if heads or tails are more like relations than the relations are.

    Args:
        where: file and line of the first triple, for the message.
        triples: heads, relations and tails as they would be read.
        relations: names of relations, as `plain_name` writes them.
    """
    if len(triples) < 2:
        return
    shares = _shares_of_names(triples, relations)
    if shares[1] >= 0.5 and shares[1] > 2 * max(shares[0], shares[2]):
        return
    problem = _named_elsewhere(triples, shares) or _repeated_elsewhere(triples)
    if problem:
        first = zip(TRIPLE, triples[0], strict=True)
        shown = ", ".join(f"{name} {cell!r:.40}" for name, cell in first)
        raise KformerError(f"{where}: read as {shown}, but {problem}; {NAME_THEM}")


def stray_relations(
    rows: Sequence[Sequence[str]], columns: Sequence[str], relations: Set[str]
) -> Callable[[Sequence[str]], str | None]:
    """What finds the relation of a row that is in another column than those of other rows.

    It finds none in files most of whose relations are unknown.

    Args:
        rows: the first rows of a table.
        columns: its columns, among them head, relation and tail.
        relations: names of relations, as `plain_name` writes them.
    """
    at, *ends = (columns.index(name) for name in ("relation", "head", "tail"))
    known = {row[at] for row in rows if plain_name(row[at]) in relations}
    names = known.union(TEMPLATES)

    def stray(row: Sequence[str]) -> str | None:
        if plain_name(row[at]) in relations:
            return None
        cells = (row[end] for end in ends)
        return next((c for c in cells if c in names or plain_name(c) in _UNMISTAKABLE), None)

    named = sum(row[at] in known or stray(row) is not None for row in rows)
    return stray if known and 2 * named >= len(rows) else lambda _: None


def _shares_of_names(triples: Sequence[Sequence[str]], relations: Set[str]) -> list[float]:
    """How many of the heads, relations and tails have the form of a relation's name."""
    columns = zip(*triples, strict=True)
    return [
        sum(_is_name(cell, relations, at == 1) for cell in column) / len(triples)
        for at, column in enumerate(columns)
    ]


def _is_name(cell: str, relations: Set[str], is_middle: bool) -> bool:
    """Whether a cell has the form of a relation's name, such as ``is_a``.

    With spaces, "is happy" and "to play with" are rather things, if they are not in the middle.
    """
    if plain_name(cell) in relations:
        return True
    if " " in cell:
        words = cell.lower().split()
        return words[-1] in _LAST and (is_middle or words[0] in _FIRST)
    return bool(_NAME.match(cell)) or _is_worded_as_name(cell)


def _is_worded_as_name(cell: str) -> bool:
    words = in_words(cell).split()
    return len(words) > 1 and (words[0] in _FIRST or words[-1] in _LAST)


def _is_surely_name(cell: str) -> bool:
    """Whether a cell is like ``_hypernym``, ``xNeed`` or ``UsedBy``, as things hardly are."""
    return bool(_SURE_NAME.match(cell)) or (cell.isalpha() and _is_worded_as_name(cell))


def _named_elsewhere(triples: Sequence[Sequence[str]], shares: Sequence[float]) -> str | None:
    """Why the heads or tails are relations by their form; None if they are not.

    Features such as ``has_wings`` may well be tails, but then more of them than relations.
    """
    columns = list(zip(*triples, strict=True))
    counts = [len(set(column)) for column in columns]
    joined = [sum(map(bool, map(_JOINED.fullmatch, column))) for column in columns]
    for at, other in ((0, 2), (2, 0)):
        is_named = shares[at] >= 0.5 and shares[at] > 2 * shares[1] and counts[at] <= counts[1]
        is_surely_named = not shares[1] + shares[other] and all(map(_is_surely_name, columns[at]))
        is_joined = joined[at] == len(triples) < _FEW and not joined[1] and not joined[other]
        is_repeated = counts[at] < min(counts[1], counts[other])
        if is_named or is_surely_named or (is_joined and is_repeated):
            return f"those of the column {TRIPLE[at]} look more like names of relations"
    return None


def _repeated_elsewhere(triples: Sequence[Sequence[str]]) -> str | None:
    """Why the heads or tails are relations since they are far fewer; None if they are not.

    Where the same things are heads and tails, as countries may be, none of these are relations.
    """
    heads, relations, tails = map(set, zip(*triples, strict=True))
    fewest = min(len(heads), len(tails))
    if len(triples) < _FEW or 2 * fewest >= len(relations) or 2 * len(heads & tails) >= fewest:
        return None
    repeated = "head" if len(heads) < len(tails) else "tail"
    if 2 * len(relations) > len(triples):
        return (
            f"most relations would occur once, and those of the column {repeated} again and again"
        )
    if len(relations) < _FEW:
        return None
    return (
        f"there would be {len(relations)} different relations, and just {fewest} in the column "
        f"{repeated}"
    )
