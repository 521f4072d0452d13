"""Weights must be those of the model that is built for them: nothing is made up or left out.

transformers fills what it does not find with random numbers, and leaves out what it has no place
for; it says so in a log. Here either one ends the load with one line.
"""

import hashlib
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from kformer.encoder_lookup import missing_encoder
from kformer.errors import KformerError

# What scores a choice or a text here reads the states of tokens, never the pooler: released
# checkpoints of masked language models, such as roberta-base, have none.
_NEVER_READ = re.compile(r"^pooler\.")
# A second copy of the word embeddings that the checkpoint of mdeberta-v3-base carries.
_NEVER_MISSED = re.compile(r"^embeddings\.word_embeddings\._weight$")
_TALKATIVE = ("transformers", "sentence_transformers", "huggingface_hub")
# Arguments of `from_pretrained` with which it returns what did not fit, too.
_REPORTED = {"output_loading_info": True, "ignore_mismatched_sizes": True}


def load_checked(
    load: Callable[..., Any], name: str | Path, key: str, ours: bool = False
) -> tuple[Any, Mapping[str, Any]]:
    """Loads a model whose weights are all there, in their place, and finite numbers.

    Args:
        load: a ``from_pretrained`` that lacks no argument.
        name: of the model, for messages.
        key: of the config, for messages.
        ours: whether the model is a Kformer's. Others may have no pooler, and heads beside the
            encoder, such as that of masked language modelling.

    Returns:
        the model, and what transformers reports about its weights.

    Raises:
        KformerError: it cannot be loaded, or some weight is not as it should be.
    """
    advice = {"advice": "train it or import it again"} if ours else {}
    with loading(name, key, **advice):
        model, report = load(**_REPORTED)
    if not ours:
        _check_direction(model, key, str(name))
    _check_fit(model, report, key, str(name), ours)
    check_numbers(model, key, str(name))
    return model, report


@contextmanager
def loading(name: str | Path, key: str, **advice: str) -> Iterator[None]:
    """Whatever a library fails with inside is one line, and libraries print nothing.

    Otherwise transformers would print a table of weights, and the hub's client a line for each
    try. What is not the call of a library should stay outside.

    Args:
        name: of what is loaded, for messages.
        key: of the config, for messages.
        advice: on what to do, where it is not to give another encoder.

    Raises:
        KformerError: a model or a tokenizer cannot be loaded.
    """
    transformers_logging.disable_progress_bar()  # of loading
    loggers = [logging.getLogger(library) for library in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)  # errors are raised, too
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except KformerError:
        raise
    except Exception as error:  # noqa: BLE001 (damaged files make libraries raise anything)
        raise missing_encoder(name, error, key, **advice) from None
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def checking_all_models(name: str, key: str) -> Iterator[set[str]]:
    """Every model that a library lets transformers load inside is checked as it is loaded.

    Yields:
        the names of weights that are missing and may be.

    Raises:
        KformerError: some weight has not the name or the shape that it should have.
    """
    unread: set[str] = set()
    original = PreTrainedModel.__dict__["from_pretrained"]

    def from_pretrained(cls: Any, *args: Any, **options: Any) -> PreTrainedModel:
        model, report = original.__func__(cls, *args, **options | _REPORTED)
        _check_direction(model, key, name)
        _check_fit(model, report, key, name)
        unread.update(report["missing_keys"])
        return model

    PreTrainedModel.from_pretrained = classmethod(from_pretrained)  # type: ignore[assignment]
    try:
        yield unread
    finally:
        PreTrainedModel.from_pretrained = original  # type: ignore[method-assign]


def _check_direction(model: PreTrainedModel, key: str, place: str) -> None:
    """Refuses an encoder that its config.json turns into a decoder; other families are such."""
    has_switch = hasattr(type(model.config), "is_decoder")
    if has_switch and model.config.is_decoder:
        raise KformerError(
            f"{key}: is_decoder in the config.json of {place} lets each token see only those "
            f"before it, which is not how {model.config.model_type} encodes; set it to false"
        )


def _check_fit(
    model: PreTrainedModel, report: Mapping[str, Any], key: str, place: str, ours: bool = False
) -> None:
    """Raises KformerError for weights that are missing, of another shape, or without a place."""
    names = list(model.state_dict())
    missing = [name for name in names if name in report["missing_keys"]]
    if any(ours or not _NEVER_READ.search(name) for name in missing):
        ending = f".{missing[0]}"
        others = (name for name in report["unexpected_keys"] if name.endswith(ending))
        named = "".join(f"; it is there as {name}" for name in islice(others, 1))
        raise KformerError(
            f"{key}: {len(missing)} of {len(names)} weights are missing in {place} "
            f"({_first(missing)}{named}); rename them, correct config.json, or give other weights"
        )
    if report["mismatched_keys"]:
        name, found, own = min(report["mismatched_keys"])
        raise KformerError(
            f"{key}: {len(report['mismatched_keys'])} of {len(names)} weights in {place} have "
            f"another shape than its config.json says ({name} is {tuple(found)}, expected "
            f"{tuple(own)}); correct config.json, or give other weights"
        )
    left_over = sorted(n for n in report["unexpected_keys"] if ours or _is_within(model, n))
    if left_over:
        raise KformerError(
            f"{key}: {len(left_over)} of the weights in {place} have no place in the model of its "
            f"config.json ({_first(left_over)}); correct config.json, such as its number of "
            "layers, or remove them"
        )


def check_numbers(model: nn.Module, key: str, place: str) -> None:
    """Raises KformerError for weights that hold what is no finite number."""
    strange = [name for name, weight in model.named_parameters() if not _is_finite(weight)]
    if strange:
        raise KformerError(
            f"{key}: {len(strange)} of the weights in {place} hold NaN or infinity "
            f"({_first(strange)}); get them again or give other weights"
        )


def checksum_of_weights(encoder: nn.Module) -> str:
    """Of all weights and their names: an encoder's name on a hub may stand for others tomorrow."""
    found = hashlib.sha256()
    for name, weight in sorted(encoder.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def check_vocabulary(tokenizer: Any, rows: int, key: str, place: str) -> None:
    """Raises KformerError if a tokenizer has tokens that ``rows`` of embeddings do not reach."""
    tokens = rows_for(tokenizer)
    if tokens > rows:
        raise KformerError(
            f"{key}: the tokenizer has {tokens:,} tokens, the weights in {place} embed {rows:,}; "
            "give an encoder together with its own tokenizer"
        )


def knows_words(tokenizer: Any) -> bool:
    """Whether a tokenizer has more than special tokens.

    Without its files, transformers makes up one that reads all else as unknown.
    """
    return len(tokenizer.get_vocab()) > len(getattr(tokenizer, "all_special_ids", ()))


def rows_for(tokenizer: Any) -> int:
    """How many rows a table of embeddings must have for all tokens of a tokenizer."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def _is_within(model: PreTrainedModel, name: str) -> bool:
    """Whether a stored weight is of a module that the model has, and no head beside it."""
    name = name.removeprefix(f"{model.base_model_prefix}.")
    modules = dict(model.named_children())
    return name.split(".")[0] in modules and not _NEVER_MISSED.search(name)


def _is_finite(weight: nn.Parameter) -> bool:
    return weight.is_meta or bool(weight.isfinite().all())


def _first(names: list[str]) -> str:
    return names[0] + (", …" if len(names) > 1 else "")
