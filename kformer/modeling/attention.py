"""Self-attention in which facts are further keys and values, past the layer's own projections.

Facts have no position: every token sees all of them, also where tokens see only those before
them, or only near ones.

Shapes: R rows, H heads, L tokens, S slots of facts, K width of all keys or values of a token.
"""

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention

from kformer.modeling.dropout import dropout as fast_dropout
from kformer.modeling.encoder_families import ATTENTION, ATTENTION_WITH_FACTS
from kformer.modeling.scored_token import FIRST_TOKEN_ONLY


class Slots(Protocol):
    """The facts that one layer attends to."""

    recording: bool

    def keys_values_mask(self) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values (R, S, K), and the mask (R, S) of slots that there are."""
        ...

    def record(self, activations: Tensor) -> None:
        """Takes the attention weights (R, L, S) of the facts."""
        ...


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    fact_slots: Slots | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention over the facts, if any join, then the tokens.

    Args and result are those of transformers' attention interface: query (R, H, L, K/H), key and
    value alike with as many heads as keys have, mask (R or 1, 1, L, L), True where a token sees.
    """
    scale = scaling or 1 / math.sqrt(query.shape[-1])
    if fact_slots is not None:
        assert attention_mask is not None, "facts need a mask to join"
        key, value, attention_mask = prepend_facts(fact_slots, key, value, attention_mask)
        if fact_slots.recording:
            record_weights(fact_slots, query, key, attention_mask, scale)
    has_all_heads = key.shape[1] == query.shape[1]
    sees_all = attention_mask is None and not kwargs.get("is_causal", module.is_causal)
    if (attention_mask is not None or sees_all) and has_all_heads and _is_slow(query, dropout):
        if getattr(module, FIRST_TOKEN_ONLY, False):
            return _attend_first(query, key, value, attention_mask, dropout, scale), None
        return attend(query, key, value, attention_mask, dropout, scale), None
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scale, **kwargs
    )


def _attend_first(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scale: float
) -> Tensor:
    """The result of `attend` for the first token, and zero for all others."""
    mask = None if mask is None else mask[:, :, :1]
    mixed = attend(query[:, :, :1], key, value, mask, dropout, scale)
    return F.pad(mixed, (0, 0, 0, 0, 0, query.shape[2] - 1))


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scale: float
) -> Tensor:
    """Scaled dot-product attention, (R, L, H, K/H).

    A mask of floats is added to the scores; without one, every token sees all others.
    """
    if not _is_slow(query, dropout):
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scale)
        return mixed.transpose(1, 2)
    scores = (query * scale) @ key.transpose(2, 3)
    if mask is not None:
        if mask.dtype == torch.bool:  # to be added, which costs nothing in the backward pass
            lowest = torch.finfo(torch.float32).min
            mask = torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, lowest)
        scores = scores + mask
    # In single precision, for of short rows PyTorch's softmax is five times slower in bf16.
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    weights = fast_dropout(weights, dropout, training=True)
    return (weights @ value).transpose(1, 2).contiguous()


def _is_slow(query: Tensor, dropout: float) -> bool:
    """Whether PyTorch's own attention is slow: on a CPU it has no kernel with dropout."""
    return dropout > 0 and query.device.type == "cpu"


def _materialised_mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """transformers' mask for SDPA, also where it could be left out: facts extend it."""
    always = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return sdpa_mask(*args, **kwargs | always)


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
AttentionInterface.register(ATTENTION_WITH_FACTS, attention)
AttentionMaskInterface.register(ATTENTION_WITH_FACTS, _materialised_mask)


class DisentangledAttentionWithFacts(DisentangledSelfAttention):
    """DeBERTa's attention (He et al., arXiv 2006.03654), which transformers has no interface for.

    A fact has content and no position, so of the disentangled terms only content to content is
    added for it.
    """

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor,
        output_attentions: bool = False,
        query_states: Tensor | None = None,
        relative_pos: Tensor | None = None,
        rel_embeddings: Tensor | None = None,
        fact_slots: Slots | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        if fact_slots is None:
            return super().forward(
                hidden_states,
                attention_mask,
                output_attentions,
                query_states,
                relative_pos,
                rel_embeddings,
            )
        queried = hidden_states if query_states is None else query_states
        heads = self.num_attention_heads
        query = self.transpose_for_scores(self.query_proj(queried), heads)
        key = self.transpose_for_scores(self.key_proj(hidden_states), heads)
        value = self.transpose_for_scores(self.value_proj(hidden_states), heads)
        terms = 1 + ("c2p" in self.pos_att_type) + ("p2c" in self.pos_att_type)
        bias = query.new_zeros(query.shape[0], query.shape[1], key.shape[1])
        if self.relative_attention:
            bias = bias + self.disentangled_attention_bias(
                query, key, relative_pos, self.pos_dropout(rel_embeddings), terms
            )
        query, key, value, bias = (x.unflatten(0, (-1, heads)) for x in (query, key, value, bias))
        bias = bias.masked_fill(~attention_mask.bool(), torch.finfo(bias.dtype).min)
        key, value, bias = prepend_facts(fact_slots, key, value, bias)
        scale = 1 / math.sqrt(query.shape[-1] * terms)
        if fact_slots.recording:
            record_weights(fact_slots, query, key, bias, scale)
        dropout = self.dropout.p if self.training else 0.0
        return attend(query, key, value, bias, dropout, scale).flatten(2), None


def prepend_facts(
    slots: Slots, key: Tensor, value: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Keys, values and mask of facts and tokens; a mask of floats is added to the scores."""
    fact_keys, fact_values, is_fact = slots.keys_values_mask()
    rows, heads = key.shape[:2]

    def split(facts: Tensor) -> Tensor:
        return facts.unflatten(-1, (heads, -1)).transpose(1, 2).to(key.dtype)

    mask = mask.expand(rows, -1, -1, -1)
    columns = is_fact[:, None, None, :].expand(-1, *mask.shape[1:3], -1)
    if mask.dtype != torch.bool:
        hidden = torch.finfo(mask.dtype).min
        columns = mask.new_zeros(columns.shape).masked_fill(~columns, hidden)
    return (
        torch.cat([split(fact_keys), key], dim=2),
        torch.cat([split(fact_values), value], dim=2),
        torch.cat([columns, mask], dim=3),
    )


@torch.no_grad()
def record_weights(slots: Slots, query: Tensor, key: Tensor, mask: Tensor, scale: float) -> None:
    """Computes the weights of the facts, mean over heads, which SDPA does not return."""
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = (query @ key.transpose(2, 3)).float() * scale
    scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    facts = key.shape[2] - query.shape[2]
    slots.record(scores.softmax(-1).mean(1)[..., :facts])
