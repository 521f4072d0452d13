"""Which facts may answer which type of question, and the search in two steps, events first."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kformer.retrieval.query import Hits, Query, Relations, Searcher, best, merged
from kformer.retrieval.settings import Match

# What Social IQA's types of question ask for is what ATOMIC's dimensions hold; the relations that
# ATOMIC-2020 added are listed with the dimension that they refine.
ATOMIC: Mapping[str, Sequence[str]] = {
    "oEffect": ["oEffect"],
    "oReact": ["oReact"],
    "oWant": ["oWant"],
    "xAttr": ["xAttr"],
    "xEffect": ["xEffect"],
    "xIntent": ["xIntent", "xReason"],
    "xNeed": ["xNeed"],
    "xReact": ["xReact"],
    "xWant": ["xWant"],
}


def matching_relations(match: Match, question_type: str | None) -> Relations | None:
    """The relations that a question asks for; None where the table does not know."""
    table = ATOMIC if match.relations == "atomic" else match.relations
    if question_type is None or question_type not in table:
        return None
    return frozenset(table[question_type])


class Boosted:
    """Searches all documents and multiplies the scores of those with matching relations."""

    def __init__(self, searcher: Searcher, boost: float) -> None:
        self._searcher, self._boost = searcher, np.float32(boost)

    @property
    def relations(self) -> Relations:
        return self._searcher.relations

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """The best of both: the best that match, boosted, and the best that do not.

        Both are searched apart, so that nothing is missed which only the boost brings up.
        """
        all_relations = self.relations
        others = [
            Query(each.stem, each.endings, all_relations - (each.relations or all_relations))
            for each in queries
        ]
        found = zip(
            queries,
            self._searcher.search(queries, top_k),
            self._searcher.search(others, top_k),
            strict=True,
        )
        return [
            matching
            if query.relations is None
            else [
                merged([self._boosted(hits), other], top_k)
                for hits, other in zip(matching, rest, strict=True)
            ]
            for query, matching, rest in found
        ]

    def _boosted(self, hits: Hits) -> Hits:
        # A negative cosine would fall by being multiplied.
        scores = np.where(hits.scores > 0, hits.scores * self._boost, hits.scores)
        return best(hits.ids, scores, len(hits.ids))


class FactsOfEvents:
    """Which facts are about which event, an event being what facts of the same origin are about.

    Events are numbered in the order in which they first occur.

    Attributes:
        texts: the event of each number.
        relations: all relations that facts have.
    """

    def __init__(self, origins: pa.ChunkedArray, relations: pa.ChunkedArray) -> None:
        """Takes the origin and the relation of every fact, (facts,)."""
        origin = origins.combine_chunks().dictionary_encode()
        relation = relations.combine_chunks().dictionary_encode(null_encoding="encode")
        event = origin.indices.to_numpy()
        self.texts: list[str] = origin.dictionary.to_pylist()
        self.relations: list[str | None] = relation.dictionary.to_pylist()
        self._facts = np.argsort(event, kind="stable")
        self._relation = relation.indices.to_numpy()
        counts = np.bincount(event, minlength=len(self.texts))
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    def of(self, event: int, relations: Relations | None) -> NDArray[np.int64]:
        """The facts about an event that have one of some relations, in the order of their ids."""
        facts = self._facts[self._starts[event] : self._starts[event + 1]]
        if relations is None:
            return facts
        wanted = [place for place, name in enumerate(self.relations) if name in relations]
        return facts[np.isin(self._relation[facts], wanted)]


class ByEvent:
    """Finds the nearest events first, and then the facts about them."""

    def __init__(self, searcher: Searcher, events: int, facts: FactsOfEvents) -> None:
        """Takes what searches the events, how many of them are taken, and what is about them."""
        self._searcher, self._events, self._facts = searcher, events, facts

    @property
    def relations(self) -> Relations:
        return frozenset(self._facts.relations)

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """The matching facts of the nearest events; a fact's score is that of its event."""
        about = [Query(query.stem, query.endings) for query in queries]
        found = self._searcher.search(about, self._events)
        return [
            [self._facts_of(events, query.relations, top_k) for events in of_query]
            for query, of_query in zip(queries, found, strict=True)
        ]

    def _facts_of(self, events: Hits, relations: Relations | None, top_k: int) -> Hits:
        facts = [self._facts.of(event, relations) for event in events.ids.tolist()]
        ids = np.concatenate([np.empty(0, np.int64), *facts])
        return best(ids, np.repeat(events.scores, list(map(len, facts))), top_k)
