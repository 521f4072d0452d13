"""Reading checkpoints of the released Kformer, which is a patched fairseq.

Such a ``checkpoint_best.pt`` is a pickled ``{"args": argparse.Namespace, "model": state dict, …}``.
Unpickling may run any code, so only what the format needs is allowed, and all else is refused.
"""

import argparse
import pickle
import re
import textwrap
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import RobertaConfig

from kformer.encoder_weights import rows_for
from kformer.errors import KformerError, listed
from kformer.io.file_writing import replacing
from kformer.modeling.configuration import KformerConfig
from kformer.modeling.model import KformerForMultipleChoice
from kformer.modeling.pretrained import load_tokenizer

# Settings, and the NumPy numbers of training metrics, whose module has had two names.
_NUMPY_NUMBER: Any = np.float64(0).__reduce__()[0]
_ALLOWED: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int32", "int64")),
    (_NUMPY_NUMBER, "numpy.core.multiarray.scalar"),
    (_NUMPY_NUMBER, "numpy._core.multiarray.scalar"),
]
_FACTS_KEPT = 5
_LONGEST_NAME = _LONGEST_REASON = 200  # characters in a message
_LONGEST_FACT = {"med_qa": 256}  # tokens; of all other tasks 45
_NAMES = (  # ours, and those of the released checkpoint
    (r"^fact_embeddings\.", "encoder.sentence_encoder.kembed_tokens."),
    (r"^encoder\.embeddings\.word_embeddings", "encoder.sentence_encoder.embed_tokens"),
    (r"^encoder\.embeddings\.position_embeddings", "encoder.sentence_encoder.embed_positions"),
    (r"^encoder\.embeddings\.LayerNorm", "encoder.sentence_encoder.emb_layer_norm"),
    (r"^encoder\.encoder\.layer\.", "encoder.sentence_encoder.layers."),
    (r"\.attention\.self\.query\.", ".self_attn.q_proj."),
    (r"\.attention\.self\.key\.", ".self_attn.k_proj."),
    (r"\.attention\.self\.value\.", ".self_attn.v_proj."),
    (r"\.attention\.output\.dense\.", ".self_attn.out_proj."),
    (r"\.attention\.output\.LayerNorm\.", ".self_attn_layer_norm."),
    (r"\.intermediate\.dense\.", ".fc1."),
    (r"\.output\.dense\.", ".fc2."),
    (r"\.output\.LayerNorm\.", ".final_layer_norm."),
    (r"^head\.", "classification_heads.sentence_classification_head."),
)
_LAYER = re.compile(r"encoder\.sentence_encoder\.layers\.(\d+)\.")
_TABLES = ("embed_tokens", "embed_positions")
# What settings raise from which no model can be built.
_IMPOSSIBLE = (
    AttributeError,
    OverflowError,
    TypeError,
    ValueError,
    RuntimeError,
    AssertionError,
    ZeroDivisionError,
    StrictDataclassError,
    KformerError,
)
_TOKEN_TYPES = "encoder.embeddings.token_type_embeddings.weight"  # fairseq's RoBERTa has none
_NEVER_READ = re.compile(r"^encoder\.lm_head\.")
_NEVER_READ_WITHOUT_FACTS = re.compile(r"^encoder\.lm_head\.|\.(kembed_tokens|kfc[12])\.")


