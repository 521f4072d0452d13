"""Embedding texts by a sentence encoder.

Shapes: B batch, L tokens, Q queries, N documents, D width.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from torch import Tensor

from kformer.compute_precision import hardware_computes_in_bf16
from kformer.errors import KformerError

Precision = Literal["bf16", "fp32"]

KEY = "retrieval.encoder"
_PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}
_LENGTH_STEP = 8  # tokens; texts are padded to a multiple of it
_TOKENS_IN_BATCH = {"cpu": 1024, "cuda": 8192}
_TEXTS_AT_ONCE = 8192  # are tokenised together
# Keys of a model's configuration that say how it was saved.
_KEYS_OF_SAVING = {"_name_or_path", "architectures", "dtype", "transformers_version"}
Item = TypeVar("Item")
Result = TypeVar("Result")


class SentenceEncoder:
    """A sentence encoder, with its own pooling and its own prompts for queries and documents.

    The embedding of a text depends on the text alone, to the last bit: it is padded to a length
    that its own tokens decide, all batches of this length have the same number of rows, and one
    thread computes a batch, so that the operations are the same for every text.

    Attributes:
        name: as in the config.
        width: D.
        sha256: of all that embeddings depend on, however it is divided into files: the weights,
            by their names and bytes, the configuration, the prompts and the tokenizer.
        precision: of the computation, unless a call says otherwise.
    """

    def __init__(self, name: str, precision: Precision | None = None) -> None:
        """Loads an encoder; never runs code that comes with it.

        Args:
            name: as in the config.
            precision: of the computation; None = the best for the hardware.

        Raises:
            KformerError: there is no such encoder, it is damaged, or its weights are not those of
                the modules that it describes.
        """
        from kformer.retrieval.embeddings.sentence_modules import load_modules  # takes seconds

        self.name = name
        self._model = load_modules(name)
        self.width: int = self._model.get_embedding_dimension()
        self._prompts = {
            task: next(filter(None, map(self._model.prompts.get, names)), None)
            for task, names in _PROMPTS.items()
        }
        self.sha256 = _sha256(self._model, self._prompts)
        hardware: Precision = "bf16" if hardware_computes_in_bf16() else "fp32"
        self.precision = precision or hardware
        self._inside_special = _inside_special_tokens(self._model)
        # A tokenizer's maximum length must be a multiple of the length that it pads to.
        longest = self._model.get_max_seq_length()
        self._step = math.gcd(_LENGTH_STEP, longest if isinstance(longest, int) else 0)
        self._queries: dict[Precision, tuple[list[str], NDArray[np.float32]]] = {}

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return self._model.device.type

    def embed_queries(
        self, texts: Sequence[str], precision: Precision | None = None
    ) -> NDArray[np.float32]:
        """The embeddings of queries, of length 1, (Q, D); 0 where none of its words is known.

        Args:
            texts: the queries.
            precision: the one that the documents were embedded in; None = the encoder's own.

        Raises:
            KformerError: what the encoder computes is no finite number.
        """
        precision = precision or self.precision
        # The shards of an index all need the embeddings of the same queries.
        known = self._queries.get(precision)
        if known is None or known[0] != list(texts):
            known = list(texts), self._embed(texts, "query", precision)
            self._queries[precision] = known
        return known[1]

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of documents, of length 1, (N, D); 0 and errors as of queries."""
        return self._embed(texts, "document", self.precision)

    def _embed(self, texts: Sequence[str], task: str, precision: Precision) -> NDArray[np.float32]:
        distinct = sorted(dict.fromkeys(texts), key=len)
        known = np.empty((len(distinct), self.width), dtype=np.float32)
        batches = self._batches(distinct, partial(self._tokenise, task=task))
        run = partial(self._run_batch, precision=precision)
        for rows, embeddings in in_threads(run, batches, self.device):
            known[rows] = embeddings
        row_of = {text: row for row, text in enumerate(distinct)}
        return known[[row_of[text] for text in texts]]

    def _tokenise(self, texts: list[str], task: str) -> dict[str, Any]:
        if self._inside_special:
            texts = [self._inside_special.sub(" ", text) for text in texts]
        # What reads like a special token in a text is text.
        options = {"text": {"pad_to_multiple_of": self._step, "split_special_tokens": True}}
        return self._model.preprocess(
            texts, prompt=self._prompts[task], task=task, processing_kwargs=options
        )

    def _batches(
        self, texts: list[str], tokenise: Callable[[list[str]], dict[str, Any]]
    ) -> Iterator[tuple[NDArray[np.int64], dict[str, Any]]]:
        """Batches of texts of one length: the numbers of the texts, and their tokens."""
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            features = tokenise(texts[first : first + _TEXTS_AT_ONCE])
            mask = features.get("attention_mask")
            if mask is None:  # an encoder of single words, which are not padded
                yield np.arange(first, min(first + _TEXTS_AT_ONCE, len(texts))), features
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
        self, batch: tuple[NDArray[np.int64], dict[str, Any]], precision: Precision
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        bf16 = precision == "bf16"
        rows, features = batch
        features = {
            name: value.to(self._model.device) if isinstance(value, Tensor) else value
            for name, value in features.items()
        }
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, bf16):
            embeddings = self._model(features)["sentence_embedding"].float()[:, : self.width]
        # Their lengths may be infinite where they are not.
        if not embeddings.norm(dim=1).isfinite().all():
            raise KformerError(
                f"{KEY}: what {self.name} computes of some texts is NaN or infinite; give another "
                "encoder"
            )
        embeddings = torch.nn.functional.normalize(embeddings, dim=1)
        return rows, embeddings[: len(rows)].cpu().numpy()


