"""Search by nearness of sentence embeddings.

Facts are embedded when the index is built (`write_embeddings`), queries when it is searched; the
score of a fact is the cosine of the two embeddings. Results never depend on what else is embedded
or searched for in the same call, to the last bit: all batches of one length have one shape
(`SentenceEncoder`), and the cosines that decide are computed pair by pair (`Dense`).

Shapes: B batch, L tokens, Q queries, N documents, P pairs, D width.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from kformer.encoders import BUNDLED, check_bundled_weights, locate_encoder, missing_encoder
from kformer.errors import KformerError
from kformer.files import write_json
from kformer.precision import hardware_computes_in_bf16
from kformer.progress import track
from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.query import Hits, Query, Relations

_KEY = "retrieval.encoder"
_EMBEDDINGS = "embeddings.npy"
_ENCODER = "encoder.json"
_FAISS = "faiss.index"
# What the libraries raise for folders with damaged or missing files.
_LOADING_FAILS = (
    OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError,
    SafetensorError,
)  # fmt: skip
_LENGTHS_APART = 8  # tokens; texts are padded to a multiple of it
_TOKENS_IN_BATCH = {"cpu": 1024, "cuda": 8192}
_TEXTS_AT_ONCE = 8192  # are tokenised together
_DOCUMENTS_AT_ONCE = 16_384  # are embedded together, the short ones first
Nearest = Literal["exact", "faiss"]
Item = TypeVar("Item")
Result = TypeVar("Result")


class SentenceEncoder:
    """A sentence encoder, with its own pooling and its own prompts for queries and documents.

    The embedding of a text depends on the text alone, to the last bit: it is padded to a length
    that its own tokens decide, all batches of this length have as many rows, and none is computed
    by several threads, so that every text is put through the very same operations.

    Attributes:
        name: as in the config.
        width: D.
        sha256: of the weights, by their names and bytes, whatever files they came from.
    """

    def __init__(self, name: str) -> None:
        """Loads an encoder, without ever running code that comes with it.

        Raises:
            KformerError: there is no such encoder in reach.
        """
        self.name = name
        self._model = _load(name)
        self.width: int = self._model.get_embedding_dimension()
        self.sha256 = _sha256_of_weights(self._model)
        self._bf16 = hardware_computes_in_bf16()
        # A tokenizer wants the length that it cuts at to be a multiple of that it pads to.
        longest = self._model.get_max_seq_length()
        self._step = math.gcd(_LENGTHS_APART, longest if isinstance(longest, int) else 0)
        self._queries: tuple[list[str], NDArray[np.float32]] | None = None

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return self._model.device.type

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of queries, of length 1, (Q, D)."""
        # Each of several shards of an index asks for the embeddings of the same queries.
        if self._queries is None or self._queries[0] != list(texts):
            self._queries = list(texts), self._embed(texts, "query", ("query",))
        return self._queries[1]

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of documents, of length 1, (N, D)."""
        return self._embed(texts, "document", ("document", "passage", "corpus"))

    def _embed(
        self, texts: Sequence[str], task: str, prompts: tuple[str, ...]
    ) -> NDArray[np.float32]:
        prompt = next(filter(None, map(self._model.prompts.get, prompts)), None)
        distinct = sorted(dict.fromkeys(texts), key=len)
        known = np.empty((len(distinct), self.width), dtype=np.float32)
        batches = self._batches(distinct, partial(self._tokenise, prompt=prompt, task=task))
        for places, embeddings in _in_threads(self._run_batch, batches, self.device):
            known[places] = embeddings
        place_of = {text: place for place, text in enumerate(distinct)}
        return known[[place_of[text] for text in texts]]

    def _tokenise(self, texts: list[str], prompt: str | None, task: str) -> dict[str, Any]:
        padding = {"text": {"pad_to_multiple_of": self._step}}
        return self._model.preprocess(texts, prompt=prompt, task=task, processing_kwargs=padding)

    def _batches(
        self, texts: list[str], tokenise: Callable[[list[str]], dict[str, Any]]
    ) -> Iterator[tuple[NDArray[np.int64], dict[str, Any]]]:
        """The tokens of texts of one length, and which texts they are."""
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            features = tokenise(texts[first : first + _TEXTS_AT_ONCE])
            mask = features.get("attention_mask")
            if mask is None:  # an encoder of single words, which are not padded
                places = np.arange(first, min(first + _TEXTS_AT_ONCE, len(texts)))
                yield places, features
                continue
            lengths = self._padded_lengths(mask)
            for length in np.unique(lengths):
                rows = np.flatnonzero(lengths == length)
                size = max(1, _TOKENS_IN_BATCH[self.device] // int(length))
                for start in range(0, len(rows), size):
                    batch = rows[start : start + size]
                    yield first + batch, _cut(features, np.resize(batch, size), int(length))

    def _padded_lengths(self, mask: Tensor) -> NDArray[np.int64]:
        tokens = mask.sum(dim=1).clamp(min=1).numpy()
        return -(-tokens // self._step) * self._step

    def _run_batch(
        self, batch: tuple[NDArray[np.int64], dict[str, Any]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        places, features = batch
        features = {
            name: value.to(self._model.device) if isinstance(value, Tensor) else value
            for name, value in features.items()
        }
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, self._bf16):
            embeddings = self._model(features)["sentence_embedding"].float()[:, : self.width]
        embeddings = torch.nn.functional.normalize(embeddings, dim=1)
        return places, embeddings[: len(places)].cpu().numpy()


def _load(name: str) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    folder = locate_encoder(name, _KEY)
    if name == BUNDLED:
        check_bundled_weights(Path(folder))
    logging.disable_progress_bar()  # that of loading
    try:
        model = SentenceTransformer(
            folder,
            device="cuda" if torch.cuda.is_available() else "cpu",
            trust_remote_code=False,
            model_kwargs={"dtype": torch.float32, "use_safetensors": True},
        )
    except _LOADING_FAILS as error:
        raise missing_encoder(name, error, _KEY) from None
    return model.eval()


def _sha256_of_weights(model: torch.nn.Module) -> str:
    sha256 = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        sha256.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        sha256.update(weight.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return sha256.hexdigest()


def _cut(features: dict[str, Any], rows: NDArray[np.int64], length: int) -> dict[str, Any]:
    """Some rows of padded features (B, L), without the padding beyond ``length``."""
    mask = features["attention_mask"]
    padded_left = bool(mask[:, 0].sum() < mask[:, -1].sum())
    columns = slice(-length, None) if padded_left else slice(length)
    return {
        name: value[rows][:, columns] if isinstance(value, Tensor) else value
        for name, value in features.items()
    }


def _in_threads(
    do: Callable[[Item], Result], items: Iterable[Item], device: str
) -> Iterator[Result]:
    """Does things in parallel, each by one thread of Torch's.

    Many threads for one thing would wait for each other, on a busy machine nearly all the time;
    and the order of additions, hence the last bits, could depend on how many there are.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads if device == "cpu" else 1) as pool:
            yield from pool.map(do, items)
    finally:
        torch.set_num_threads(threads)


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
    content = {"name": encoder.name, "sha256": encoder.sha256, "width": encoder.width}
    write_json(folder / _ENCODER, content)
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
        """
        written = json.loads((folder / _ENCODER).read_text("utf-8"))
        if written["sha256"] != encoder.sha256:
            raise KformerError(
                f"{folder / _ENCODER}: the documents were embedded by {written['name']!r} with "
                f"the weights {written['sha256'][:12]}, those of {encoder.name!r} are "
                f"{encoder.sha256[:12]}; build the index again, or set {_KEY} back"
            )
        self.encoder, self.ids = encoder, layout.ids
        self.first_id, self._layout = layout.first_id, layout
        # Mapped copy-on-write, as Torch wants arrays that could be written to; none is.
        self._embeddings: NDArray[np.float16] = np.load(folder / _EMBEDDINGS, mmap_mode="c")
        # |fl(x·y) - x·y| <= D u / (1 - D u) |x| |y|, in whatever order it is added up (Higham,
        # Accuracy and Stability of Numerical Algorithms, 3.1); 4 u more for the rounding of the
        # exact cosine and of the comparison, and 1 % for embeddings whose length was rounded.
        self._error = 1.01 * (encoder.width + 4) * _UNIT_ROUNDOFF
        self._faiss: Any = _open_faiss(folder, len(layout.ids)) if nearest == "faiss" else None

    @property
    def relations(self) -> Relations:
        return frozenset(self._layout.names)

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query and each of its endings, the nearest ``top_k`` documents."""
        texts = [text for query in queries for text in query.texts]
        embeddings = self.encoder.embed_queries(texts)
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
        for hits in _in_threads(lambda block: search(block, spans, top_k), blocks, device):
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


def _open_faiss(folder: Path, documents: int) -> Any:
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
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP)


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
