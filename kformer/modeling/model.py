"""Multiple choice with an encoder and injected facts, usable like any Hugging Face model.

The method is Kformer's (Yao et al., arXiv 2201.05742): embed each fact as the mean of its tokens'
embeddings, keep the facts that fit the input best, inject them, score each choice from the state
of one token.

Shapes: B batch, C choices, L tokens, M candidate facts, N facts kept, T fact tokens, P injected
layers, D width, E width of word embeddings, which few encoders have narrower; R = B·C rows, in G
groups that share their candidates (B, or R where facts are per choice).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import AutoModel, AutoModelForMultipleChoice, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import MultipleChoiceModelOutput

from kformer.encoders import (
    BUNDLED,
    check_bundled_weights,
    layer_span,
    locate_encoder,
    missing_encoder,
)
from kformer.errors import KformerError
from kformer.modeling.adapters import adapter_for
from kformer.modeling.configuration import KformerConfig
from kformer.modeling.fact_embeddings import FactEmbeddings, embedding_sum
from kformer.modeling.injection import (
    INJECTIONS,
    Facts,
    KeyProjection,
    StaticInjection,
    attention_implementation,
)


@dataclass
class KformerOutput(MultipleChoiceModelOutput):
    """Loss and logits (B, C); with ``output_facts`` also what became of the facts.

    Attributes:
        kept_facts: (B, C, N), positions among the M candidates, best first, −1 for none.
        fact_activations: (B, C, P, N), how strongly each kept fact fired in each injected layer,
            the highest over the tokens of the input: of the FFN's activation ``gelu(x · k_i)``
            for ``ffn``, of the attention weight, mean over heads, for ``attention``.
    """

    kept_facts: Tensor | None = None
    fact_activations: Tensor | None = None


class ScoringHead(nn.Module):
    """Scores one token's state (R, D): dropout, dense, tanh, dropout, one number (R,)."""

    def __init__(self, config: KformerConfig) -> None:
        super().__init__()
        width = config.encoder.hidden_size
        self.dropout = nn.Dropout(config.head_dropout)
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, 1)

    def forward(self, state: Tensor) -> Tensor:
        state = torch.tanh(self.dense(self.dropout(state)))
        return self.out_proj(self.dropout(state)).squeeze(-1)