def _inside_special_tokens(model: Any) -> re.Pattern[str] | None:
    """Matches behind the first letter of special tokens, where a space makes them text.

    None where the tokenizer does so by itself, as all do but those of a vocabulary with
    probabilities (XLM-RoBERTa's, for example), among whose words special tokens are.
    """
    tokenizer = getattr(model, "tokenizer", None)
    if isinstance(tokenizer, Tokenizer):  # of an encoder of single words
        tokenizer.encode_special_tokens = True
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if backend is None or not isinstance(getattr(backend, "model", None), Unigram):
        return None
    added = backend.get_added_tokens_decoder().values()
    names = [token.content for token in added if token.special and len(token.content) > 1]
    inside = (f"(?<={re.escape(name[0])})(?={re.escape(name[1:])})" for name in names)
    return re.compile("|".join(inside)) if names else None


def _sha256(model: Any, prompts: dict[str, str | None]) -> str:
    sha256 = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        sha256.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        sha256.update(weight.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    about = {
        "prompts": prompts,
        "longest": model.get_max_seq_length(),
        "modules": [_configuration(module) for module in model.modules()],
        "tokenizer": _tokenizer_content(getattr(model, "tokenizer", None)),
    }
    sha256.update(json.dumps(about, sort_keys=True).encode())
    return sha256.hexdigest()


def _configuration(module: Any) -> dict[str, Any] | None:
    """The configuration of a part of an encoder; None for layers, which have none of their own."""
    from transformers import PreTrainedModel

    if isinstance(module, PreTrainedModel):
        content = json.loads(module.config.to_json_string(use_diff=False))
        return {key: value for key, value in content.items() if key not in _KEYS_OF_SAVING}
    if hasattr(module, "get_config_dict"):
        return {"type": type(module).__name__, **module.get_config_dict()}
    return None


def _tokenizer_content(tokenizer: Any) -> list[Any]:
    """All that decides how a tokenizer tokenises."""
    sides = [getattr(tokenizer, f"{what}_side", None) for what in ("padding", "truncation")]
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "to_str"):
        # Truncation and padding change with every call.
        return [*sides, json.loads(backend.to_str()) | {"truncation": None, "padding": None}]
    return [*sides, tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else None]


def _cut(features: dict[str, Any], rows: NDArray[np.int64], length: int) -> dict[str, Any]:
    """Some rows of padded features (B, L), without the padding beyond ``length``."""
    mask = features["attention_mask"]
    padded_left = bool(mask[:, 0].sum() < mask[:, -1].sum())
    columns = slice(-length, None) if padded_left else slice(length)
    return {
        name: value[rows][:, columns] if isinstance(value, Tensor) else value
        for name, value in features.items()
    }


def in_threads(
    do: Callable[[Item], Result], items: Iterable[Item], device: str
) -> Iterator[Result]:
    """Processes items in parallel, each in one of as many threads as Torch has; in order.

    Torch itself gets one thread. Its threads would wait for each other, on a busy machine nearly
    all the time; and the order of additions, hence the last bits, could depend on their number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads if device == "cpu" else 1) as pool:
            yield from pool.map(do, items)
    finally:
        torch.set_num_threads(threads)
