"""What the columns of tables of facts are called, in headers and in the config."""

from collections.abc import Sequence, Set
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kformer.errors import KformerError
from kformer.knowledge.triples import plain_name

TRIPLE = ("head", "relation", "tail")

# What headers call head and tail, relation, and text, in plain letters; the first that is there.
_ENDS = (
    *(("head", "tail"), ("subject", "object"), ("subj", "obj"), ("start", "end")),
    *((f"{name}1", f"{name}2") for name in ("node", "concept", "entity", "argument", "arg")),
    *((f"{name}1", f"{name}2") for name in ("term", "word", "phrase", "event", "e", "w", "x")),
    *((f"head{name}", f"tail{name}") for name in ("entity", "concept", "event", "node", "id")),
    *((f"start{name}", f"end{name}") for name in ("id", "node")),
    *(("h", "t"), ("s", "o"), ("source", "target"), ("from", "to")),
    *(("event", "tail"), ("event", "inference"), ("headevent", "tail"), ("subject", "value")),
)
_RELATIONS = """
    relation rel predicate pred relationtype reltype relationship edge edgetype property link verb r
    p type label
""".split()
_TEXTS = """
    text sentence fact statement passage paragraph knowledge claim genericsentence facttext content
    sentences facts texts statements
""".split()
_ROLES = {name for pair in _ENDS for name in pair}.union(_RELATIONS)
# Beside a text, these may as well say where it is from, or a part of it and its kind.
_VAGUE = set("source target from to start end subject value type label link property".split())
_OTHERS = set("relation origin id source weight score confidence type label url title".split())


def _is_text_or_triple(order: list[str | None]) -> list[str | None]:
    named = [name for name in order if name]
    if len(set(named)) < len(named):
        raise ValueError("a column is named twice")
    if ("text" in named) == ("head" in named or "tail" in named) or (
        "text" not in named and not set(TRIPLE) <= set(named)
    ):
        raise ValueError("name either text, or head, relation and tail")
    return order


ColumnOrder = Annotated[
    list[Literal["text", "head", "relation", "tail", "origin"] | None],
    Field(min_length=1),
    AfterValidator(_is_text_or_triple),
]
"""What the columns of a table without a header are; null = not read."""


def known_columns(header: Sequence[str], relations: Set[str] = frozenset()) -> list[str] | None:
    """The columns of a header under the names of facts; None if it is no header of facts.

    Where both a text and a triple may be meant, both are named, see `refuse_text_or_triple`.
    """
    plain = [plain_name(cell) for cell in header]
    if not set(plain).isdisjoint(relations):
        return None
    triple, text = _facts_in(plain)
    columns = [" ".join(cell.lower().split()) for cell in header]
    if triple:
        for name, role in zip(triple, TRIPLE, strict=True):
            columns[plain.index(name)] = role
    if text:
        columns[plain.index(text)] = "text"
    return columns if triple or text else None


def refuse_text_or_triple(where: str, header: Sequence[str]) -> None:
    """Raises KformerError for a text beside what may be a triple, or say something about it."""
    plain = [plain_name(cell) for cell in header]
    triple, text = _facts_in(plain)
    if triple and text:
        written = dict(zip(plain, header, strict=True))
        raise KformerError(
            f"{where}: is the text ({written[text]}) the fact, or the triple "
            f"({', '.join(written[name] for name in triple)})? Say it with columns: {{text: …}} "
            "or columns: {head: …, relation: …, tail: …}"
        )


def _facts_in(names: Sequence[str]) -> tuple[tuple[str, str, str] | None, str | None]:
    """What head, relation and tail are called, and what a text, unless the triple is plain."""
    relation = next((name for name in _RELATIONS if name in names), None)
    ends = next((pair for pair in _ENDS if pair[0] in names and pair[1] in names), None)
    triple = (ends[0], relation, ends[1]) if relation and ends else None
    text = next((name for name in _TEXTS if name in names), None)
    return triple, text if triple is None or _VAGUE.issuperset(triple) else None


def names_facts(header: Sequence[str], relations: Set[str]) -> bool:
    """Whether a header names a triple, or a text with nothing else than what facts have."""
    columns = known_columns(header, relations)
    return columns is not None and (set(TRIPLE) <= set(columns) or not may_be_triple(columns))


def names_columns(cells: Sequence[str]) -> bool:
    """Whether at least two cells are what headers call a part of a triple."""
    return len(_ROLES.intersection(map(plain_name, cells))) >= 2


def may_be_triple(columns: Sequence[str]) -> bool:
    """Whether three columns of which one is called like a text may as well be a triple."""
    return "text" in columns and not _OTHERS.issuperset({*columns} - {"text"})
