"""The ways in which facts get into an encoder: one small class each, named in `INJECTIONS`.

Kformer (Yao et al., arXiv 2201.05742) reads an FFN as a key-value memory and appends the facts
to it as further slots, ``FFN'(x) = fc2(gelu(fc1 x)) + Σ_i gelu(x · k_i) v_i`` with
``k_i = W_k e_i + b_k`` and ``v_i = W_v e_i + b_v`` for the embedding ``e_i`` of fact i.

Shapes: R rows (question-choice pairs), L tokens, N facts, D width.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.activations import ACT2FN
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from kformer.modeling.adapters import LayerSites
from kformer.modeling.configuration import KformerConfig


@dataclass
class FactSlots:
    """The facts of the batch that is being computed: embeddings (R, N, D) and mask (R, N)."""

    embeddings: Tensor
    mask: Tensor


class KeyProjection(nn.Linear):
    """A linear layer that starts as N(0, 0.02) plus ``identity`` times the identity matrix.

    With a large enough identity a fact's slot fires from the first step on words that are like
    the fact's own; with none of it, as released, slots start almost inert.
    """

    def __init__(self, width: int, identity: float) -> None:
        super().__init__(width, width)
        self.identity = identity


class FactProjection(nn.Module):
    """Turns fact embeddings (R, N, D) into keys and values (R, N, D) of one layer."""

    def __init__(self, config: KformerConfig) -> None:
        super().__init__()
        width = config.encoder.hidden_size
        identity = config.key_scale if config.key_init == "identity" else 0.0
        self.key = KeyProjection(width, identity)
        self.value = nn.Linear(width, width)

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        return self.key(embeddings), self.value(embeddings)


class Injection(nn.Module):
    """What a method adds to an encoder: a projection per layer, attached with hooks.

    The model sets ``slots`` before it runs the encoder; ``None`` means that there are no facts
    and leaves the encoder exactly as it is.
    """

    embeds_facts: ClassVar[bool] = True
    """Whether the model must be given facts as tensors of their own."""
    attention_function: ClassVar[str | None] = None
    """The attention implementation that the encoder must use; None leaves it its own."""

    def __init__(self, config: KformerConfig, sites: list[LayerSites]) -> None:
        super().__init__()
        self.slots: FactSlots | None = None
        start, end = config.injection_layers
        self.layers = nn.ModuleList(FactProjection(config) for _ in range(start, end))
        for projection, site in zip(self.layers, sites[start:end], strict=True):
            self.attach(projection, site, config)

    def attach(self, projection: nn.Module, site: LayerSites, config: KformerConfig) -> None:
        """Hooks one layer's projection into the encoder."""
        raise NotImplementedError


class NoInjection(Injection):
    """Plain fine-tuning: the encoder as it is."""

    embeds_facts = False

    def __init__(self, config: KformerConfig, sites: list[LayerSites]) -> None:
        nn.Module.__init__(self)
        self.slots = None


class ConcatInjection(NoInjection):
    """Facts as text in the input; `kformer.modeling.processor` puts them there."""


class FeedForwardInjection(Injection):
    """Kformer: facts as further slots of the feed-forward key-value memory."""

    def attach(self, projection: nn.Module, site: LayerSites, config: KformerConfig) -> None:
        activation = ACT2FN[config.encoder.hidden_act]
        inputs: list[Tensor] = []

        def remember_input(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            inputs[:] = args[:1]

        def add_facts(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = inputs.pop()
            if self.slots is None:
                return output
            keys, values = projection(self.slots.embeddings)
            fired = activation(x @ keys.transpose(1, 2))  # (R, L, N)
            fired = fired.masked_fill(~self.slots.mask[:, None, :], 0.0)
            return output + fired @ values

        site.feed_forward_in.register_forward_pre_hook(remember_input)
        site.feed_forward_out.register_forward_hook(add_facts)


class AttentionInjection(Injection):
    """Facts as further keys and values of the self-attention, past its own projections."""

    attention_function = "kformer_sdpa"

    def attach(self, projection: nn.Module, site: LayerSites, config: KformerConfig) -> None:
        def pass_facts(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
            if self.slots is None:
                return None
            keys, values = projection(self.slots.embeddings)
            facts = {"fact_keys": keys, "fact_values": values, "fact_mask": self.slots.mask}
            return args, kwargs | facts

        site.attention.register_forward_pre_hook(pass_facts, with_kwargs=True)


def attention_with_facts(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    fact_keys: Tensor | None = None,
    fact_values: Tensor | None = None,
    fact_mask: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention over the facts (R, N, D), then the tokens (R, H, L, D/H)."""
    if fact_keys is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    assert fact_values is not None and fact_mask is not None
    if attention_mask is None:  # transformers leaves out a mask that would mask nothing
        attention_mask = fact_mask.new_ones(1, 1, query.shape[2], key.shape[2])
    rows, heads, tokens = query.shape[:3]
    attention_mask = attention_mask.expand(rows, 1, tokens, -1)
    fact_columns = fact_mask[:, None, None, :].expand(rows, 1, tokens, -1)

    def split_heads(facts: Tensor) -> Tensor:
        return facts.unflatten(-1, (heads, -1)).transpose(1, 2).to(key.dtype)

    return sdpa_attention_forward(
        module,
        query,
        torch.cat([split_heads(fact_keys), key], dim=2),
        torch.cat([split_heads(fact_values), value], dim=2),
        torch.cat([fact_columns, attention_mask], dim=3),
        **kwargs,
    )


AttentionInterface.register("kformer_sdpa", attention_with_facts)
AttentionMaskInterface.register("kformer_sdpa", sdpa_mask)

INJECTIONS: dict[str, type[Injection]] = {
    "none": NoInjection,
    "concat": ConcatInjection,
    "attention": AttentionInjection,
    "ffn": FeedForwardInjection,
}
