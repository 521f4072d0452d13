"""An index of words for BM25: what each word contributes to the score of each document.

The scores are those of rank_bm25's ``BM25Okapi`` (k1 = 1.5, b = 0.75; a word in more than half of
the documents, whose idf would be negative, gets a quarter of the mean idf instead). They are
computed when the index is built and kept as bm25s keeps them (Lù 2024, arXiv 2407.03618), a sparse
matrix with a column per word, in bm25s' files: `bm25s.BM25.load` reads an index too.
"""

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kformer.retrieval.words.tokenizer import Tokenizer

K1 = 1.5
B = 0.75
EPSILON = 0.25


@dataclass
class Statistics:
    """What BM25 must know of a whole corpus, also if an index holds only a shard of it.

    Attributes:
        documents: how many there are.
        words: how many words they have in all.
        documents_with: how many of them have each word.
    """

    documents: int
    words: int
    documents_with: dict[str, int]

    @classmethod
    def of(cls, texts: Iterable[str], tokenise: Tokenizer) -> Self:
        """Counts the words of texts."""
        documents = words = 0
        documents_with: Counter[str] = Counter()
        for text in texts:
            tokens = tokenise(text)
            documents += 1
            words += len(tokens)
            documents_with.update(list(dict.fromkeys(tokens)))  # in their order, always the same
        return cls(documents, words, dict(documents_with))

    @classmethod
    def total(cls, parts: Iterable["Statistics"]) -> Self:
        """The statistics of several shards together."""
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
            # An exact sum, so that the order of the words, which shards change, does not matter.
            idf[idf < 0] = EPSILON * (math.fsum(idf) / len(idf))
        return dict(zip(self.documents_with, idf.tolist(), strict=True))


class Postings:
    """What each word contributes to the score of each document that has it.

    Attributes:
        impacts: (postings,).
        rows: of the documents in the index, ascending for each word, (postings,).
        pointers: where the postings of each word start, and where the last one's end.
        vocabulary: the number of each word.
    """

    def __init__(
        self,
        impacts: NDArray[np.float32],
        rows: NDArray[np.int32],
        pointers: NDArray[np.int64],
        vocabulary: dict[str, int],
    ) -> None:
        self.impacts, self.rows, self.pointers = impacts, rows, pointers
        self.vocabulary = vocabulary

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        tokenise: Tokenizer,
        order: NDArray[np.int64],
        whole: Statistics | None = None,
    ) -> Self:
        """Computes what each word of some documents contributes.

        Args:
            texts: the documents.
            tokenise: returns the words of a text.
            order: the number of the document in each row of the index.
            whole: the statistics of the corpus of which these documents are a shard; None = they
                are the corpus.
        """
        # Slow to import, and `UncompiledBm25` does without.
        from kformer.retrieval.words import compiled_loops

        vocabulary: dict[str, int] = {}
        words, starts = array("i"), array("q", [0])
        for text in texts:
            words.extend([vocabulary.setdefault(word, len(vocabulary)) for word in tokenise(text)])
            starts.append(len(words))
        begins = np.frombuffer(starts, dtype=np.int64)
        pointers, rows, times = compiled_loops.invert(
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
        impacts = compiled_loops.weigh(pointers, rows, times, norms, idf, K1)
        return cls(impacts, rows, pointers, vocabulary)

    def save(self, folder: Path, documents: int) -> None:
        """Writes the files of a bm25s index; ``documents`` is how many there are."""
        import bm25s

        index = bm25s.BM25(k1=K1, b=B, method="atire", backend="numba")
        index.nonoccurrence_array = None
        index.scores = {
            "data": self.impacts,
            "indices": self.rows,
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
        impacts, rows, pointers = (
            np.load(folder / f"{name}.csc.index.npy", mmap_mode="r")
            for name in ("data", "indices", "indptr")
        )
        vocabulary = json.loads((folder / "vocab.index.json").read_text("utf-8"))
        sizes = {len(impacts), len(rows), int(pointers[-1])}
        if len(sizes) > 1 or len(pointers) != len(vocabulary) + 1:
            raise ValueError("its files do not belong together")
        return cls(impacts, rows, pointers, vocabulary)
