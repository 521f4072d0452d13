"""BM25: an index of words, and how it is searched.

The scores are those of rank_bm25's ``BM25Okapi`` (k1 = 1.5, b = 0.75; a word in more than half of
the documents, whose idf would be negative, gets a quarter of the mean idf instead). They are
computed when the index is built and kept as bm25s keeps them (Lù 2024, arXiv 2407.03618), a sparse
matrix with a column per word, in bm25s' files: `bm25s.BM25.load` reads an index too. Searching is
our own (`kernels`): bm25s can neither leave out relations without scanning them, nor share the
score of a question between its choices, nor break ties.
"""

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.query import Hits, Query, Relations, best
from kformer.retrieval.words.tokenizer import Tokenizer

K1 = 1.5
B = 0.75
EPSILON = 0.25


@dataclass
class Statistics:
    """What BM25 must know of a whole corpus, also where an index holds but a shard of it.

    Attributes:
        documents: how many there are.
        words: how many words they have in all.
        documents_with: how many of them have each word.
    """

    documents: int
    words: int
    documents_with: dict[str, int]

    @classmethod
    def of(cls, texts: Iterable[str], split: Tokenizer) -> Self:
        documents = words = 0
        documents_with: Counter[str] = Counter()
        for text in texts:
            found = split(text)
            documents += 1
            words += len(found)
            documents_with.update(list(dict.fromkeys(found)))  # in their order, always the same
        return cls(documents, words, dict(documents_with))

    @classmethod
    def total(cls, parts: Iterable["Statistics"]) -> Self:
        """Those of several shards together."""
        documents = words = 0
        documents_with: Counter[str] = Counter()
        for part in parts:
            documents += part.documents
            words += part.words
            documents_with.update(part.documents_with)
        return cls(documents, words, dict(documents_with))

    def idf(self) -> dict[str, float]:
        """The inverse document frequency of each word, as ``BM25Okapi`` has it."""
        with_word = np.fromiter(self.documents_with.values(), np.float64, len(self.documents_with))
        idf = np.log(self.documents - with_word + 0.5) - np.log(with_word + 0.5)
        if len(idf):
            # Exact, so that the order of the words, which shards change, does not matter.
            idf[idf < 0] = EPSILON * (math.fsum(idf) / len(idf))
        return dict(zip(self.documents_with, idf.tolist(), strict=True))


