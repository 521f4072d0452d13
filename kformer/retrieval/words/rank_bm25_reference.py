"""BM25 by rank_bm25, the reference implementation: slow on large corpora, there for comparison."""

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import pyarrow as pa

from kformer.retrieval.matching_relations import Relations
from kformer.retrieval.query import Hits, Query, best
from kformer.retrieval.relation_order import ByRelation
from kformer.retrieval.searched_documents import Documents
from kformer.retrieval.settings import Retrieval
from kformer.retrieval.words.need_of_ngrams import refusing_unspaced
from kformer.retrieval.words.tokenizer import Tokenizer, tokenizer


class RankBm25:
    """Searches documents by ``BM25Okapi``; has no index on disk, but reads all documents."""

    def __init__(
        self, texts: Iterable[str], relations: pa.ChunkedArray, tokenise: Tokenizer
    ) -> None:
        from rank_bm25 import BM25Okapi

        words = [tokenise(text) for text in texts]
        self._layout = ByRelation.of(relations)
        self._tokenise = tokenise
        self._index = BM25Okapi(words) if any(words) else None

    @classmethod
    def open(cls, settings: Retrieval, documents: Documents) -> Self:
        texts = refusing_unspaced(documents.texts, "facts", settings.words)
        return cls(texts, documents.relations, tokenizer(settings.words))

    @property
    def relations(self) -> Relations:
        return frozenset(self._layout.names)

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query and each of its suffixes, the best documents that score above 0."""
        return [[self._hits(text, query, top_k) for text in query.texts] for query in queries]

    def _hits(self, text: str, query: Query, top_k: int) -> Hits:
        ids = np.sort(self._layout.ids[self._layout.rows(query.relations)])
        if self._index is None or not len(ids):
            return Hits(np.empty(0, np.int64), np.empty(0, np.float32))
        words = self._tokenise(text)
        if len(ids) == len(self._layout.ids):
            scores = self._index.get_scores(words)
        else:
            scores = np.array(self._index.get_batch_scores(words, ids.tolist()))
        scores = scores.astype(np.float32)
        above = scores > 0
        return best(ids[above], scores[above], top_k)
