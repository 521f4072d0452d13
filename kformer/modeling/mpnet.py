"""MPNet (Song et al., arXiv 2004.09297), to which transformers gives none of its interfaces."""

import math
from typing import Any

from torch import Tensor
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.mpnet.modeling_mpnet import (
    MPNetAttention,
    MPNetLayer,
    MPNetSelfAttention,
)

from kformer.modeling.attention import Slots, attend, prepend_facts, record_weights


class MPNetAttentionWithFacts(MPNetSelfAttention):
    """MPNet's attention, to whose scores a bias for the distance of two tokens is added.

    A fact is at no distance: nothing is added to its scores.
    """

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        output_attentions: bool = False,
        fact_slots: Slots | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, ...]:
        heads = (self.num_attention_heads, self.attention_head_size)
        query, key, value = (
            part(hidden_states).unflatten(-1, heads).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        assert position_bias is not None  # (R, H, L, L)
        bias = position_bias if attention_mask is None else position_bias + attention_mask
        scale = 1 / math.sqrt(self.attention_head_size)
        if fact_slots is not None:
            key, value, bias = prepend_facts(fact_slots, key, value, bias)
            if fact_slots.recording:
                record_weights(fact_slots, query, key, bias, scale)
        dropout = self.dropout.p if self.training else 0.0
        mixed = attend(query, key, value, bias, dropout, scale)
        return (self.o(mixed.flatten(2)),)


class NarrowingMPNetAttention(MPNetAttention):
    """MPNet's attention with its residual, for as many tokens as the attention itself returns."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        output_attentions: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, ...]:
        (mixed,) = self.attn(hidden_states, attention_mask, position_bias)
        residual = hidden_states[:, : mixed.shape[1]]
        return (self.LayerNorm(self.dropout(mixed) + residual),)


class CheckpointedMPNetLayer(GradientCheckpointingLayer, MPNetLayer):
    """MPNet's layer, which can be computed again in the backward pass."""


def prepare_mpnet(encoder: Any) -> None:
    """Lets facts join its attention and layers be checkpointed: the same parameters, other code."""
    for layer in encoder.encoder.layer:
        layer.__class__ = CheckpointedMPNetLayer
        layer.attention.__class__ = NarrowingMPNetAttention
        layer.attention.attn.__class__ = MPNetAttentionWithFacts
