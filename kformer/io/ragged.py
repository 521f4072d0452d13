"""Lists of different lengths in two arrays, as Arrow stores them."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Ragged:
    """R lists of integers.

    Attributes:
        values: all of them in a row.
        offsets: (R + 1,), where in ``values`` each list begins, and where the last one ends.
    """

    values: Integers
    offsets: Integers

    @classmethod
    def of(cls, column: pa.LargeListArray) -> "Ragged":
        """The lists of a column that is no slice; nothing is copied."""
        return cls(column.values.to_numpy(), column.offsets.to_numpy())

    @classmethod
    def of_lists(cls, rows: Sequence[Sequence[int] | Integers]) -> "Ragged":
        """A copy of some lists."""
        nothing = np.zeros(1, np.int64)
        values = np.concatenate([nothing[:0], *rows], dtype=np.int64, casting="unsafe")
        return cls(values, np.concatenate([nothing, [len(row) for row in rows]]).cumsum())

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Integers:
        start, end = self.offsets[row : row + 2].tolist()
        return self.values[start:end]

    def __iter__(self) -> Iterator[Integers]:
        bounds = self.offsets.tolist()
        return (self.values[start:end] for start, end in pairwise(bounds))

    @property
    def lengths(self) -> Integers:
        """(R,)"""
        return np.diff(self.offsets)

    @property
    def longest(self) -> int:
        """The length of the longest list."""
        return int(self.lengths.max(initial=0))

    def to_arrow(self) -> pa.LargeListArray:
        """The same as a column; nothing is copied."""
        return pa.LargeListArray.from_arrays(self.offsets, self.values)

    def heads(self, rows: Integers, longest: int) -> "Ragged":
        """The first values of some lists, at most ``longest`` of each."""
        starts = self.offsets[rows]
        lengths = np.minimum(self.offsets[rows + 1] - starts, longest)
        offsets = np.concatenate([[0], lengths.cumsum()])
        return Ragged(self.values[ranges(starts, lengths)], offsets)


NO_LISTS = Ragged.of_lists([])


class RaggedBuilder:
    """Collects lists in eight bytes each and four for each of their integers."""

    def __init__(self) -> None:
        self._values, self._offsets = array("i"), array("q", [0])

    def extend(self, rows: Iterable[Sequence[int]]) -> None:
        """Adds lists behind those that are there."""
        for row in rows:
            self._values.extend(row)
            self._offsets.append(len(self._values))

    def build(self) -> Ragged:
        """All lists; no more can be added then."""
        return Ragged(np.frombuffer(self._values, np.int32), np.frombuffer(self._offsets, np.int64))


def ranges(starts: Integers, lengths: Integers) -> Integers:
    """``start, start + 1, …``, so many numbers from each start on, all in a row."""
    ends = lengths.cumsum()
    return np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