class Postings:
    """What each word contributes to the score of each document that has it.

    Attributes:
        impacts: (postings,).
        places: of the documents in the index, ascending for each word, (postings,).
        pointers: where the postings of each word start, and where the last one's end.
        vocabulary: the number of each word.
    """

    def __init__(
        self,
        impacts: NDArray[np.float32],
        places: NDArray[np.int32],
        pointers: NDArray[np.int64],
        vocabulary: dict[str, int],
    ) -> None:
        self.impacts, self.places, self.pointers = impacts, places, pointers
        self.vocabulary = vocabulary

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        split: Tokenizer,
        order: NDArray[np.int64],
        whole: Statistics | None = None,
    ) -> Self:
        """Reads documents and scores them.

        Args:
            texts: the documents.
            split: takes a text apart into words.
            order: which of the documents is at each place.
            whole: the statistics of the corpus of which these documents are a part; None = they
                are all.
        """
        from kformer.retrieval.words import (
            kernels,
        )  # slow to import, and `UncompiledBm25` needs none

        vocabulary: dict[str, int] = {}
        words, starts = array("i"), array("q", [0])
        for text in texts:
            words.extend([vocabulary.setdefault(word, len(vocabulary)) for word in split(text)])
            starts.append(len(words))
        begins = np.frombuffer(starts, dtype=np.int64)
        pointers, places, times = kernels.invert(
            np.frombuffer(words, dtype=np.int32), begins, order, len(vocabulary)
        )
        if whole is None:
            with_word = dict(zip(vocabulary, np.diff(pointers).tolist(), strict=True))
            whole = Statistics(len(order), len(words), with_word)
        lengths = np.diff(begins)[order]
        all_idf = whole.idf()
        idf = np.array([all_idf[word] for word in vocabulary])
        mean_length = whole.words / max(whole.documents, 1) or 1.0
        norms = K1 * (1 - B + B * lengths / mean_length)
        impacts = kernels.weigh(pointers, places, times, norms, idf, K1)
        return cls(impacts, places, pointers, vocabulary)

    def save(self, folder: Path, documents: int) -> None:
        """Writes the files of a bm25s index of so many documents."""
        import bm25s

        index = bm25s.BM25(k1=K1, b=B, method="atire", backend="numba")
        index.nonoccurrence_array = None
        index.scores = {
            "data": self.impacts,
            "indices": self.places,
            "indptr": self.pointers,
            "num_docs": documents,
        }
        index.vocab_dict = self.vocabulary
        index.save(folder, show_progress=False)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens what `save` wrote; the arrays are mapped, so processes share them.

        Raises:
            ValueError: they do not belong together.
        """
        # Not by bm25s, whose import alone takes as long as a whole `kformer search`.
        impacts, places, pointers = (
            np.load(folder / f"{name}.csc.index.npy", mmap_mode="r")
            for name in ("data", "indices", "indptr")
        )
        vocabulary = json.loads((folder / "vocab.index.json").read_text("utf-8"))
        sizes = {len(impacts), len(places), int(pointers[-1])}
        if len(sizes) > 1 or len(pointers) != len(vocabulary) + 1:
            raise ValueError("its files do not belong together")
        return cls(impacts, places, pointers, vocabulary)


_QUERIES_AT_ONCE = 64


class Bm25:
    """Searches documents by the words that they share with a query."""

    def __init__(
        self, postings: Postings, layout: ByRelation, split: Tokenizer, threads: int = 1
    ) -> None:
        self._postings, self._layout = postings, layout
        self._split, self._threads = split, threads

    @property
    def relations(self) -> Relations:
        return frozenset(self._layout.names)

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query and each of its endings, the best documents that score above 0."""
        batches = [
            queries[first : first + _QUERIES_AT_ONCE]
            for first in range(0, len(queries), _QUERIES_AT_ONCE)
        ]
        with ThreadPoolExecutor(self._threads) as pool:
            answers = pool.map(self._answer, batches, repeat(top_k))
            return list(chain.from_iterable(answers))

    def _answer(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        from kformer.retrieval.words import kernels

        top_k = min(top_k, len(self._layout.ids))
        words, times, word_bounds, part_bounds = self._parts(queries)
        spans, span_bounds = self._spans(queries)
        endings = len(word_bounds) - 1 - len(queries)
        ids = np.empty((endings, top_k), dtype=np.int64)
        scores = np.empty((endings, top_k), dtype=np.float32)
        found = np.empty(endings, dtype=np.int64)
        postings = self._postings
        kernels.search(
            postings.impacts, postings.places, postings.pointers, self._layout.ids,
            words, times, word_bounds, part_bounds, spans, span_bounds, ids, scores, found,
        )  # fmt: skip
        hits = (
            Hits(ids[row, :count], scores[row, :count]) for row, count in enumerate(found.tolist())
        )
        return [[next(hits) for _ in query.endings] for query in queries]

    def _parts(
        self, queries: Sequence[Query]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of the known words of each part, how often each is in it, and the bounds."""
        words, times, word_bounds, part_bounds = array("i"), array("i"), array("q", [0]), [0]
        for query in queries:
            for part in (query.shared_text, *query.endings):
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
        return Counter(vocabulary[word] for word in self._split(text) if word in vocabulary)

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
            here = slice(postings.pointers[word], postings.pointers[word + 1])
            scores[postings.places[here]] += times * postings.impacts[here].astype(np.float64)
        places = layout.places(relations)
        places = places[scores[places] > 0]
        return best(layout.ids[places], scores[places].astype(np.float32), top_k)
