"""The configuration of a Kformer model: an encoder, and what is injected where."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec


@strict
class KformerConfig(PreTrainedConfig):
    """An encoder with knowledge injected into a span of its layers.

    Attributes:
        encoder: the encoder's own configuration.
        injection: name of the method, known to `kformer.modeling.injections`.
        injection_layers: the layers injected into, [start, end), 0-based and half open.
        facts: N, how many facts are kept per choice.
        filter: which of more facts slots are made of: ``words``, the N whose mean word embedding
            fits the input best, as released; ``retrieval``, the first N.
        key_init: how a fact's key projection starts: ``normal`` is N(0, 0.02) as released,
            ``identity`` adds ``key_scale`` times the identity matrix, so that from the first
            step a fact's slot fires on words like its own; ``encoder``, for attention that reads
            facts by layers, is the layer's own projection of keys.
        key_scale: the scale of that identity matrix; unused for ``normal``.
        value_init: how a fact's value projection starts: ``normal`` as the key's, ``identity``
            adds ``value_scale`` times the identity matrix, so that from the first step a fact
            that fires adds its own embedding; ``encoder`` as the key's.
        value_scale: the scale of that identity matrix; unused for ``normal``.
        fact_encoder: what a slot is made of: ``words``, one slot a fact from the mean of its word
            embeddings, as released; ``layers``, one slot a token from its state after the
            encoder's layers below the injected ones, which read the fact.
        match: when a slot of the feed-forward layer fires: ``dot``, by the dot product with its
            key as released; ``cosine``, where the cosine with its key exceeds a threshold.
        scores_in_keys: whether a fact's retrieval score is one more dimension of its keys in the
            feed-forward layer.
        score_mean: of the scores of the facts that training offered.
        score_std: their standard deviation.
        max_tokens: L, the longest input of one choice in tokens, special tokens included.
        max_fact_tokens: T, the longest fact in tokens; longer ones lose their end.
        head_dropout: dropout before each linear layer of the scoring head.
    """

    model_type = "kformer"
    sub_configs_defaults = {  # noqa: RUF012 (read by transformers in exactly this form)
        "encoder": SubConfigSpec(config_class=AutoConfig, model_type="roberta")
    }

    encoder: Any = None
    injection: str = "none"
    injection_layers: list[int] | tuple[int, int] = (9, 12)
    facts: int = 5
    filter: Literal["words", "retrieval"] = "words"
    key_init: Literal["normal", "identity", "encoder"] = "normal"
    key_scale: float | int = 4.0
    value_init: Literal["normal", "identity", "encoder"] = "normal"
    value_scale: float | int = 1.0
    fact_encoder: Literal["words", "layers"] = "words"
    match: Literal["dot", "cosine"] = "dot"
    scores_in_keys: bool = False
    score_mean: float | int = 0.0
    score_std: float | int = 1.0
    max_tokens: int = 512
    max_fact_tokens: int = 45
    head_dropout: float | int = 0.0
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False


AutoConfig.register(KformerConfig.model_type, KformerConfig)
