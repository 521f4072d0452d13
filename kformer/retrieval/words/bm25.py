"""BM25: searching an index of words.

Searching is our own (`kernels`): bm25s can neither leave out relations without scanning them, nor
share the score of a question between its choices, nor break ties.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from kformer.retrieval.matching_relations import Relations
from kformer.retrieval.query import Hits, Query, Searcher, Shards, best
from kformer.retrieval.relation_order import ByRelation
from kformer.retrieval.searched_documents import Documents
from kformer.retrieval.settings import Retrieval
from kformer.retrieval.words.postings import Postings
from kformer.retrieval.words.tokenizer import Tokenizer, tokenizer

_QUERIES_AT_ONCE = 64


def open_bm25(settings: Retrieval, documents: Documents) -> Searcher:
    """Opens the indexes of words; the arrays are mapped, so that processes share them."""
    search_by = UncompiledBm25 if documents.for_one_query else Bm25
    tokenise = tokenizer(settings.words)
    return Shards(
        [
            search_by(
                Postings.open(index.folder),
                ByRelation.open(index.folder),
                tokenise,
                documents.threads,
            )
            for index in documents.indexes["words"]
        ]
    )


class Bm25:
    """Searches documents by the words that they share with a query."""

    def __init__(
        self, postings: Postings, layout: ByRelation, tokenise: Tokenizer, threads: int = 1
    ) -> None:
        self._postings, self._layout = postings, layout
        self._tokenise, self._threads = tokenise, threads

    @property
    def relations(self) -> Relations:
        return frozenset(self._layout.names)

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query and each of its suffixes, the best documents that score above 0."""
        batches = [
            queries[first : first + _QUERIES_AT_ONCE]
            for first in range(0, len(queries), _QUERIES_AT_ONCE)
        ]
        with ThreadPoolExecutor(self._threads) as pool:
            found = pool.map(self._search_batch, batches, repeat(top_k))
            return list(chain.from_iterable(found))

    def _search_batch(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        from kformer.retrieval.words import compiled_loops

        top_k = min(top_k, len(self._layout.ids))
        words, times, word_bounds, part_bounds = self._parts(queries)
        spans, span_bounds = self._spans(queries)
        total = len(word_bounds) - 1 - len(queries)  # of suffixes
        ids = np.empty((total, top_k), dtype=np.int64)
        scores = np.empty((total, top_k), dtype=np.float32)
        counts = np.empty(total, dtype=np.int64)
        postings = self._postings
        compiled_loops.search(
            postings.impacts, postings.rows, postings.pointers, self._layout.ids,
            words, times, word_bounds, part_bounds, spans, span_bounds, ids, scores, counts,
        )  # fmt: skip
        hits = (
            Hits(ids[number, :count], scores[number, :count])
            for number, count in enumerate(counts.tolist())
        )
        return [[next(hits) for _ in query.suffixes] for query in queries]

    def _parts(
        self, queries: Sequence[Query]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of the known words of each part, how often each is in it, and the bounds.

        Parts of a query are its shared text and its suffixes.
        """
        words, times, word_bounds, part_bounds = array("i"), array("i"), array("q", [0]), [0]
        for query in queries:
            for part in (query.shared_text, *query.suffixes):
                counts = self._known_words(part)
                words.extend(counts.keys())
                times.extend(counts.values())
                word_bounds.append(len(words))
            part_bounds.append(len(word_bounds) - 1)
        return (
            np.array(words, dtype=np.int32),
            np.array(times, dtype=np.int32),
            np.array(word_bounds, dtype=np.int64),
            np.array(part_bounds, dtype=np.int64),
        )

    def _known_words(self, text: str) -> Counter[int]:
        vocabulary = self._postings.vocabulary
        return Counter(vocabulary[word] for word in self._tokenise(text) if word in vocabulary)

    def _spans(self, queries: Sequence[Query]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        known = {query.relations: self._layout.spans(query.relations) for query in queries}
        spans = [known[query.relations] for query in queries]
        bounds = np.cumsum([0, *map(len, spans)], dtype=np.int64)
        return np.concatenate(spans), bounds


class UncompiledBm25(Bm25):
    """The same without compiled loops, for single queries: to load those takes longer than this."""

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """The same documents and scores, bit for bit."""
        return [
            [self._hits(text, query.relations, top_k) for text in query.texts] for query in queries
        ]

    def _hits(self, text: str, relations: Relations | None, top_k: int) -> Hits:
        postings, layout = self._postings, self._layout
        scores = np.zeros(len(layout.ids))
        for word, times in self._known_words(text).items():
            span = slice(postings.pointers[word], postings.pointers[word + 1])
            scores[postings.rows[span]] += times * postings.impacts[span].astype(np.float64)
        rows = layout.rows(relations)
        rows = rows[scores[rows] > 0]
        return best(layout.ids[rows], scores[rows].astype(np.float32), top_k)
