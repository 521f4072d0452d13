"""Which facts may answer which type of question, and the search in two steps, events first."""

from collections.abc import Mapping, Sequence, Set

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kformer.errors import KformerError, listed
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


def _table(match: Match) -> Mapping[str, Sequence[str]]:
    return ATOMIC if match.relations == "atomic" else match.relations


def matching_relations(match: Match | None, question_type: str | None) -> Relations | None:
    """The relations that a question asks for; None where nothing or no table says."""
    if match is None:
        return None
    table = _table(match)
    if question_type is None or question_type not in table:
        return None
    return frozenset(table[question_type])


def check_match(match: Match, types: Set[str | None], relations: Relations) -> None:
    """Checks a table against the types that questions have and the relations that facts have.

    Raises:
        KformerError: it fits no question or no fact, or it is the user's own and names a type or
            relation that there is not.
    """
    table = _table(match)
    wanted = {relation for each in table.values() for relation in each}
    is_own = match.relations != "atomic"
    if (unknown := table.keys() - types) and (is_own or unknown == table.keys()):
        raise KformerError(
            f"retrieval.match.relations: no question is of type {listed(unknown)}; the "
            f"questions' types are {listed(types)}"
        )
    if (missing := wanted - relations) and (is_own or missing == wanted):
        raise KformerError(
            f"retrieval.match.relations: no fact has relation {listed(missing)}; the facts' "
            f"relations are {listed(relations)}"
        )


class Boosted:
    """Searches all documents and multiplies the scores of those with matching relations."""

    def __init__(self, searcher: Searcher, boost: float) -> None:
        self._searcher, self._boost = searcher, boost

    @property
    def relations(self) -> Relations:
        return self._searcher.relations

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """The best of both: the best that match, boosted, and the best that do not.

        Both are searched apart, so that nothing is missed which only the boost brings up.
        """
        all_relations = self.relations
        others = [
            Query(each.shared_text, each.endings, all_relations - wanted)
            for each in queries
            for wanted in [all_relations if each.relations is None else each.relations]
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
                merged([self._best_boosted(hits), other], top_k)
                for hits, other in zip(matching, rest, strict=True)
            ]
            for query, matching, rest in found
        ]

    def _best_boosted(self, hits: Hits) -> Hits:
        return best(hits.ids, _boosted(hits.scores, self._boost), len(hits.ids))


def _boosted(scores: NDArray[np.float32], boost: float) -> NDArray[np.float32]:
    # A negative cosine would fall by being multiplied.
    return np.where(scores > 0, scores * np.float32(boost), scores)


class FactsOfEvents:
    """Which facts are about which event, an event being what facts of the same origin are about.

    Events are numbered in the order in which they first occur.

    Attributes:
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

    @property
    def texts(self) -> list[str]:
        """The event of each number."""
        return self._texts.to_pylist()

    def of(
        self, events: NDArray[np.int64], relations: Relations | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The facts about some events that have one of some relations.

        Returns:
            their ids, and which of ``events`` each is about, by its place there.
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
            facts: what is about them.
            boost: what the scores of matching facts are multiplied by; None = others are left out.
        """
        self._searcher, self._events, self._facts, self._boost = searcher, events, facts, boost

    @property
    def relations(self) -> Relations:
        return frozenset(self._facts.relations)

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """Facts of the nearest events, those that match or all with those boosted.

        A fact's score is that of its event.
        """
        about = [Query(query.shared_text, query.endings) for query in queries]
        found = self._searcher.search(about, self._events)
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
        return best(facts, np.where(matches, _boosted(scores, self._boost), scores), top_k)
