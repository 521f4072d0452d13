"""Triples in records such as JSON lines whose fields are named as headers of tables name them."""

from functools import lru_cache

from kformer.errors import KformerError
from kformer.io.records import Record, refuse_repeated
from kformer.knowledge.column_names import TRIPLE, known_columns, refuse_text_or_triple


def with_usual_names(record: Record) -> Record:
    """A record with ``subject``, ``rel`` and the like renamed to head, relation and tail.

    One that has a text, or head, relation and tail already, stays as it is.
    """
    content = record.content
    if isinstance(content, KformerError):
        return record
    given = [name for name, value in content.items() if value is not None]
    is_named = "text" in given or set(TRIPLE) <= set(given)
    columns = None if is_named else _columns(tuple(content))
    if columns is None:
        return record
    try:
        if "text" in columns:
            refuse_text_or_triple(record.where, given)
        refuse_repeated(columns, record.where)
    except KformerError as error:
        return record._replace(content=error)
    return record._replace(content=dict(zip(columns, content.values(), strict=True)))


@lru_cache
def _columns(names: tuple[str, ...]) -> list[str] | None:
    columns = known_columns(names)
    return columns if columns and set(TRIPLE) <= set(columns) else None
