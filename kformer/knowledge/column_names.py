"""What the columns of tables of facts are called, in headers and in the config."""

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kformer.knowledge.triples import plain_name

TRIPLE = ("head", "relation", "tail")

# What headers call a column, in plain letters; the first one that is there is it.
_NAMES = {
    "head": "head subject subj start node1 concept1 entity1 argument1 arg1 term1 e1 h s startid "
    "startnode headentity headconcept headevent from source event",
    "relation": "relation rel predicate pred relationtype reltype relationship edge edgetype "
    "property link verb r p type label",
    "tail": "tail object obj end node2 concept2 entity2 argument2 arg2 term2 e2 t o endid endnode "
    "tailentity tailconcept tailevent to target inference value",
    "text": "text sentence fact statement passage paragraph knowledge claim genericsentence "
    "facttext content sentences facts texts statements",
}
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


def known_columns(header: Sequence[str], relations: Collection[str] = ()) -> list[str] | None:
    """The columns of a header under the names of facts; None if it is no header of facts."""
    plain = [plain_name(cell) for cell in header]
    if not set(plain).isdisjoint(relations):
        return None
    found = {
        role: next((plain.index(name) for name in names.split() if name in plain), None)
        for role, names in _NAMES.items()
    }
    is_triple = None not in (found[role] for role in TRIPLE)
    columns = [" ".join(cell.lower().split()) for cell in header]
    for role in TRIPLE if is_triple else ("text",):
        position = found[role]
        if position is None:
            return None
        columns[position] = role
    return columns


def may_be_triple(columns: Sequence[str]) -> bool:
    """Whether three columns of which one is called like a text may as well be a triple."""
    return "text" in columns and not _OTHERS.issuperset({*columns} - {"text"})