def import_checkpoint(
    checkpoint: Path, out: Path, injection: str = "ffn", tokenizer: str | None = None
) -> KformerForMultipleChoice:
    """Turns a checkpoint of the released Kformer into a folder for ``from_pretrained``.

    Args:
        checkpoint: ``checkpoint_best.pt``.
        out: the folder to write.
        injection: ``ffn``, as it was trained; ``attention`` feeds the same keys and values to the
            self-attention, ``none`` leaves them out.
        tokenizer: Hugging Face id or folder of the tokenizer to save with the model, such as
            ``roberta-base``; a checkpoint holds none.

    Raises:
        KformerError: not such a checkpoint, a damaged one, something in it that is not part of
            the format, weights missing, unknown, of another shape or no finite numbers, or ``out``
            is not empty.
    """
    settings, weights = _read(checkpoint)
    model = _build(checkpoint, settings, weights, injection)
    saved_tokenizer = None
    if tokenizer is not None:
        try:
            saved_tokenizer = load_tokenizer(tokenizer)
        except KformerError as error:
            reason = str(error).removeprefix("model.encoder: ")
            raise KformerError(f"--tokenizer: {reason}") from None
        tokens, rows = rows_for(saved_tokenizer), model.config.encoder.vocab_size
        if tokens > rows:
            raise KformerError(
                f"--tokenizer: {tokenizer} has {tokens} tokens, {checkpoint} embeds {rows}; "
                "give the one that it was trained with"
            )
    with replacing(out) as folder:
        model.save_pretrained(folder)
        if saved_tokenizer is not None:
            saved_tokenizer.save_pretrained(folder)
    return model


def _read(path: Path) -> tuple[argparse.Namespace, dict[str, Tensor]]:
    try:
        _check_archive(path)
        with path.open("rb") as file, torch.serialization.safe_globals(_ALLOWED):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except KformerError:
        raise
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it holds {foreign[1]}, which" if foreign else "it holds something that"
        raise KformerError(
            f"{path}: refused: {reason} is no part of a released checkpoint; no code of it was run"
        ) from None
    except Exception as error:  # damaged bytes make the unpickler raise anything
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = next(iter(str(error).strip().splitlines()), "it ends early")
        raise KformerError(f"{path}: no checkpoint can be read from it ({reason})") from None
    settings = content.get("args") if isinstance(content, dict) else None
    weights = content.get("model") if isinstance(content, dict) else None
    if not isinstance(settings, argparse.Namespace) or not isinstance(weights, Mapping):
        raise KformerError(
            f"{path}: this is no released checkpoint: it must hold `args`, a Namespace, and "
            "`model`, a state dict"
        )
    _refuse(path, [name for name, value in weights.items() if not _is_weight(name, value)])
    return settings, dict(weights)


def _check_archive(path: Path) -> None:
    """Refuses an archive in which a bit is another one than was written: PyTorch would read it."""
    if not zipfile.is_zipfile(path):
        raise KformerError(
            f"{path}: this is no whole archive as torch.save writes it since PyTorch 1.6; get it "
            "again, or load and save it with PyTorch where it is from before"
        )
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not stored or sum(member.file_size for member in members) > path.stat().st_size:
            raise KformerError(f"{path}: refused: torch.save does not write such an archive")
        damaged = archive.testzip()
    if damaged is not None:
        raise KformerError(
            f"{path}: {damaged} in it is damaged: its checksum differs; get it again"
        )


def _is_weight(name: Any, value: Any) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, Tensor)
        and (value.layout, value.device.type) == (torch.strided, "cpu")
        and value.is_floating_point()
        # A few bytes can be shown as a tensor of any size.
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _refuse(path: Path, strange: list[Any]) -> None:
    if strange:
        raise KformerError(f"{path}: model: no tensor of finite numbers: {_named(strange)}")


def _named(names: Iterable[Any]) -> str:
    return listed(str(name)[:_LONGEST_NAME] for name in names)


