"""Loading pre-trained encoders and their tokenizers."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kformer.encoder_lookup import (
    BUNDLED,
    check_bundled_weights,
    encoder_config,
    locate_encoder,
    missing_encoder,
)
from kformer.encoder_weights import check_vocabulary, knows_words, load_checked, loading
from kformer.errors import KformerError
from kformer.modeling.encoder_families import check_family

KEY = "model.encoder"


def load_encoder(name: str | Path, **options: Any) -> PreTrainedModel:
    """Loads a pre-trained encoder, without ever running code that comes with it.

    Args:
        name: a Hugging Face id or a local folder.
        options: further arguments of ``from_pretrained``; ``device_map="meta"`` checks names and
            shapes of the weights and reads none.

    Raises:
        KformerError: there is no such encoder in reach, or its weights are not those of the model
            that its config.json describes, or no finite numbers, or it computes none.
    """
    folder = locate_encoder(str(name))
    if name == BUNDLED:
        check_bundled_weights(Path(folder))
    load = partial(
        AutoModel.from_pretrained, folder, trust_remote_code=False, dtype=torch.float32, **options
    )
    encoder, _ = load_checked(load, name, KEY)
    if encoder.device.type != "meta":
        _check_states(encoder, name)
    return encoder


@torch.no_grad()
def _check_states(encoder: PreTrainedModel, name: str | Path) -> None:
    """Reads two tokens, since nothing else tells whether config.json can be computed with."""
    with loading(name, KEY):
        is_finite = encoder(torch.tensor([[0, 1]])).last_hidden_state.isfinite().all()
    if not is_finite:
        raise KformerError(
            f"{KEY}: what {name} computes is NaN or infinite; correct its config.json, or give "
            "other weights"
        )


def check_encoder(name: str) -> None:
    """Checks an encoder that is on this machine, or was downloaded before, without its numbers.

    Raises:
        EncoderMissingError: it is not on this machine, or damaged.
        KformerError: its family is not supported, its weights have not the names and shapes of
            the model that its config.json describes, or its tokenizer has more tokens than they
            embed.
    """
    config = encoder_config(name)
    if config is not None:
        check_family(config.get("model_type"))
    here = {"local_files_only": True}
    encoder = load_encoder(name, device_map="meta", **here)
    check_vocabulary(load_tokenizer(name, **here), encoder.config.vocab_size, KEY, name)


def load_tokenizer(name: str | Path, **options: Any) -> PreTrainedTokenizerBase:
    """Loads an encoder's tokenizer.

    Args:
        name: a Hugging Face id or a local folder.
        options: further arguments of ``from_pretrained``.

    Raises:
        KformerError: there is none in reach.
    """
    with loading(name, KEY):
        tokenizer = AutoTokenizer.from_pretrained(
            locate_encoder(str(name)), trust_remote_code=False, **options
        )
    if not knows_words(tokenizer):
        raise missing_encoder(name, ValueError("it has no tokenizer"))
    return tokenizer


def longest_input(config: PreTrainedConfig) -> int:
    """How many tokens an encoder has positions for, by its configuration."""
    # RoBERTa and MPNet count their positions from behind the padding id.
    counts = "roberta" in config.model_type or config.model_type == "mpnet"
    skipped = config.pad_token_id + 1 if counts else 0
    return config.max_position_embeddings - skipped
