"""BM25: the fast implementation (bm25s) and the reference one (rank_bm25), with one interface."""

import re
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text, lower-cased."""
    return _WORD.findall(text.lower())


class Scorer(Protocol):
    """Scores every fact for a query."""

    def __init__(self, facts: Iterable[str]) -> None: ...

    def scores(self, query: str) -> NDArray[np.float32]:
        """Scores (n facts,); 0 where query and fact share no word."""
        ...


class Bm25s:
    """BM25 as in Lucene (k1 = 1.5, b = 0.75), scored when the index is built: Lù 2024, bm25s."""

    def __init__(self, facts: Iterable[str]) -> None:
        import bm25s

        tokens = [words(fact) for fact in facts]
        self._facts = len(tokens)
        self._vocabulary = {word for fact in tokens for word in fact}
        self._index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        if self._vocabulary:
            self._index.index(tokens, show_progress=False)

    def scores(self, query: str) -> NDArray[np.float32]:
        known = [word for word in words(query) if word in self._vocabulary]
        if not known:
            return np.zeros(self._facts, dtype=np.float32)
        return self._index.get_scores(known)


class RankBm25:
    """BM25Okapi of rank_bm25: the reference; slow on large corpora."""

    def __init__(self, facts: Iterable[str]) -> None:
        from rank_bm25 import BM25Okapi

        tokens = [words(fact) for fact in facts]
        self._facts = len(tokens)
        self._index = BM25Okapi(tokens) if any(tokens) else None

    def scores(self, query: str) -> NDArray[np.float32]:
        if self._index is None:
            return np.zeros(self._facts, dtype=np.float32)
        return self._index.get_scores(words(query)).astype(np.float32)


SCORERS: dict[str, type[Scorer]] = {"bm25": Bm25s, "rank_bm25": RankBm25}


def best(scores: NDArray[np.float32], top_k: int) -> NDArray[np.int64]:
    """The facts with the highest scores above 0, best first, ties by fact id.

    Args:
        scores: (n facts,).
        top_k: at most so many.
    """
    found = np.flatnonzero(scores > 0)
    if len(found) > top_k:
        least = np.partition(scores[found], -top_k)[-top_k]
        found = found[scores[found] >= least]
    order = np.lexsort((found, -scores[found]))
    return found[order][:top_k]
