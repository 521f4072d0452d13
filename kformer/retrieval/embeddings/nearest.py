"""Search by nearness of sentence embeddings.

Facts are embedded when the index is built (`write_embeddings`), queries when it is searched; the
score of a fact is the cosine of the two embeddings. Results never depend on what else is embedded
or searched for in the same call, to the last bit: all batches of one length have one shape
(`SentenceEncoder`), and the cosines that decide are computed pair by pair (`Dense`).

Shapes: B batch, L tokens, Q queries, N documents, P pairs, D width.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from tokenize import TokenError
from types import ModuleType
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kformer.errors import KformerError
from kformer.io.files import write_json
from kformer.progress import track
from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.embeddings.sentence_encoder import (
    KEY,
    Precision,
    SentenceEncoder,
    in_threads,
)
from kformer.retrieval.query import Hits, Query, Relations

_EMBEDDINGS = "embeddings.npy"
_ENCODER = "encoder.json"
_FAISS = "faiss.index"
_DOCUMENTS_AT_ONCE = 16_384  # are embedded together, the short ones first
Nearest = Literal["exact", "faiss"]


def write_embeddings(
    texts: Iterable[str],
    encoder: SentenceEncoder,
    layout: ByRelation,
    folder: Path,
    nearest: Nearest = "exact",
) -> None:
    """Embeds documents and writes ``embeddings.npy``, float16 (N, D), and ``encoder.json``.

    With ``nearest="faiss"`` also ``faiss.index``, unless they are few.

    Args:
        texts: of the documents, in the order of their ids.
        encoder: what embeds them.
        layout: the order of the rows.
        folder: where the files go; making it, and making it whole or not at all, is the caller's.
        nearest: how they will be searched.

    Raises:
        KformerError: FAISS is not installed.
    """
    if nearest == "faiss":
        _import_faiss()  # before hours of embedding
    documents = len(layout.ids)
    embeddings = np.lib.format.open_memmap(
        folder / _EMBEDDINGS, mode="w+", dtype=np.float16, shape=(documents, encoder.width)
    )
    rows = _rows_by_id(layout)
    following = iter(texts)
    for first in range(0, documents, _DOCUMENTS_AT_ONCE):
        some = list(islice(following, _DOCUMENTS_AT_ONCE))
        embeddings[rows[first : first + _DOCUMENTS_AT_ONCE]] = encoder.embed_documents(some)
    embeddings.flush()
    attributes = ("name", "sha256", "width", "precision")
    write_json(folder / _ENCODER, {name: getattr(encoder, name) for name in attributes})
    if nearest == "faiss" and documents >= _FEWEST_ROWS:
        _write_faiss(folder)


def _rows_by_id(layout: ByRelation) -> NDArray[np.int64]:
    """The row of each document, in the order of their ids, (N,)."""
    return np.argsort(layout.ids, kind="stable")


# --- the nearest embeddings

_QUERIES_AT_ONCE = {"cpu": 256, "cuda": 2048}
_ROWS_AT_ONCE = 8192
_PAIRS_AT_ONCE = 4096
_SPARE = 8  # how many more than asked for the fast product proposes
_UNIT_ROUNDOFF = 2.0**-24  # of float32

_FEWEST_ROWS = 10_000  # for FAISS; fewer are searched exactly, and as fast
_LISTS_PER_ROOT = 4  # lists for the square root of the number of rows
_ROWS_PER_LIST = 40  # from which the lists are learnt
_LISTS_SEARCHED = 64


class Dense:
    """Searches documents by the nearness of their embeddings to that of a query.

    A matrix product in float32 finds candidates, all that could be among the best given its
    error bound; what decides is their cosine, computed pair by pair in float64 and rounded to
    float32. So neither results nor scores depend on the blocks, the threads or the device that
    the product is computed by. An empty query is near to nothing.

    Attributes:
        encoder: what embeds the queries, and embedded the documents.
        ids: of the documents, in the order of the rows, (N,).
        first_id: of the documents, whose ids have no gap.
    """

    def __init__(
        self,
        folder: Path,
        encoder: SentenceEncoder,
        layout: ByRelation,
        nearest: Nearest = "exact",
    ) -> None:
        """Opens what `write_embeddings` wrote; the embeddings are mapped.

        Raises:
            KformerError: the documents were embedded by another encoder; FAISS, or its index, is
                not there.
            OSError, ValueError: a file is missing or damaged, as far as is seen without reading
                the embeddings; `Index.check_files` compares checksums.
        """
        self.encoder, self.ids = encoder, layout.ids
        self.first_id, self._layout = layout.first_id, layout
        self._precision = _precision_of(folder / _ENCODER, encoder)
        shape = len(layout.ids), encoder.width
        self._embeddings = _open_embeddings(folder / _EMBEDDINGS, shape)
        # |fl(x·y) - x·y| <= D u / (1 - D u) |x| |y|, in whatever order it is added up (Higham,
        # Accuracy and Stability of Numerical Algorithms, 3.1); 4 u more for the rounding of the
        # exact cosine and of the comparison, and 1 % for embeddings whose length was rounded.
        self._error = 1.01 * (encoder.width + 4) * _UNIT_ROUNDOFF
        self._faiss: Any = _open_faiss(folder, *shape) if nearest == "faiss" else None

    @property
    def relations(self) -> Relations:
        return frozenset(self._layout.names)

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query and each of its endings, the nearest ``top_k`` documents."""
        top_k = min(top_k, len(self.ids))
        texts = [text for query in queries for text in query.texts]
        embeddings = self.embed_queries(texts)
        alike: dict[Relations | None, list[int]] = {}
        of_texts = (query.relations for query in queries for _ in query.endings)
        for number, relations in enumerate(of_texts):
            if texts[number]:
                alike.setdefault(relations, []).append(number)
        nothing = Hits(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
        hits = [nothing] * len(texts)
        for relations, numbers in alike.items():
            spans = self._layout.spans(relations)
            for number, found in zip(
                numbers, self._nearest(embeddings[numbers], spans, top_k), strict=True
            ):
                hits[number] = found
        following = iter(hits)
        return [[next(following) for _ in query.endings] for query in queries]

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of queries (Q, D), in the precision that the documents' have."""
        return self.encoder.embed_queries(texts, self._precision)

    def cosines(
        self, embedding: NDArray[np.float32], ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Of the embedding of a query (D,) with those of documents (N,); as `search` scores."""
        rows = self._row_of[ids - self.first_id]
        return self._exact(embedding[None], np.zeros_like(rows), rows)

    @cached_property
    def _row_of(self) -> NDArray[np.int64]:
        return _rows_by_id(self._layout)

    def _nearest(
        self, queries: NDArray[np.float32], spans: NDArray[np.int64], top_k: int
    ) -> Iterator[Hits]:
        """The documents in spans of rows that are nearest to queries (Q, D)."""
        device = self.encoder.device
        search = self._by_product if self._faiss is None else self._by_faiss
        size = _QUERIES_AT_ONCE[device] if self._faiss is None else 1
        blocks = [queries[start : start + size] for start in range(0, len(queries), size)]
        for hits in in_threads(lambda block: search(block, spans, top_k), blocks, device):
            yield from hits

    def _by_product(
        self, queries: NDArray[np.float32], spans: NDArray[np.int64], top_k: int
    ) -> list[Hits]:
        found = _Best(len(queries), top_k)
        on_device = torch.from_numpy(queries).to(self.encoder.device)
        for start, end in _blocks(spans):
            embeddings = torch.from_numpy(self._embeddings[start:end])
            scores = on_device @ embeddings.to(on_device.device).float().T
            numbers, columns = _candidates(scores, found.least, top_k, self._error)
            rows = start + columns
            found.add(numbers, self.ids[rows], self._exact(queries, numbers, rows))
        return found.hits()

    def _exact(
        self, queries: NDArray[np.float32], numbers: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The cosines of pairs of a query (Q, D) and a row, (P,)."""
        cosines = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _PAIRS_AT_ONCE):
            some = slice(start, start + _PAIRS_AT_ONCE)
            products = self._embeddings[rows[some]].astype(np.float64)
            products *= queries[numbers[some]]
            # Added up in an order that the width alone decides, unlike that of a matrix product.
            cosines[some] = products.sum(axis=1)
        return cosines

    def _by_faiss(
        self, queries: NDArray[np.float32], spans: NDArray[np.int64], top_k: int
    ) -> list[Hits]:
        """As `_by_product`, for one query: FAISS computes many at once in another way."""
        documents = int(np.diff(spans).sum())
        if not documents:
            return _Best(1, top_k).hits()
        faiss = _import_faiss()
        parameters = faiss.SearchParametersIVF(sel=_selector(faiss, spans), nprobe=_LISTS_SEARCHED)
        wanted = min(top_k + _SPARE, documents)
        rows = self._faiss.search(queries, wanted, params=parameters)[1][0]
        rows = rows[rows >= 0]
        if len(rows) < min(top_k, documents):  # too few of these relations are near
            return self._by_product(queries, spans, top_k)
        numbers = np.zeros_like(rows)
        found = _Best(1, top_k)
        found.add(numbers, self.ids[rows], self._exact(queries, numbers, rows))
        return found.hits()


def _precision_of(file: Path, encoder: SentenceEncoder) -> Precision:
    """Reads which precision the documents were embedded in, and checks by which encoder."""
    written = json.loads(file.read_text("utf-8"))
    if not isinstance(written, dict) or not isinstance(written.get("sha256"), str):
        raise ValueError(f"{file.name} names no encoder")
    if written["sha256"] != encoder.sha256:
        raise KformerError(
            f"{file}: the documents were embedded by {written.get('name')!r} with the sha256 "
            f"{written['sha256'][:12]}, that of {encoder.name!r} is {encoder.sha256[:12]}; "
            f"build the index again, or set {KEY} back"
        )
    precision: Any = written.get("precision")
    if precision not in ("bf16", "fp32"):
        raise ValueError(f"{file.name} has the precision {precision!r}")
    return cast(Precision, precision)


def _open_embeddings(file: Path, shape: tuple[int, int]) -> NDArray[np.float16]:
    # Mapped copy-on-write, as Torch wants arrays that could be written to; none is.
    try:
        embeddings = np.lib.format.open_memmap(file, mode="c")
    except (TokenError, SyntaxError, OverflowError):  # NumPy reads the header as Python
        raise ValueError(f"{file.name} has no header that can be read") from None
    if embeddings.shape != shape or embeddings.dtype != np.float16:
        raise ValueError(
            f"{file.name} is {embeddings.dtype} {embeddings.shape} instead of float16 {shape}"
        )
    return embeddings


class _Best:
    """The best documents so far for each of Q queries.

    Attributes:
        numbers: which query each is for, ascending, the best first.
        ids: of the documents.
        scores: of the documents.
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
        numbers = np.concatenate([self.numbers, numbers])
        ids, scores = np.concatenate([self.ids, ids]), np.concatenate([self.scores, scores])
        order = np.lexsort((ids, -scores, numbers))
        ranks = np.arange(len(order)) - np.searchsorted(numbers[order], numbers[order])
        best = order[ranks < self._top_k]
        self.numbers, self.ids, self.scores = numbers[best], ids[best], scores[best]

    def hits(self) -> list[Hits]:
        bounds = np.searchsorted(self.numbers, np.arange(1, self._queries))
        parts = zip(np.split(self.ids, bounds), np.split(self.scores, bounds), strict=True)
        return [Hits(ids, scores) for ids, scores in parts]


def _blocks(spans: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """The spans in pieces that are not too large."""
    for first, last in spans.tolist():
        for start in range(first, last, _ROWS_AT_ONCE):
            yield start, min(start + _ROWS_AT_ONCE, last)


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
    values, columns = scores.topk(min(top_k + _SPARE, size))
    bar = torch.from_numpy(least - error).to(scores)[:, None]
    if top_k <= size:
        # The best of this block alone reach their `top_k`-th fast score less the error.
        bar = torch.maximum(bar, values[:, top_k - 1 : top_k] - 2 * error)
    reaching = values >= bar
    # As many as were taken reach the bar, and there may be more: very many near duplicates.
    crowded = reaching[:, -1] & (values.shape[1] < size)
    reaching &= ~crowded[:, None]
    numbers, places = reaching.nonzero(as_tuple=True)
    crowd, crowd_columns = (scores[crowded] >= bar[crowded]).nonzero(as_tuple=True)
    crowd = crowded.nonzero(as_tuple=True)[0][crowd]
    return (
        torch.cat([numbers, crowd]).cpu().numpy(),
        torch.cat([columns[numbers, places], crowd_columns]).cpu().numpy(),
    )


# --- FAISS (Douze and others 2024, arXiv 2401.08281)


def _write_faiss(folder: Path) -> None:
    """Writes ``faiss.index``: the embeddings once more, in lists around centres.

    They are held in float16, as they are. The same embeddings give the same bytes.
    """
    faiss = _import_faiss()
    embeddings = np.load(folder / _EMBEDDINGS, mmap_mode="r")
    documents, width = embeddings.shape
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
    blocks = list(_blocks(np.array([[0, documents]])))
    for start, end in track(blocks, "indexing blocks of embeddings", len(blocks)):
        index.add(embeddings[start:end].astype(np.float32))
    faiss.write_index(index, str(folder / _FAISS))


def _open_faiss(folder: Path, documents: int, width: int) -> Any:
    """The index of `_write_faiss`, mapped; None where documents are few."""
    faiss = _import_faiss()
    if documents < _FEWEST_ROWS:
        return None
    path = folder / _FAISS
    if not path.is_file():
        raise KformerError(
            f"{path}: this file is not there, the index was built for retrieval.nearest: exact; "
            "build it again, or set this back"
        )
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    except RuntimeError:
        raise ValueError(f"{_FAISS} cannot be read") from None
    if (index.ntotal, index.d) != (documents, width):
        raise ValueError(f"{_FAISS} is {(index.ntotal, index.d)} instead of {(documents, width)}")
    return index


def _import_faiss() -> ModuleType:
    try:
        import faiss
    except ImportError:
        raise KformerError(
            "retrieval.nearest: FAISS is not installed; run: pip install -c constraints.txt -e "
            "'.[faiss]', or set it to exact"
        ) from None
    return faiss


def _selector(faiss: ModuleType, spans: NDArray[np.int64]) -> Any:
    """Picks the rows in some spans."""
    selector = None
    for start, end in spans.tolist():
        these = faiss.IDSelectorRange(start, end)
        selector = these if selector is None else faiss.IDSelectorOr(selector, these)
    return selector
