"""The approximate search for the nearest embeddings, by FAISS.

Douze and others 2024, arXiv 2401.08281. Shapes: Q queries, N documents, D width.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kformer.errors import KformerError
from kformer.progress import track
from kformer.retrieval.embeddings.exact_search import SPARE, Best, ExactSearch, blocks
from kformer.retrieval.query import Hits

FEWEST_ROWS = 10_000  # fewer are searched exactly, and as fast
LISTS_SEARCHED = 64

_FILE = "faiss.index"
_LISTS_PER_ROOT = 4  # lists for the square root of the number of rows
_ROWS_PER_LIST = 40  # from which the lists are learnt


def write_faiss_index(embeddings: NDArray[np.float16], folder: Path) -> None:
    """Writes ``faiss.index``: the embeddings (N, D) once more, in lists around centres.

    They are held in float16, as they are. The same embeddings give the same bytes. Nothing is
    written if there are fewer than `FEWEST_ROWS`.
    """
    documents, width = embeddings.shape
    if documents < FEWEST_ROWS:
        return
    faiss = import_faiss()
    lists = int(_LISTS_PER_ROOT * documents**0.5)
    lists = min(lists, documents // _ROWS_PER_LIST)
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(width),
        width,
        lists,
        faiss.ScalarQuantizer.QT_fp16,
        faiss.METRIC_INNER_PRODUCT,
        False,
    )
    index.cp.spherical = True
    sample = np.random.default_rng(0).choice(documents, lists * _ROWS_PER_LIST, replace=False)
    index.train(embeddings[np.sort(sample)].astype(np.float32))
    spans = list(blocks(np.array([[0, documents]])))
    for start, end in track(spans, "indexing blocks of embeddings", len(spans)):
        index.add(embeddings[start:end].astype(np.float32))
    faiss.write_index(index, str(folder / _FILE))


class FaissSearch:
    """Finds most of the nearest embeddings, with their exact cosines."""

    queries_at_once = 1  # FAISS computes several at once in another way

    def __init__(self, index: Any, ids: NDArray[np.int64], exact: ExactSearch) -> None:
        """Takes an index of FAISS, the ids of its rows (N,), and the exact search of these."""
        self._index, self._ids, self._exact = index, ids, exact

    @classmethod
    def open(
        cls, folder: Path, shape: tuple[int, int], ids: NDArray[np.int64], exact: ExactSearch
    ) -> "FaissSearch | None":
        """Maps the index that `write_faiss_index` wrote; None if the rows are few.

        Raises:
            KformerError: FAISS is not installed, or the index was built without it.
            ValueError: the file is damaged, or of another shape than (N, D).
        """
        faiss = import_faiss()
        if shape[0] < FEWEST_ROWS:
            return None
        path = folder / _FILE
        if not path.is_file():
            raise KformerError(
                f"{path}: this file is not there, the index was built for retrieval.nearest: "
                "exact; build it again, or set this back"
            )
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
        except RuntimeError:
            raise ValueError(f"{_FILE} cannot be read") from None
        if (index.ntotal, index.d) != shape:
            raise ValueError(f"{_FILE} is {(index.ntotal, index.d)} instead of {shape}")
        return cls(index, ids, exact)

    def search(
        self, queries: NDArray[np.float32], spans: NDArray[np.int64], top_k: int
    ) -> list[Hits]:
        """As `ExactSearch.search`, for one query (1, D)."""
        documents = int(np.diff(spans).sum())
        nearest = Best(1, top_k)
        if not documents:
            return nearest.hits()
        faiss = import_faiss()
        parameters = faiss.SearchParametersIVF(sel=_selector(faiss, spans), nprobe=LISTS_SEARCHED)
        wanted = min(top_k + SPARE, documents)
        rows = self._index.search(queries, wanted, params=parameters)[1][0]
        rows = rows[rows >= 0]
        if len(rows) < min(top_k, documents):  # too few rows of these spans are near
            return self._exact.search(queries, spans, top_k)
        numbers = np.zeros_like(rows)
        nearest.add(numbers, self._ids[rows], self._exact.cosines(queries, numbers, rows))
        return nearest.hits()


def import_faiss() -> ModuleType:
    """FAISS, which is an extra; raises KformerError if it is not installed."""
    try:
        import faiss
    except ImportError:
        raise KformerError(
            "retrieval.nearest: FAISS is not installed; run: pip install -c constraints.txt -e "
            "'.[faiss]', or set it to exact"
        ) from None
    return faiss


def _selector(faiss: ModuleType, spans: NDArray[np.int64]) -> Any:
    """Selects the rows in some spans."""
    selector = None
    for start, end in spans.tolist():
        these = faiss.IDSelectorRange(start, end)
        selector = these if selector is None else faiss.IDSelectorOr(selector, these)
    return selector
