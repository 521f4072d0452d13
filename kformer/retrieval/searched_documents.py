"""The documents that a method searches: where they are, and their indexes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from kformer.io.tables import read_column
from kformer.retrieval.combined.events import FactsOfEvents
from kformer.retrieval.index import Index
from kformer.retrieval.methods import IndexKind


@dataclass(frozen=True)
class Documents:
    """What a method searches: facts, or the events that they are about.

    Attributes:
        facts: the facts table.
        events: the events, if these are searched.
        indexes: of the documents, by kind: all shards, in order.
        threads: how many threads may search at once.
        for_one_query: whether there will be a single query, so that loading may take longer than
            searching.
    """

    facts: Path
    events: FactsOfEvents | None = None
    indexes: Mapping[IndexKind, Sequence[Index]] = field(default_factory=dict)
    threads: int = 1
    for_one_query: bool = False

    @property
    def texts(self) -> list[str]:
        """The text of each document, read at every call."""
        return self.events.texts if self.events else read_column(self.facts, "text").to_pylist()

    @property
    def relations(self) -> pa.ChunkedArray:
        """The relation of each document or null, read at every call; events have none."""
        if self.events:
            return pa.chunked_array([pa.nulls(len(self.events.texts))])
        return read_column(self.facts, "relation")
