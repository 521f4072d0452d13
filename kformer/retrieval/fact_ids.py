"""Facts by their texts, as gold facts are named."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc


def ids_of_texts(facts: pa.ChunkedArray, texts: Iterable[str]) -> dict[str, int]:
    """The ids of those of some texts that are facts.

    Args:
        facts: the texts of all facts, (facts,), no two of which are the same.
        texts: those that are looked for.
    """
    wanted = pa.array(sorted(set(texts)), pa.string())
    if not len(facts):  # Arrow crashes on a column without chunks
        return {}
    positions = pc.index_in(facts, value_set=wanted)
    ids = pc.indices_nonzero(pc.is_valid(positions))
    return {wanted[positions[i].as_py()].as_py(): i for i in ids.to_pylist()}
