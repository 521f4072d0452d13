"""Search by nearness of sentence embeddings.

Facts are embedded when the index is built (`write_embeddings`), queries when it is searched; the
score of a fact is the cosine of the two embeddings. Results never depend on what else is embedded
or searched for in the same call, to the last bit: all batches of one length have one shape
(`SentenceEncoder`), and the cosines that decide are computed pair by pair (`ExactSearch`).

Shapes: Q queries, N documents, D width.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kformer.retrieval.embeddings.exact_search import ExactSearch
from kformer.retrieval.embeddings.faiss_search import FaissSearch
from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder, in_threads
from kformer.retrieval.embeddings.stored_embeddings import (
    Nearest,
    open_embeddings,
    read_precision,
    rows_by_id,
)
from kformer.retrieval.matching_relations import Relations
from kformer.retrieval.query import Hits, Query, Searcher, Shards
from kformer.retrieval.relation_order import ByRelation
from kformer.retrieval.searched_documents import Documents
from kformer.retrieval.settings import Retrieval


def open_dense(settings: Retrieval, documents: Documents) -> Searcher:
    """Opens the indexes of embeddings, with the encoder that embedded the documents."""
    return Shards(open_dense_shards(settings, documents))


def open_dense_shards(settings: Retrieval, documents: Documents) -> list["Dense"]:
    """The same, shard by shard."""
    torch.set_num_threads(documents.threads)
    encoder = SentenceEncoder(settings.encoder)
    return [
        Dense(index.folder, encoder, ByRelation.open(index.folder), settings.nearest)
        for index in documents.indexes["embeddings"]
    ]


class Dense:
    """Searches documents by the nearness of their embeddings to that of a query.

    A query that is empty, or of whose words the encoder knows none, finds nothing.

    Attributes:
        encoder: embeds the queries, and has embedded the documents.
        ids: of the documents, in the order of the rows, (N,).
        first_id: the least of the ids, which have no gap.
    """

    def __init__(
        self,
        folder: Path,
        encoder: SentenceEncoder,
        layout: ByRelation,
        nearest: Nearest = "exact",
    ) -> None:
        """Opens what `write_embeddings` wrote; the embeddings are mapped into memory.

        Raises:
            KformerError: the documents were embedded by another encoder; FAISS, or its index, is
                missing.
            OSError, ValueError: a file is missing or damaged, as far as can be seen without
                reading the embeddings; `Index.check_files` compares checksums.
        """
        self.encoder, self.ids = encoder, layout.ids
        self.first_id, self._layout = layout.first_id, layout
        self._precision = read_precision(folder, encoder)
        shape = len(layout.ids), encoder.width
        self._exact = ExactSearch(open_embeddings(folder, shape), self.ids, encoder.device)
        self._search: ExactSearch | FaissSearch = self._exact
        if nearest == "faiss":
            self._search = FaissSearch.open(folder, shape, self.ids, self._exact) or self._exact

    @property
    def relations(self) -> Relations:
        return frozenset(self._layout.names)

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query and each of its suffixes, the nearest ``top_k`` documents."""
        top_k = min(top_k, len(self.ids))
        texts = [text for query in queries for text in query.texts]
        embeddings = self.embed_queries(texts)
        by_relations: dict[Relations | None, list[int]] = {}
        relations_of_texts = (query.relations for query in queries for _ in query.suffixes)
        for number, relations in enumerate(relations_of_texts):
            if texts[number] and embeddings[number].any():
                by_relations.setdefault(relations, []).append(number)
        nothing = Hits(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
        hits = [nothing] * len(texts)
        for relations, numbers in by_relations.items():
            spans = self._layout.spans(relations)
            nearest = self._nearest(embeddings[numbers], spans, top_k)
            for number, of_text in zip(numbers, nearest, strict=True):
                hits[number] = of_text
        remaining = iter(hits)
        return [[next(remaining) for _ in query.suffixes] for query in queries]

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of queries (Q, D), in the precision that the documents' have."""
        return self.encoder.embed_queries(texts, self._precision)

    def cosines(
        self, embedding: NDArray[np.float32], ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The cosines of a query's embedding (D,) with documents (N,), as `search` scores them."""
        rows = self._row_of[ids - self.first_id]
        return self._exact.cosines(embedding[None], np.zeros_like(rows), rows)

    @cached_property
    def _row_of(self) -> NDArray[np.int64]:
        return rows_by_id(self._layout)

    def _nearest(
        self, queries: NDArray[np.float32], spans: NDArray[np.int64], top_k: int
    ) -> Iterator[Hits]:
        """The documents in spans of rows that are nearest to queries (Q, D)."""
        size = self._search.queries_at_once
        batches = [queries[start : start + size] for start in range(0, len(queries), size)]
        for hits in in_threads(
            lambda batch: self._search.search(batch, spans, top_k), batches, self.encoder.device
        ):
            yield from hits
