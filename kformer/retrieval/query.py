"""Queries and hits: the interface of all ways to search."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kformer.io.tables import Row, take_rows
from kformer.retrieval.matching_relations import Relations, matching_relations
from kformer.retrieval.settings import Retrieval


@dataclass(frozen=True)
class Query:
    """A query, or several that share the beginning of their text, as those of a question do.

    Attributes:
        shared_text: what all of them begin with.
        suffixes: what each adds, such as the choices; one empty suffix = one query.
        relations: a fact is only found if it has one of these; None = whatever it has.
        gold_facts: the texts of facts that are known to answer the question; only where gold facts
            are asked for, so that no other search can see them.
    """

    shared_text: str
    suffixes: tuple[str, ...] = ("",)
    relations: Relations | None = None
    gold_facts: tuple[str, ...] = ()

    @property
    def texts(self) -> list[str]:
        """Each query in full."""
        return [f"{self.shared_text} {suffix}".strip() for suffix in self.suffixes]


def query_of(question: Row, settings: Retrieval) -> Query:
    """The query of a question, or one for each of its choices, as ``settings`` say."""
    text = f"{question['context']} {question['question']}"
    if settings.query == "context" and question["context"]:
        text = question["context"]
    suffixes = tuple(question["choices"]) if settings.query == "choice" else ("",)
    gold_facts = tuple(question["gold_facts"] or ()) if settings.method == "gold" else ()
    relations = matching_relations(settings.match, question["type"])
    return Query(text, suffixes, relations, gold_facts)


class Hits(NamedTuple):
    """The documents found for one query, best first, ties by id."""

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


class Searcher(Protocol):
    """Finds documents, which are facts or events."""

    @property
    def relations(self) -> Relations:
        """All relations that the documents have."""
        ...

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query, and each of its suffixes, the best ``top_k`` documents."""
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
    """The ``top_k`` best hits of several sets of documents that have no document in common."""
    hits = list(parts)
    if len(hits) == 1:
        return hits[0]
    ids, scores = (np.concatenate(column) for column in zip(*hits, strict=True))
    return best(ids, scores, top_k)


class Shards:
    """Searches the shards of an index, and finds the best of all."""

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


class FactHit(NamedTuple):
    """A fact that was found for a query, for people to read."""

    id: int
    score: float
    text: str
    relation: str | None


def read_fact_hits(facts: Path, hits: Sequence[Hits]) -> list[list[FactHit]]:
    """The facts that were found for each query, read from the facts table."""
    ids = sorted({fact_id for each in hits for fact_id in each.ids.tolist()})
    rows = dict(zip(ids, take_rows(facts, "facts", ids), strict=True))
    return [
        [
            FactHit(fact_id, score, rows[fact_id]["text"], rows[fact_id]["relation"])
            for fact_id, score in zip(each.ids.tolist(), each.scores.tolist(), strict=True)
        ]
        for each in hits
    ]
