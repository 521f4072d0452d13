"""Triples whose relations are rather in another column than where they are read."""

import re
from collections.abc import Callable, Sequence, Set

from kformer.errors import KformerError
from kformer.knowledge.column_names import TRIPLE
from kformer.knowledge.triples import TEMPLATES, in_words, plain_name

NAME_THEM = "name the columns in their order, such as columns: [relation, head, tail]"

_FEW = 5  # rows, or times that a value occurs, from which little can be told
_SOME = 0.1  # of the rows: a relation that is known in so many is no word that happens to be one
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,]*\d(?:e[-+]?\d+)?%?", re.IGNORECASE)
_FIRST = set("is are was were has have had may can does do did not".split())
_LAST = set("of by to in for with at on from as near than".split())
_SURE_NAME = re.compile(r"_\w|[xo][A-Z][a-z]")  # _hypernym, xNeed
_NAME = re.compile(rf"{_SURE_NAME.pattern}|[a-z]{{2,}}[A-Z][a-z]")  # birthPlace, too
_JOINED = re.compile(r"\S*(?:\w_\w|[a-z][A-Z])\S*")  # side_effect, SideEffect

# Known relations of several words, which are hardly the head or tail of a triple.
_UNMISTAKABLE = {plain_name(name) for name in TEMPLATES if " " in in_words(name)}


def relation_column(
    rows: Sequence[Sequence[str]], relations: Set[str], least: float = 0.5
) -> int | None:
    """The column so many of whose values are names of relations; None if there is not just one."""
    shares = [
        sum(plain_name(cell) in relations for cell in column) / len(rows)
        for column in zip(*rows, strict=True)
    ]
    best = max(shares, default=0)
    others = [share for share in shares if 2 * share > best]
    return shares.index(best) if best >= least and len(others) == 1 else None


def refuse_unlikely_relations(
    where: str, triples: Sequence[Sequence[str]], relations: Set[str]
) -> None:
    """Raises KformerError if the relations are none, or heads or tails are more like relations.

    Args:
        where: file and line of the first triple, for the message.
        triples: heads, relations and tails as they would be read.
        relations: names of relations, as `plain_name` writes them.
    """
    if problem := _why_unlikely(triples, relations):
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


def ends_as_sentence(text: str) -> bool:
    return text.rstrip("\"')]”’").endswith((".", "!", "?", "。", "！", "？"))


def _why_unlikely(triples: Sequence[Sequence[str]], relations: Set[str]) -> str | None:
    """What speaks for another order, strongest first: no relations, their form, what is known."""
    if _are_none(triples):
        return (
            "most relations would be sentences, addresses or numbers; is another column the text?"
        )
    if len(triples) < 2:
        return None
    shares = _shares_of_names(triples, relations)
    if shares[1] >= 0.5 and shares[1] > 2 * max(shares[0], shares[2]):
        return None
    column = relation_column(triples, relations, _SOME)
    if column is None:
        return _named_elsewhere(triples, shares) or _repeated_elsewhere(triples)
    if column == 1:
        return None
    cells = (row[column] for row in triples)
    known = next(cell for cell in cells if plain_name(cell) in relations)
    return f"the relation {known!r:.40} is in the column {TRIPLE[column]}"


def _are_none(triples: Sequence[Sequence[str]]) -> bool:
    """Whether most of the relations are none: sentences, numbers, or addresses of pages.

    An address may be the name of a relation that occurs again, or in RDF, where the head is one.
    """
    relations = [relation for _, relation, _ in triples]
    sentences = sum(" " in cell and ends_as_sentence(cell) for cell in relations)
    numbers = sum(map(bool, map(_NUMBER.fullmatch, relations)))
    pages = {r for h, r, _ in triples if _ADDRESS.match(r) and not _ADDRESS.match(h)}
    return 2 * max(sentences, numbers, len(pages)) > len(triples)


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
    """Why the heads or tails may be the relations since they are fewer; None if they are not.

    A few less count where each occurs again and again. Where the same things are heads and tails,
    as countries may be, none of these are relations.
    """
    heads, relations, tails = map(set, zip(*triples, strict=True))
    fewest = min(len(heads), len(tails))
    are_things = 2 * len(heads & tails) >= fewest
    if len(triples) < _FEW or fewest >= len(relations) or are_things:
        return None
    if 2 * fewest > len(relations) and _FEW * fewest > len(triples):
        return None
    repeated = "head" if len(heads) < len(tails) else "tail"
    return (
        f"there would be {len(relations)} different relations, and just {fewest} in the column "
        f"{repeated}, which may as well be the relation"
    )
