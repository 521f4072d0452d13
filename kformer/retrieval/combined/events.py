"""Events: which facts are about which, and the search in two steps, events first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kformer.io.tables import read_column
from kformer.retrieval.combined.boosted import boosted_scores
from kformer.retrieval.matching_relations import Relations
from kformer.retrieval.query import Hits, Query, Searcher, best


class FactsOfEvents:
    """The facts about each event, an event being what facts of the same origin are about.

    Events are numbered in the order in which they first occur.

    Attributes:
        texts: the text of each event, (events,).
        relations: all relations that facts have.
    """

    def __init__(self, origins: pa.ChunkedArray, relations: pa.ChunkedArray) -> None:
        """Takes the origin and the relation of every fact, (facts,)."""
        origin = origins.combine_chunks().dictionary_encode()
        relation = relations.combine_chunks().dictionary_encode(null_encoding="encode")
        event = origin.indices.to_numpy()
        self._texts = origin.dictionary
        self.relations: list[str | None] = relation.dictionary.to_pylist()
        self._facts = np.argsort(event, kind="stable")
        self._relation = relation.indices.to_numpy()
        counts = np.bincount(event, minlength=len(self._texts))
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    @classmethod
    def read(cls, facts: Path) -> Self:
        """Reads the events of a facts table."""
        return cls(read_column(facts, "origin"), read_column(facts, "relation"))

    @property
    def texts(self) -> list[str]:
        return self._texts.to_pylist()

    def of(
        self, events: NDArray[np.int64], relations: Relations | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The facts about some events that have one of some relations; None = any.

        Returns:
            the ids of the facts, and for each fact the index into ``events`` of its event.
        """
        starts, ends = self._starts[events], self._starts[events + 1]
        about = np.repeat(np.arange(len(events)), ends - starts)
        each = [self._facts[i:j] for i, j in zip(starts.tolist(), ends.tolist(), strict=True)]
        facts = np.concatenate([self._facts[:0], *each])
        if relations is not None:
            matches = self.have(facts, relations)
            facts, about = facts[matches], about[matches]
        return facts, about

    def have(self, facts: NDArray[np.int64], relations: Relations) -> NDArray[np.bool_]:
        """Which of some facts have one of some relations."""
        wanted = np.array([name in relations for name in self.relations], dtype=np.bool_)
        return wanted[self._relation[facts]]


class ByEvent:
    """Finds the nearest events first, and then the facts about them."""

    def __init__(
        self, searcher: Searcher, events: int, facts: FactsOfEvents, boost: float | None = None
    ) -> None:
        """Takes what is needed for both steps.

        Args:
            searcher: searches the events.
            events: how many of them are taken.
            facts: the facts about each event.
            boost: multiplies the scores of matching facts; None = the others are left out.
        """
        self._searcher, self._events, self._facts, self._boost = searcher, events, facts, boost

    @property
    def relations(self) -> Relations:
        return frozenset(self._facts.relations)

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """Facts of the nearest events: those that match, or all with the matching ones boosted.

        A fact's score is that of its event.
        """
        queries_for_events = [Query(query.shared_text, query.suffixes) for query in queries]
        found = self._searcher.search(queries_for_events, self._events)
        return [
            [self._facts_of(events, query.relations, top_k) for events in of_query]
            for query, of_query in zip(queries, found, strict=True)
        ]

    def _facts_of(self, events: Hits, relations: Relations | None, top_k: int) -> Hits:
        if relations is None or self._boost is None:
            facts, about = self._facts.of(events.ids, relations)
            return best(facts, events.scores[about], top_k)
        facts, about = self._facts.of(events.ids, None)
        scores, matches = events.scores[about], self._facts.have(facts, relations)
        return best(facts, np.where(matches, boosted_scores(scores, self._boost), scores), top_k)
