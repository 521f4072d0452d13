"""Facts by their texts, as gold facts are named; facts of two events may read the same."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest


def ids_of_texts(facts: pa.ChunkedArray, texts: Iterable[str]) -> dict[str, list[int]]:
    """The ids of all facts that read as some texts; a text that is no fact is left out.

    Args:
        facts: the texts of all facts, (facts,).
        texts: those that are looked for.
    """
    wanted = pa.array(sorted(set(texts)), pa.string())
    found: dict[str, list[int]] = defaultdict(list)
    if not len(facts):  # Arrow crashes on a column without chunks
        return found
    positions = pc.index_in(facts, value_set=wanted)
    for fact in pc.indices_nonzero(pc.is_valid(positions)).to_pylist():
        found[wanted[positions[fact].as_py()].as_py()].append(fact)
    return dict(found)


def codes_of_texts(texts: pa.ChunkedArray) -> NDArray[np.uint64]:
    """A number for each text, the same for texts that are the same: their XXH3 hash."""
    codes = [code_of_text(text) for chunk in texts.chunks for text in chunk.to_pylist()]
    return np.array(codes, np.uint64)


def code_of_text(text: str) -> int:
    """The number of one text."""
    return xxh3_64_intdigest(text.encode())
