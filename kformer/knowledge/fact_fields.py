"""The fields of records such as JSON lines under the names of facts, as headers of tables are."""

from functools import lru_cache

from kformer.errors import KformerError
from kformer.io.records import Record, refuse_repeated
from kformer.knowledge.column_names import TRIPLE, known_columns


def with_usual_names(record: Record) -> Record:
    """A record with ``subject``, ``rel`` and the like under the names of the parts of a fact.

    One that has a text, or head, relation and tail, stays as it is.
    """
    content = record.content
    if isinstance(content, KformerError):
        return record
    given = tuple(name for name, value in content.items() if value is not None)
    if "text" in given or set(TRIPLE) <= set(given):
        return record
    names = given if _columns(given) else tuple(content)  # without what is null, if it will do
    columns = _columns(names)
    if columns is None:
        return record
    try:
        refuse_repeated(columns, record.where)
    except KformerError as error:
        return record._replace(content=error)
    renamed = {column: content[name] for name, column in zip(names, columns, strict=True)}
    return record._replace(content=renamed)


@lru_cache
def _columns(names: tuple[str, ...]) -> list[str] | None:
    return known_columns(names)
