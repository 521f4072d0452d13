"""Which of tens of millions of texts have occurred before."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kformer.io.text_hashes import hashes_of


class SeenTexts:
    """Remembers texts by their hashes (`kformer.io.text_hashes`), in 8 bytes each.

    Hashes lie in sorted arrays whose sizes at least halve from one to the next (a log-structured
    merge), so that a look-up takes a few binary searches.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Remembers texts; returns which are new (of equal ones the first): (len(texts),)."""
        hashes = hashes_of(texts)
        new = np.zeros(len(hashes), np.bool_)
        new[np.unique(hashes, return_index=True)[1]] = True
        for run in self._runs:
            positions = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            new &= run[positions] != hashes
        self._merge(np.sort(hashes[new]))
        return new

    def _merge(self, run: NDArray[np.uint64]) -> None:
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        if len(run):
            self._runs.append(run)
