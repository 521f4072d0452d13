"""Search by shared words and by nearness of embeddings together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kformer.retrieval.combined.boosted import with_boost
from kformer.retrieval.embeddings.dense_search import Dense, open_dense_shards
from kformer.retrieval.matching_relations import Relations
from kformer.retrieval.query import Hits, Query, Searcher, Shards, best
from kformer.retrieval.searched_documents import Documents
from kformer.retrieval.settings import Retrieval
from kformer.retrieval.words.bm25 import open_bm25

_RANKS_BEFORE = 60  # k in the paper


def open_hybrid(settings: Retrieval, documents: Documents) -> Searcher:
    """Opens both kinds of indexes, and fuses them as ``settings.fusion`` says."""
    words, dense = open_bm25(settings, documents), open_dense_shards(settings, documents)
    if settings.fusion == "rerank":
        return Reranked(words, dense, settings.candidates)
    # Each list is boosted before they become one; of events, the facts are boosted later.
    boost = None if documents.events else settings.boost
    both = [with_boost(searcher, boost) for searcher in (words, Shards(dense))]
    return RankFusion(both, settings.candidates)


class RankFusion:
    """Searches in several ways; a document scores Σ 1 / (60 + rank) over the lists that it is in.

    Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009.
    """

    def __init__(self, searchers: Sequence[Searcher], candidates: int) -> None:
        """Takes searchers of the same documents, and how many hits are taken from each."""
        self._searchers, self._candidates = searchers, candidates

    @property
    def relations(self) -> Relations:
        return self._searchers[0].relations

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query and each of its suffixes, the best ``top_k`` of the candidates."""
        found = [searcher.search(queries, self._candidates) for searcher in self._searchers]
        return [
            [fused(lists, top_k) for lists in zip(*of_query, strict=True)]
            for of_query in zip(*found, strict=True)
        ]


class Reranked:
    """Orders the hits of another searcher by the cosines of embeddings."""

    def __init__(self, searcher: Searcher, dense: Sequence[Dense], candidates: int) -> None:
        """
        Args:
            searcher: finds the candidates.
            dense: the embeddings of the same documents, in one shard or several.
            candidates: how many it finds.
        """
        self._searcher, self._candidates = searcher, candidates
        shards = [shard for shard in dense if len(shard.ids)]
        self._dense = sorted(shards, key=lambda shard: shard.first_id)
        self._first_ids = [shard.first_id for shard in self._dense]

    @property
    def relations(self) -> Relations:
        return self._searcher.relations

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query and each of its suffixes, the nearest ``top_k`` of the candidates."""
        found = self._searcher.search(queries, self._candidates)
        if not self._dense:
            return found
        texts = [text for query in queries for text in query.texts]
        # Once for each shard: they may have been embedded in different precisions.
        of_shards = [shard.embed_queries(texts) for shard in self._dense]
        embeddings = zip(*of_shards, strict=True)
        return [
            [best(hits.ids, self._cosines(next(embeddings), hits.ids), top_k) for hits in of_query]
            for of_query in found
        ]

    def _cosines(
        self, embeddings: Sequence[NDArray[np.float32]], ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The cosines of a query, by its embedding (D,) for each shard, with documents (N,)."""
        cosines = np.empty(len(ids), dtype=np.float32)
        shards = np.searchsorted(self._first_ids, ids, side="right") - 1
        for number in np.unique(shards):
            of_shard = shards == number
            shard = self._dense[number]
            cosines[of_shard] = shard.cosines(embeddings[number], ids[of_shard])
        return cosines


def fused(lists: Sequence[Hits], top_k: int) -> Hits:
    """The ``top_k`` best of several lists by reciprocal rank fusion, ties by id."""
    ids = np.concatenate([hits.ids for hits in lists])
    parts = np.concatenate([1 / (_RANKS_BEFORE + 1 + np.arange(len(hits.ids))) for hits in lists])
    distinct, numbers = np.unique(ids, return_inverse=True)
    scores = np.bincount(numbers, parts, len(distinct))
    return best(distinct, scores.astype(np.float32), top_k)
