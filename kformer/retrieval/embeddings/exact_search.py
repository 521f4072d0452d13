"""The exact search for the nearest embeddings.

A matrix product in float32 finds candidates: all that its error bound allows to be among the best.
Their cosines, computed pair by pair in float64 and rounded to float32, decide. So neither results
nor scores depend on the blocks, the threads or the device that the product is computed by.

Shapes: Q queries, N documents, P pairs of them, D width.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kformer.retrieval.query import Hits

QUERIES_AT_ONCE = {"cpu": 256, "cuda": 2048}
ROWS_AT_ONCE = 8192
PAIRS_AT_ONCE = 4096
SPARE = 8  # how many more candidates than hits the product proposes

_UNIT_ROUNDOFF = 2.0**-24  # of float32


class ExactSearch:
    """Finds the nearest of some embeddings."""

    def __init__(
        self, embeddings: NDArray[np.float16], ids: NDArray[np.int64], device: str
    ) -> None:
        """
        Args:
            embeddings: of documents, (N, D).
            ids: of the documents, (N,).
            device: computes the product, ``cpu`` or ``cuda``.
        """
        self._embeddings, self._ids, self._device = embeddings, ids, device
        self.queries_at_once = QUERIES_AT_ONCE[device]
        # |fl(x·y) - x·y| <= D u / (1 - D u) |x| |y|, in whatever order it is added up (Higham,
        # Accuracy and Stability of Numerical Algorithms, 3.1); 4 u more for the rounding of the
        # exact cosine and of the comparison, and 1 % for embeddings whose length was rounded.
        self._error = 1.01 * (embeddings.shape[1] + 4) * _UNIT_ROUNDOFF

    def search(
        self, queries: NDArray[np.float32], spans: NDArray[np.int64], top_k: int
    ) -> list[Hits]:
        """The nearest documents to each query (Q, D) in spans of rows [start, end)."""
        nearest = Best(len(queries), top_k)
        on_device = torch.from_numpy(queries).to(self._device)
        for start, end in blocks(spans):
            embeddings = torch.from_numpy(self._embeddings[start:end])
            scores = on_device @ embeddings.to(on_device.device).float().T
            numbers, columns = _candidates(scores, nearest.least, top_k, self._error)
            rows = start + columns
            nearest.add(numbers, self._ids[rows], self.cosines(queries, numbers, rows))
        return nearest.hits()

    def cosines(
        self, queries: NDArray[np.float32], numbers: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The cosines of queries (Q, D), by their ``numbers`` (P,), with embeddings' rows (P,)."""
        cosines = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), PAIRS_AT_ONCE):
            some = slice(start, start + PAIRS_AT_ONCE)
            products = self._embeddings[rows[some]].astype(np.float64)
            products *= queries[numbers[some]]
            # Added up in an order that the width alone decides, unlike that of a matrix product.
            cosines[some] = products.sum(axis=1)
        return cosines


class Best:
    """The best documents so far for each of Q queries.

    Attributes:
        numbers: of the queries, ascending, (P,); for each query the best document first.
        ids: of the documents, (P,).
        scores: of the documents, (P,).
    """

    def __init__(self, queries: int, top_k: int) -> None:
        self._queries, self._top_k = queries, top_k
        self.numbers, self.ids = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        self.scores = np.empty(0, dtype=np.float32)

    @property
    def least(self) -> NDArray[np.float32]:
        """The score below which no other document is among the best, (Q,)."""
        ends = np.cumsum(np.bincount(self.numbers, minlength=self._queries))
        full = np.diff(ends, prepend=0) == self._top_k
        least = np.full(self._queries, -np.inf, dtype=np.float32)
        least[full] = self.scores[ends[full] - 1]
        return least

    def add(
        self, numbers: NDArray[np.int64], ids: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> None:
        """Adds documents; those that are not among the best are dropped."""
        numbers = np.concatenate([self.numbers, numbers])
        ids, scores = np.concatenate([self.ids, ids]), np.concatenate([self.scores, scores])
        order = np.lexsort((ids, -scores, numbers))
        ranks = np.arange(len(order)) - np.searchsorted(numbers[order], numbers[order])
        best = order[ranks < self._top_k]
        self.numbers, self.ids, self.scores = numbers[best], ids[best], scores[best]

    def hits(self) -> list[Hits]:
        """The best of each query."""
        bounds = np.searchsorted(self.numbers, np.arange(1, self._queries))
        parts = zip(np.split(self.ids, bounds), np.split(self.scores, bounds), strict=True)
        return [Hits(ids, scores) for ids, scores in parts]


def blocks(spans: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """The spans of rows, divided into blocks of at most `ROWS_AT_ONCE`."""
    for first, last in spans.tolist():
        for start in range(first, last, ROWS_AT_ONCE):
            yield start, min(start + ROWS_AT_ONCE, last)


def _candidates(
    scores: Tensor, least: NDArray[np.float32], top_k: int, error: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of these documents may be among the best for which query.

    Args:
        scores: by the fast product, (Q, N).
        least: the exact score that must be reached, (Q,).
        top_k: how many are the best.
        error: the difference between a fast and an exact score, at most.

    Returns:
        numbers of queries and of documents, (P,) each.
    """
    size = scores.shape[1]
    values, columns = scores.topk(min(top_k + SPARE, size))
    threshold = torch.from_numpy(least - error).to(scores)[:, None]
    if top_k <= size:
        # The best of this block alone reach their `top_k`-th fast score less the error.
        threshold = torch.maximum(threshold, values[:, top_k - 1 : top_k] - 2 * error)
    reaching = values >= threshold
    # All that were taken reach the threshold, so more may: there are very many near duplicates.
    crowded = reaching[:, -1] & (values.shape[1] < size)
    reaching &= ~crowded[:, None]
    numbers, ranks = reaching.nonzero(as_tuple=True)
    crowd, crowd_columns = (scores[crowded] >= threshold[crowded]).nonzero(as_tuple=True)
    crowd = crowded.nonzero(as_tuple=True)[0][crowd]
    return (
        torch.cat([numbers, crowd]).cpu().numpy(),
        torch.cat([columns[numbers, ranks], crowd_columns]).cpu().numpy(),
    )
