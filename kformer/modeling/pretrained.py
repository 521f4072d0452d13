"""Loading pre-trained encoders and their tokenizers."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kformer.encoder_lookup import BUNDLED, check_bundled_weights, locate_encoder, missing_encoder


def load_encoder(name: str | Path) -> PreTrainedModel:
    """Loads a pre-trained encoder, without ever running code that comes with it.

    Raises:
        KformerError: there is no such encoder in reach.
    """
    folder = locate_encoder(str(name))
    if name == BUNDLED:
        check_bundled_weights(Path(folder))
    try:
        return AutoModel.from_pretrained(folder, trust_remote_code=False, dtype=torch.float32)
    except (OSError, ValueError, SafetensorError) as error:
        raise missing_encoder(name, error) from None


def load_tokenizer(name: str | Path) -> PreTrainedTokenizerBase:
    """Loads an encoder's tokenizer.

    Raises:
        KformerError: there is none in reach.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            locate_encoder(str(name)), trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise missing_encoder(name, error) from None
    # Without its files transformers makes up a tokenizer that knows special tokens alone.
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise missing_encoder(name, ValueError("it has no tokenizer"))
    return tokenizer


def longest_input(config: PreTrainedConfig) -> int:
    """How many tokens an encoder has positions for, by its configuration."""
    # RoBERTa counts its positions from behind the padding id.
    skipped = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return config.max_position_embeddings - skipped