def _build(
    path: Path, settings: argparse.Namespace, weights: dict[str, Tensor], injection: str
) -> KformerForMultipleChoice:
    with torch.device("meta"):  # whatever sizes the settings claim
        expected = _untrained(path, settings, weights, injection)
    first_layer = expected.config.injection_layers[0]
    ours = expected.state_dict()
    theirs = {_released(name, first_layer): name for name in ours if name != _TOKEN_TYPES}
    unread = _NEVER_READ if injection != "none" else _NEVER_READ_WITHOUT_FACTS
    problems = {
        "missing": theirs.keys() - weights.keys(),
        "unknown": {name for name in weights.keys() - theirs.keys() if not unread.search(name)},
        "of another shape": {
            f"{name} {tuple(weights[name].shape)}, expected {tuple(ours[theirs[name]].shape)}"
            for name in theirs.keys() & weights.keys()
            if weights[name].shape != ours[theirs[name]].shape
        },
    }
    found = [f"{kind}: {_named(names)}" for kind, names in problems.items() if names]
    if found:
        raise KformerError(f"{path}: model: {'; '.join(found)}")
    loaded = {theirs[name]: weights[name].float() for name in theirs}
    _refuse(path, [name for name in theirs if not loaded[theirs[name]].isfinite().all()])
    model = _untrained(path, settings, weights, injection).eval()
    token_types = torch.zeros(ours[_TOKEN_TYPES].shape)
    model.load_state_dict({_TOKEN_TYPES: token_types} | loaded)
    return model


def _untrained(
    path: Path, settings: argparse.Namespace, weights: dict[str, Tensor], injection: str
) -> KformerForMultipleChoice:
    """A model of the shape that the settings and the two tables of embeddings describe."""
    for name, computed in (("activation_fn", "gelu"), ("pooler_activation_fn", "tanh")):
        if getattr(settings, name, computed) != computed:
            raise KformerError(f"{path}: args.{name}: only {computed} can be imported")
    tables = [f"encoder.sentence_encoder.{name}.weight" for name in _TABLES]
    missing = [name for name in tables if name not in weights]
    if missing:
        raise KformerError(f"{path}: model: missing: {', '.join(missing)}")
    words, positions = (weights[name] for name in tables)
    layers = {found[1] for name in weights if (found := _LAYER.match(name))}
    try:
        if settings.encoder_layers != len(layers):
            raise ValueError(f"encoder_layers: the weights are of {len(layers)} layers")
        if len(words) <= 2:  # the last of the special tokens below
            raise ValueError(f"embed_tokens embeds {len(words)} tokens")
        start, end = (int(layer) for layer in settings.knowledge_layer)
        encoder = RobertaConfig(
            vocab_size=len(words),
            hidden_size=settings.encoder_embed_dim,
            num_hidden_layers=settings.encoder_layers,
            num_attention_heads=settings.encoder_attention_heads,
            intermediate_size=settings.encoder_ffn_embed_dim,
            hidden_dropout_prob=_share(settings, "dropout", 0.1),
            attention_probs_dropout_prob=_share(settings, "attention_dropout", 0.1),
            max_position_embeddings=len(positions),
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        )
        config = KformerConfig(
            encoder=encoder,
            injection=injection,
            injection_layers=(start, end),
            facts=_FACTS_KEPT,
            max_tokens=len(positions) - 2,  # they are counted from behind the padding id
            max_fact_tokens=_LONGEST_FACT.get(getattr(settings, "task", ""), 45),
            head_dropout=_share(settings, "pooler_dropout", 0.0),
        )
        return KformerForMultipleChoice(config)
    except _IMPOSSIBLE as error:
        reason = textwrap.shorten(str(error), _LONGEST_REASON, placeholder=" …")
        raise KformerError(f"{path}: args: {reason}; this is no released checkpoint") from None


def _share(settings: argparse.Namespace, name: str, usual: float) -> float:
    share = getattr(settings, name, usual)
    if not 0 <= share <= 1:  # as NaN is not
        raise ValueError(f"{name}: {share!r} is no share, from 0 to 1")
    return share


def _released(name: str, first_layer: int) -> str:
    """The name that one of our weights has in a released checkpoint."""
    slots = re.fullmatch(r"injection\.layers\.(\d+)\.(key|value)\.(weight|bias)", name)
    if slots:
        layer, part = first_layer + int(slots[1]), {"key": "kfc1", "value": "kfc2"}[slots[2]]
        return f"encoder.sentence_encoder.layers.{layer}.{part}.{slots[3]}"
    for ours, theirs in _NAMES:
        name = re.sub(ours, theirs, name)
    return name
