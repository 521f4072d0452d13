"""Facts by their texts, as gold facts are named; facts of two events may read the same."""

from collections import defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc


def ids_of_texts(facts: pa.ChunkedArray, texts: Iterable[str]) -> dict[str, list[int]]:
    """The ids of all facts that read as some texts; a text that is no fact is left out.

    Args:
        facts: the texts of all facts, (facts,).
        texts: those that are looked for.
    """
    wanted = pa.array(sorted(set(texts)), pa.string())
    if not len(facts):  # Arrow crashes on a column without chunks
        return {}
    found: dict[str, list[int]] = defaultdict(list)
    positions = pc.index_in(facts, value_set=wanted)
    for fact in pc.indices_nonzero(pc.is_valid(positions)).to_pylist():
        found[wanted[positions[fact].as_py()].as_py()].append(fact)
    return dict(found)