class KformerForMultipleChoice(PreTrainedModel):
    """An encoder that answers multiple-choice questions, with facts injected into it.

    While it computes, a model holds the facts of its batch: let one thread at a time use it, and
    give every other one a deep copy.
    """

    config: KformerConfig
    config_class = KformerConfig
    base_model_prefix = "kformer"
    supports_gradient_checkpointing = True
    # Whether the encoder supports them, it says itself.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True

    def __init__(self, config: KformerConfig) -> None:
        super().__init__(config)
        if config.injection not in INJECTIONS:
            raise KformerError(
                f"model.injection: {config.injection!r} is unknown; known are "
                f"{', '.join(INJECTIONS)}"
            )
        for name in ("facts", "max_tokens", "max_fact_tokens"):
            if getattr(config, name) < 1:
                raise KformerError(f"model.{name}: {getattr(config, name)} must be at least 1")
        self.adapter = adapter_for(config.encoder)
        config.encoder.use_cache = False  # a decoder reads each input once
        attention = attention_implementation(config) or config.encoder._attn_implementation
        # A copy: another model of the same config may want another attention.
        own = copy.deepcopy(config.encoder)
        self.encoder = AutoModel.from_config(own, attn_implementation=attention)
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None  # ours is the scoring head
        self.injection = INJECTIONS[config.injection](config, self.encoder)
        if self.injection.embeds_facts:
            words = self.encoder.get_input_embeddings()
            self.fact_embeddings = FactEmbeddings(words.num_embeddings, words.embedding_dim)
        self.head = ScoringHead(config)
        self.post_init()

    @classmethod
    def from_encoder(
        cls, encoder: str | Path, layers: str | tuple[int, int] = "top3", **settings: Any
    ) -> "KformerForMultipleChoice":
        """A model to be trained, from a pre-trained encoder.

        Args:
            encoder: a Hugging Face id or a local folder.
            layers: ``top3``, ``bottom3``, ``all`` or (start, end).
            settings: further fields of `KformerConfig`.

        Raises:
            KformerError: no such encoder, family not supported, unknown setting, or layers out of
                range.
        """
        unknown = settings.keys() - KformerConfig.__annotations__.keys()
        if unknown:
            known = ", ".join(sorted(KformerConfig.__annotations__.keys() - {"encoder"}))
            raise KformerError(f"model: unknown: {', '.join(sorted(unknown))}; there are {known}")
        pretrained = load_encoder(encoder)
        method = INJECTIONS.get(settings.get("injection", "none"))
        if method is not None and method.slots_of_a_layer is None:
            layers = "all"  # they do not matter, whatever they are
        span = layer_span(layers, pretrained.config.num_hidden_layers)
        config = KformerConfig(encoder=pretrained.config, injection_layers=span, **settings)
        config.max_tokens = min(config.max_tokens, _longest_input(pretrained))
        model = cls(config)
        model.encoder.load_state_dict(pretrained.state_dict(), strict=False)  # all but its pooler
        if model.injection.embeds_facts:
            words = pretrained.get_input_embeddings().weight
            model.fact_embeddings.load_state_dict({"weight": words})
        return model

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.get_input_embeddings()

    def set_attn_implementation(
        self, attn_implementation: str | dict[Any, Any], allow_all_kernels: bool = False
    ) -> None:
        """Changes the encoder's attention, unless facts join it, which takes one of ours."""
        if attention_implementation(self.config) is None:
            super().set_attn_implementation(attn_implementation, allow_all_kernels)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        raise NotImplementedError("resize the encoder's embeddings, then use `from_encoder`")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # transformers marks weights that a checkpoint filled, and all once they are initialised.
        fresh = not getattr(getattr(module, "weight", None), "_is_hf_initialized", False)
        super()._init_weights(module)
        if isinstance(module, KeyProjection) and fresh:
            module.weight.diagonal().add_(module.identity)
        if isinstance(module, StaticInjection):
            init.normal_(module.embeddings, std=self.config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        fact_input_ids: Tensor | None = None,
        fact_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_facts: bool = False,
    ) -> KformerOutput:
        """Scores every choice of every question in one pass.

        Args:
            input_ids: (B, C, L), a row per choice; a row that is all padding is no choice.
            attention_mask: (B, C, L), 1 for tokens.
            fact_input_ids: (B, M, T) for facts per question, (B, C, M, T) for facts per choice.
            fact_attention_mask: the same shape; a fact that is all padding is no fact.
            labels: (B,), the right choice.
            output_facts: also return which facts were kept and how strongly each one fired.
        """
        batch, choices, _ = input_ids.shape
        assert attention_mask.shape == input_ids.shape, (attention_mask.shape, input_ids.shape)
        tokens, order = attention_mask.bool().flatten(0, 1).sort(descending=True, stable=True)
        rows = input_ids.flatten(0, 1).gather(1, order)  # wherever padding was, it is on the right
        is_choice = tokens.any(-1).view(batch, choices)
        tokens[:, 0] = True  # attention over nothing at all would be NaN
        if self.config.encoder.pad_token_id is not None:  # RoBERTa counts positions by it
            rows = rows.masked_fill(~tokens, self.config.encoder.pad_token_id)

        facts = self.injection.own_facts(len(rows))
        if self.injection.embeds_facts and fact_input_ids is not None:
            assert fact_attention_mask is not None, "facts need their attention mask"
            given = (fact_input_ids.shape, fact_attention_mask.shape)
            assert given[0] == given[1], f"facts and their mask differ: {given}"
            assert given[0][:-2] in ((batch,), (batch, choices)), (
                f"facts {tuple(given[0])} are neither per question nor per choice of inputs "
                f"{tuple(input_ids.shape)}"
            )
            facts = self._read_facts(rows, tokens, fact_input_ids, fact_attention_mask)
        if facts is not None and output_facts:
            facts.tokens = tokens
        with self.injection.using(facts):
            states = self.encoder(input_ids=rows, attention_mask=tokens.long()).last_hidden_state

        logits = self.head(self._scored(states, tokens)).float().view(batch, choices)
        logits = logits.masked_fill(~is_choice, torch.finfo(logits.dtype).min)
        output = KformerOutput(logits=logits)
        if labels is not None:
            output.loss = F.cross_entropy(logits, labels)
        if facts is not None and output_facts:
            by_question = (batch, choices)
            if fact_input_ids is not None and self.injection.embeds_facts:
                output.kept_facts = facts.kept.masked_fill(~facts.mask, -1).unflatten(
                    0, by_question
                )
            output.fact_activations = self.injection.activations().unflatten(0, by_question)
        return output

    def _scored(self, states: Tensor, tokens: Tensor) -> Tensor:
        """The states (R, D) of the tokens that stand for their inputs, of (R, L, D)."""
        if self.adapter.scored_token == "first":
            return states[:, 0]
        last = tokens.sum(-1) - 1
        return states[torch.arange(len(states), device=states.device), last]

    def _read_facts(
        self, rows: Tensor, tokens: Tensor, fact_ids: Tensor, fact_tokens: Tensor
    ) -> Facts | None:
        """The facts to inject: all candidates embedded, and the best for each row chosen."""
        groups = fact_ids.shape[:-2].numel()  # B, or B·C for facts per choice
        candidates = self.fact_embeddings(fact_ids.flatten(0, -2), fact_tokens.flatten(0, -2))
        candidates = candidates.view(groups, fact_ids.shape[-2], candidates.shape[-1])
        there = fact_tokens.bool().any(-1).flatten(0, -2)  # (G, M)
        if there.numel() == 0:
            return None
        there = there.repeat_interleave(len(rows) // groups, dim=0)  # (R, M)
        kept = self._best_facts(rows, tokens, candidates, there)
        if self.adapter.projection and self._words.shape[1] != self.config.encoder.hidden_size:
            candidates = self.encoder.get_submodule(self.adapter.projection)(candidates)
        return Facts(candidates, kept, there.gather(1, kept))

    @torch.no_grad()
    def _best_facts(self, rows: Tensor, tokens: Tensor, facts: Tensor, there: Tensor) -> Tensor:
        """Positions (R, N) of the facts that fit the whole input, answer included, best first."""
        inputs = embedding_sum(rows, self._words, tokens).float() / tokens.sum(-1, keepdim=True)
        # In full precision also under autocast: a rank must not hang on rounding.
        with torch.autocast(rows.device.type, enabled=False):
            inputs = inputs.view(len(facts), -1, inputs.shape[-1])  # (G, R/G, E)
            fit = (inputs @ facts.float().transpose(1, 2)).flatten(0, 1)  # (R, M)
        fit = fit.masked_fill(~there, -torch.inf)
        return fit.topk(min(self.config.facts, facts.shape[1])).indices

    @property
    def _words(self) -> Tensor:
        """The encoder's word embeddings (V, E)."""
        return self.encoder.get_input_embeddings().weight

    def _set_gradient_checkpointing(
        self,
        enable: bool = True,
        gradient_checkpointing_func: Callable[..., Any] = checkpoint,
        every_n_layers: int = 1,
    ) -> None:
        if getattr(gradient_checkpointing_func, "keywords", {}).get("use_reentrant"):
            raise ValueError("facts need checkpoints that are not reentrant: use_reentrant=False")
        checkpointed = partial(self._checkpointed, gradient_checkpointing_func)
        super()._set_gradient_checkpointing(enable, checkpointed, every_n_layers)

    def _checkpointed(self, checkpoint: Callable[..., Any], layer: Any, *args: Any) -> Any:
        """Runs a layer so that the backward pass computes it again with the same facts."""
        facts = self.injection.facts

        def layer_with_facts(*args: Any) -> Any:
            with self.injection.using(facts):
                return layer(*args)

        return checkpoint(layer_with_facts, *args)


def _longest_input(encoder: PreTrainedModel) -> int:
    """How many tokens an encoder has positions for."""
    config = encoder.config
    # RoBERTa counts its positions from behind the padding id.
    skipped = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return config.max_position_embeddings - skipped


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


AutoModelForMultipleChoice.register(KformerConfig, KformerForMultipleChoice)
