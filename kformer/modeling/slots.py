"""What an injection adds to an encoder: slots, a key and a value for each fact, in some layers.

Kformer (Yao et al., arXiv 2201.05742) reads an FFN as a key-value memory and appends the facts
to it as further slots, ``FFN'(x) = fc2(gelu(fc1 x)) + Σ_i gelu(x · k_i) v_i`` with
``k_i = W_k e_i + b_k`` and ``v_i = W_v e_i + b_v`` for the embedding ``e_i`` of fact i.

A fact may also have several slots, one for each of its tokens.

Shapes: R rows (question-choice pairs), L tokens, T slots of the batch, N facts kept, S slots of a
row, P injected layers, D width, K width of a slot.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN

import kformer.modeling.attention  # noqa: F401 (registers the attention that facts join)
from kformer.encoder_lookup import layer_span
from kformer.modeling.batch_facts import BatchFacts, RowSlots
from kformer.modeling.configuration import KformerConfig
from kformer.modeling.encoder_families import LayerSites, adapter_for
from kformer.modeling.injections import find_injection
from kformer.modeling.slot_matching import Cosine, OfScore


@runtime_checkable
class InitialisesItself(Protocol):
    """A module with weights that transformers does not know how to initialise."""

    def initialise(self, std: float) -> None:
        """Fills fresh weights; those that were loaded must stay.

        The functions of `torch.nn.init` leave loaded weights alone when they are called here.

        Args:
            std: the standard deviation with which the encoder's weights are initialised.
        """
        ...


class Projection(nn.Linear):
    """A linear layer that starts as N(0, 0.02) plus ``identity`` times the identity matrix.

    With a large enough identity in the keys a fact's slot fires from the first step on words that
    are like the fact's own; with none of it, as released, slots start almost inert.
    """

    def __init__(self, width: int, slot_width: int, identity: float) -> None:
        super().__init__(width, slot_width)
        self.identity = identity

    def initialise(self, std: float) -> None:
        # transformers has drawn N(0, std) by now, unless a checkpoint filled the weight.
        if not getattr(self.weight, "_is_hf_initialized", False):
            self.weight.diagonal().add_(self.identity)

    @torch.no_grad()
    def start_as(self, weight: Tensor, bias: Tensor | None) -> None:
        """Starts as another projection."""
        self.weight.copy_(weight)
        if bias is None:
            self.bias.zero_()
        else:
            self.bias.copy_(bias)


class FactSlots(nn.Module):
    """What one layer makes of the facts: a key and a value each.

    ``facts`` is None between the batches, and when there are no facts; the layer then is exactly
    the encoder's own. ``activations`` (R, N) are recorded if `BatchFacts.tokens` asks for it: how
    strongly each fact fired, the highest over the tokens of the input.
    """

    def __init__(self, config: KformerConfig, slot_width: int) -> None:
        super().__init__()
        width = config.encoder.hidden_size
        of_key = config.key_scale if config.key_init == "identity" else 0.0
        of_value = config.value_scale if config.value_init == "identity" else 0.0
        self.key = Projection(width, slot_width, of_key)
        self.value = Projection(width, slot_width, of_value)
        self.facts: BatchFacts | None = None
        self.activations: Tensor | None = None

    def use(self, facts: BatchFacts | None) -> None:
        """Sets the facts that the layer's next pass reads."""
        self.facts = facts

    def keys_values_mask(self) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values (R, S, K), and the mask (R, S) of slots that there are."""
        facts = self.facts
        assert facts is not None
        of_rows = facts.of_rows
        if len(facts.embeddings) <= of_rows.slots.numel():  # each is projected once
            keys, values = self.keys(facts.embeddings), self.value(facts.embeddings)
            # An embedding's backward pass is many times faster on a CPU than that of an index.
            keys, values = (F.embedding(of_rows.slots, each) for each in (keys, values))
        else:
            kept = facts.embeddings[of_rows.slots]
            keys, values = self.keys(kept), self.value(kept)
        return keys, values, of_rows.mask

    def keys(self, embeddings: Tensor) -> Tensor:
        """The keys (…, K) of slots that are made of these embeddings (…, D)."""
        keys: Tensor = self.key(embeddings)
        return keys

    @property
    def recording(self) -> bool:
        """Whether activations are asked for."""
        return self.facts is not None and self.facts.tokens is not None

    def record(self, activations: Tensor) -> None:
        """Keeps the highest of each fact's activations, over the tokens and its slots.

        Args:
            activations: of slots that there are, and zero for the others, (R, L, S).
        """
        facts = self.facts
        assert facts is not None and facts.tokens is not None
        padding = ~facts.tokens[..., None]
        highest = activations.detach().float().masked_fill(padding, -torch.inf).amax(1)
        of_rows = facts.of_rows
        highest = highest.masked_fill(~of_rows.mask, -torch.inf)
        of_facts = torch.full(facts.mask.shape, -torch.inf, device=highest.device)
        of_facts = of_facts.scatter_reduce(1, of_rows.facts, highest, "amax")
        self.activations = of_facts.masked_fill(~facts.mask, 0.0)


class FeedForwardSlots(FactSlots):
    """Facts as further slots of the feed-forward key-value memory, with its own activation."""

    def __init__(self, config: KformerConfig, site: LayerSites) -> None:
        super().__init__(config, config.encoder.hidden_size)
        self.activation = ACT2FN[getattr(config.encoder, adapter_for(config.encoder).activation)]
        self.cosine = Cosine(config.encoder.hidden_size) if config.match == "cosine" else None
        reads_facts = find_injection(config.injection).fact_input != "none"
        self.of_score = OfScore() if config.scores_in_keys and reads_facts else None
        self._input: Tensor | None = None
        site.feed_forward_in.register_forward_pre_hook(self._keep_input)
        site.feed_forward_out.register_forward_hook(self._add_facts)

    def use(self, facts: BatchFacts | None) -> None:
        super().use(facts)
        self._input = None

    def keys(self, embeddings: Tensor) -> Tensor:
        keys = super().keys(embeddings)
        return keys if self.cosine is None else self.cosine.keys(keys)

    def _keep_input(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if self.facts is not None:
            self._input = args[0]

    def _add_facts(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        if self.facts is None:
            return output
        assert self._input is not None
        keys, values, mask = self.keys_values_mask()
        if self.cosine is None:
            matched = self._input @ keys.transpose(1, 2)  # (R, L, S)
        else:
            matched = self.cosine(self._input, keys)
        if self.of_score is not None:
            matched = matched + self.of_score(self.facts).to(matched.dtype)
        fired = self.activation(matched)
        self._input = None
        fired = fired.masked_fill(~mask[:, None, :], 0.0)
        if self.recording:
            self.record(fired)
        return output + fired @ values


class AttentionSlots(FactSlots):
    """Facts as further keys and values of the self-attention, past its own projections."""

    def __init__(self, config: KformerConfig, site: LayerSites) -> None:
        super().__init__(config, _key_width(config.encoder))
        self._needs = adapter_for(config.encoder).attention_with_facts
        site.attention.register_forward_pre_hook(self._join, with_kwargs=True)

    def _join(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self.facts is None:
            return None
        if self._needs is not None:
            assert module.config._attn_implementation == self._needs, (
                f"the encoder's attention must be {self._needs}"
            )
        return args, kwargs | {"fact_slots": self}


class InjectionModule(nn.Module):
    """Holds the slots of all injected layers, and hands them the facts of each batch.

    The slots are attached with hooks that are methods of modules, so that a deep copy of a model
    reads its own facts.
    """

    def __init__(
        self,
        config: KformerConfig,
        encoder: PreTrainedModel,
        slots: Callable[[KformerConfig, LayerSites], FactSlots] | None = None,
    ) -> None:
        """Makes slots for each layer of ``config.injection_layers``; None = for none.

        Raises:
            KformerError: the encoder has no such layers.
        """
        super().__init__()
        self.facts: BatchFacts | None = None
        self.layers = nn.ModuleList()
        self._span = slice(*config.injection_layers)
        if slots is not None:
            start, end = config.injection_layers
            layer_span((start, end), config.encoder.num_hidden_layers)
            for site in adapter_for(config.encoder).sites(encoder)[self._span]:
                self.layers.append(slots(config, site))

    def start_from(self, encoder: PreTrainedModel) -> None:
        """Starts slots as the layers' own projections of keys and values."""
        adapter = adapter_for(encoder.config)
        assert adapter.own_projections is not None
        for slots, site in zip(self._slots, adapter.sites(encoder)[self._span], strict=True):
            keys, values = adapter.own_projections(site.attention)
            slots.key.start_as(*keys)
            slots.value.start_as(*values)

    def own_facts(self, rows: int) -> BatchFacts | None:
        """What a method injects instead of the facts of the batch, for R rows; None = nothing."""
        return None

    @contextmanager
    def using(self, facts: BatchFacts | None) -> Iterator[None]:
        """Lets the encoder read these facts, and after that, or an error, those from before."""
        before = self.facts
        self._use(facts)
        try:
            yield
        finally:
            self._use(before)

    def _use(self, facts: BatchFacts | None) -> None:
        self.facts = facts
        for slots in self._slots:
            slots.use(facts)

    def activations(self) -> Tensor | None:
        """How strongly each fact fired in each layer of the last pass, (R, P, N).

        None where no layer with slots was computed.
        """
        recorded = [slots.activations for slots in self._slots if slots.activations is not None]
        for slots in self._slots:
            slots.activations = None
        return torch.stack(recorded, dim=1) if recorded else None

    @property
    def _slots(self) -> Iterator[FactSlots]:
        return (slots for slots in self.layers if isinstance(slots, FactSlots))

    def _replicate_for_data_parallel(self) -> "InjectionModule":
        raise NotImplementedError(
            "nn.DataParallel copies modules without their hooks' owners; use "
            "DistributedDataParallel"
        )


class StaticSlots(InjectionModule):
    """Kformer's slots, fed by N trained embeddings instead of facts."""

    def __init__(self, config: KformerConfig, encoder: PreTrainedModel) -> None:
        super().__init__(config, encoder, FeedForwardSlots)
        self.embeddings = nn.Parameter(torch.empty(config.facts, config.encoder.hidden_size))

    def initialise(self, std: float) -> None:
        init.normal_(self.embeddings, std=std)

    def own_facts(self, rows: int) -> BatchFacts:
        kept = torch.arange(len(self.embeddings), device=self.embeddings.device).expand(rows, -1)
        mask = torch.ones_like(kept, dtype=torch.bool)
        return BatchFacts(self.embeddings, mask, RowSlots.one_each(kept, mask))


def _key_width(encoder: Any) -> int:
    """The width of all keys of a token, which heads may share among them."""
    heads = getattr(encoder, "num_key_value_heads", None) or encoder.num_attention_heads
    head_width = getattr(encoder, "head_dim", None)
    return heads * (head_width or encoder.hidden_size // encoder.num_attention_heads)
