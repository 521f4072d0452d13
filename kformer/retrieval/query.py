"""What is looked for, and what is found: the interface of all ways to search."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kformer.io.tables import Row

Relations = frozenset[str | None]


@dataclass(frozen=True)
class Query:
    """The queries of one question: what they share, and how each of them ends.

    Attributes:
        shared_text: what they share.
        endings: what each adds, such as the choices; one empty ending = one query.
        relations: of which a fact must have one to be found; None in it = no relation. None
            instead of it = any fact may be found.
    """

    shared_text: str
    endings: tuple[str, ...] = ("",)
    relations: Relations | None = None

    @property
    def texts(self) -> list[str]:
        """Each query in full."""
        return [f"{self.shared_text} {ending}".strip() for ending in self.endings]


def shared_text_of(question: Row, asks: str) -> str:
    """What the queries of a question share, as `retrieval.query` says."""
    if asks == "context" and question["context"]:
        return question["context"]
    return f"{question['context']} {question['question']}"


class Hits(NamedTuple):
    """What was found for one query, best first, ties by id."""

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


class Searcher(Protocol):
    """Finds documents, which are facts or events."""

    @property
    def relations(self) -> Relations:
        """All relations that the documents have."""
        ...

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query, and each of its endings, the best ``top_k`` documents."""
        ...


def best(ids: NDArray[np.int64], scores: NDArray[np.float32], top_k: int) -> Hits:
    """The ``top_k`` of some documents with the highest scores, ties by id."""
    if len(ids) > top_k:
        least = np.partition(scores, -top_k)[-top_k]
        enough = scores >= least
        ids, scores = ids[enough], scores[enough]
    order = np.lexsort((ids, -scores))[:top_k]
    return Hits(ids[order], scores[order])


def merged(parts: Iterable[Hits], top_k: int) -> Hits:
    """The ``top_k`` best of what was found in several sets of documents that share none."""
    found = list(parts)
    if len(found) == 1:
        return found[0]
    ids, scores = (np.concatenate(column) for column in zip(*found, strict=True))
    return best(ids, scores, top_k)


class Shards:
    """Documents that lie in several indexes: all are searched, the best of all are found."""

    def __init__(self, shards: Sequence[Searcher]) -> None:
        self._shards = shards

    @property
    def relations(self) -> Relations:
        return frozenset().union(*(shard.relations for shard in self._shards))

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        parts = [shard.search(queries, top_k) for shard in self._shards]
        return [
            [merged(hits, top_k) for hits in zip(*of_query, strict=True)]
            for of_query in zip(*parts, strict=True)
        ]
