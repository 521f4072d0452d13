"""A searcher whose scores are given."""

import numpy as np
import pytest

from kformer.retrieval.query import best


class Scored:
    """Documents that score the same for every query; like cosines, scores may be below 0."""

    def __init__(self, documents):
        self._names = [name for name, _ in documents]
        self._scores = np.array([score for _, score in documents], dtype=np.float32)
        self.relations = frozenset(self._names)

    def search(self, queries, top_k):
        return [[self._best(each.relations, top_k)] * len(each.suffixes) for each in queries]

    def _best(self, wanted, top_k):
        ids = [i for i, name in enumerate(self._names) if wanted is None or name in wanted]
        ids = np.array(ids, dtype=np.int64)
        return best(ids, self._scores[ids], top_k)


@pytest.fixture(scope="session")
def scored():
    """Makes a searcher of documents, each (relation, score)."""
    return Scored
