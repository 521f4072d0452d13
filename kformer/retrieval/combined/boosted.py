"""Search that prefers facts with matching relations, but leaves out none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kformer.retrieval.matching_relations import Relations
from kformer.retrieval.query import Hits, Query, Searcher, best, merged


class Boosted:
    """Searches all documents and multiplies the scores of those with matching relations."""

    def __init__(self, searcher: Searcher, boost: float) -> None:
        self._searcher, self._boost = searcher, boost

    @property
    def relations(self) -> Relations:
        return self._searcher.relations

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """The best of both: the best that match, boosted, and the best that do not.

        There is one search for each, so that what only the boost brings up is not missed.
        """
        all_relations = self.relations
        others = [
            Query(each.shared_text, each.suffixes, all_relations - wanted)
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
        return best(hits.ids, boosted_scores(hits.scores, self._boost), len(hits.ids))


def with_boost(searcher: Searcher, boost: float | None) -> Searcher:
    """The searcher, boosted if there is a boost."""
    return Boosted(searcher, boost) if boost else searcher


def boosted_scores(scores: NDArray[np.float32], boost: float) -> NDArray[np.float32]:
    """Scores times the boost; a negative cosine stays, since it would fall."""
    return np.where(scores > 0, scores * np.float32(boost), scores)
