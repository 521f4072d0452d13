"""The embeddings of documents on disk, and which encoder they are by.

Shapes: N documents, D width.
"""

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from kformer.errors import KformerError
from kformer.io.file_writing import write_json
from kformer.io.output_names import INDEX_ENCODER
from kformer.retrieval.embeddings.faiss_search import import_faiss, write_faiss_index
from kformer.retrieval.embeddings.sentence_encoder import KEY, Precision, SentenceEncoder
from kformer.retrieval.relation_order import ByRelation

DOCUMENTS_AT_ONCE = 16_384  # are embedded together, the short ones first

_EMBEDDINGS = "embeddings.npy"
Nearest = Literal["exact", "faiss"]


def write_embeddings(
    texts: Iterable[str],
    encoder: SentenceEncoder,
    layout: ByRelation,
    folder: Path,
    nearest: Nearest = "exact",
) -> None:
    """Embeds documents and writes ``embeddings.npy``, float16 (N, D), and ``encoder.json``.

    With ``nearest="faiss"`` also ``faiss.index``, unless the documents are few.

    Args:
        texts: of the documents, in the order of their ids.
        encoder: what embeds them.
        layout: the order of the rows.
        folder: where the files go; the caller makes it, whole or not at all.
        nearest: how they will be searched.

    Raises:
        KformerError: FAISS is not installed.
    """
    if nearest == "faiss":
        import_faiss()  # fails here rather than after hours of embedding
    documents = len(layout.ids)
    embeddings = np.lib.format.open_memmap(
        folder / _EMBEDDINGS, mode="w+", dtype=np.float16, shape=(documents, encoder.width)
    )
    rows = rows_by_id(layout)
    remaining = iter(texts)
    for first in range(0, documents, DOCUMENTS_AT_ONCE):
        some = list(islice(remaining, DOCUMENTS_AT_ONCE))
        embeddings[rows[first : first + DOCUMENTS_AT_ONCE]] = encoder.embed_documents(some)
    embeddings.flush()
    attributes = ("name", "sha256", "width", "precision")
    write_json(folder / INDEX_ENCODER, {name: getattr(encoder, name) for name in attributes})
    if nearest == "faiss":
        write_faiss_index(np.load(folder / _EMBEDDINGS, mmap_mode="r"), folder)


def rows_by_id(layout: ByRelation) -> NDArray[np.int64]:
    """The row of each document, in the order of their ids, (N,)."""
    return np.argsort(layout.ids, kind="stable")


def open_embeddings(folder: Path, shape: tuple[int, int]) -> NDArray[np.float16]:
    """Maps the embeddings (N, D) into memory.

    Raises:
        ValueError: the file is damaged, or of another shape.
    """
    file = folder / _EMBEDDINGS
    try:
        # Copy-on-write, since Torch expects arrays to be writable; nothing is written.
        embeddings = np.lib.format.open_memmap(file, mode="c")
    except (TokenError, SyntaxError, OverflowError):  # NumPy reads the header as Python
        raise ValueError(f"{file.name} has no header that can be read") from None
    if embeddings.shape != shape or embeddings.dtype != np.float16:
        raise ValueError(
            f"{file.name} is {embeddings.dtype} {embeddings.shape} instead of float16 {shape}"
        )
    return embeddings


def read_precision(folder: Path, encoder: SentenceEncoder) -> Precision:
    """Reads which precision the documents were embedded in.

    Raises:
        KformerError: they were embedded by another encoder.
        ValueError: the file is damaged.
    """
    file = folder / INDEX_ENCODER
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
