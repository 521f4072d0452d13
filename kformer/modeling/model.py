"""Multiple choice with an encoder and injected facts, usable like any Hugging Face model.

The method is Kformer's (Yao et al., arXiv 2201.05742): embed each fact as the mean of its tokens'
embeddings, keep the facts that fit the input best, inject them, score each choice from the state
of the first token.

Shapes: B batch, C choices, L tokens, M candidate facts, N facts kept, T fact tokens, D width;
R = B·C rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import MultipleChoiceModelOutput

from kformer.encoders import (
    BUNDLED,
    check_bundled_weights,
    layer_span,
    locate_encoder,
    missing_encoder,
)
from kformer.errors import KformerError
from kformer.modeling.adapters import layer_sites
from kformer.modeling.configuration import KformerConfig
from kformer.modeling.injection import INJECTIONS, FactSlots, KeyProjection


@dataclass
class KformerOutput(MultipleChoiceModelOutput):
    """Loss and logits (B, C); with ``output_facts`` also which candidates were kept.

    ``kept_facts`` (B, C, N) holds positions among the M candidates, best first, −1 for none.
    """

    kept_facts: Tensor | None = None


class ScoringHead(nn.Module):
    """Scores the first token's state (R, D): dropout, dense, tanh, dropout, one number (R,)."""

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
    """An encoder that answers multiple-choice questions, with facts injected into it."""

    config: KformerConfig
    config_class = KformerConfig
    base_model_prefix = "kformer"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: KformerConfig) -> None:
        super().__init__(config)
        if config.injection not in INJECTIONS:
            raise KformerError(
                f"model.injection: {config.injection!r} is unknown; known are "
                f"{', '.join(INJECTIONS)}"
            )
        method = INJECTIONS[config.injection]
        self.encoder = AutoModel.from_config(
            config.encoder, attn_implementation=method.attention_function
        )
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None  # ours is the scoring head
        start, end = config.injection_layers
        layer_span((start, end), config.encoder.num_hidden_layers)
        self.injection = method(config, layer_sites(self.encoder))
        if method.embeds_facts:
            words = self.encoder.get_input_embeddings()
            self.fact_embeddings = nn.Embedding(
                words.num_embeddings, words.embedding_dim, words.padding_idx
            )
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
            KformerError: no such encoder, family not supported, or layers out of range.
        """
        pretrained = load_encoder(encoder)
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

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # transformers marks weights that a checkpoint filled, and all once they are initialised.
        fresh = not getattr(getattr(module, "weight", None), "_is_hf_initialized", False)
        super()._init_weights(module)
        if isinstance(module, KeyProjection) and fresh:
            module.weight.diagonal().add_(module.identity)

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
            output_facts: also return which facts were kept.
        """
        batch, choices, _ = input_ids.shape
        is_choice = attention_mask.bool().any(-1)
        tokens = attention_mask.flatten(0, 1).clone()
        tokens[:, 0] = 1  # attention over nothing at all would be NaN
        rows = input_ids.flatten(0, 1)

        kept = None
        if self.injection.embeds_facts and fact_input_ids is not None:
            assert fact_attention_mask is not None, "facts need their attention mask"
            kept = self._inject(rows, tokens, choices, fact_input_ids, fact_attention_mask)
        else:
            self.injection.slots = None

        states = self.encoder(input_ids=rows, attention_mask=tokens).last_hidden_state
        logits = self.head(states[:, 0]).float().view(batch, choices)
        logits = logits.masked_fill(~is_choice, torch.finfo(logits.dtype).min)
        loss = F.cross_entropy(logits, labels) if labels is not None else None
        shown = kept.view(batch, choices, -1) if output_facts and kept is not None else None
        return KformerOutput(loss=loss, logits=logits, kept_facts=shown)

    def _inject(
        self, rows: Tensor, tokens: Tensor, choices: int, fact_ids: Tensor, fact_tokens: Tensor
    ) -> Tensor | None:
        """Hands the kept facts to the injection; returns their positions (R, N), −1 for none."""
        per_question = fact_ids.dim() == 3
        facts = self._embed_facts(fact_ids.flatten(0, -2), fact_tokens.flatten(0, -2))
        facts = facts.view(*fact_ids.shape[:-1], facts.shape[-1]).flatten(0, -3)  # (B or R, M, D)
        mask = fact_tokens.bool().any(-1).flatten(0, -2)  # (B or R, M)
        if per_question:  # embedded once; every choice then sees the same candidates
            facts = facts.repeat_interleave(choices, dim=0)
            mask = mask.repeat_interleave(choices, dim=0)
        if mask.shape[1] == 0:
            self.injection.slots = None
            return None
        kept = self._best_facts(rows, tokens, facts, mask)
        facts = facts.gather(1, kept[..., None].expand(-1, -1, facts.shape[-1]))
        mask = mask.gather(1, kept)
        self.injection.slots = FactSlots(facts, mask)
        return kept.masked_fill(~mask, -1)

    def _embed_facts(self, fact_ids: Tensor, fact_tokens: Tensor) -> Tensor:
        """The mean embedding (F, D) of the tokens of F facts (F, T)."""
        table = self.fact_embeddings.weight
        if fact_ids.numel() == 0:
            return table.new_zeros(fact_ids.shape[0], table.shape[1])
        weights = fact_tokens.to(table.dtype)
        total = F.embedding_bag(fact_ids, table, mode="sum", per_sample_weights=weights)
        return total / weights.sum(-1, keepdim=True).clamp(min=1)

    @torch.no_grad()
    def _best_facts(self, rows: Tensor, tokens: Tensor, facts: Tensor, mask: Tensor) -> Tensor:
        """Positions (R, N) of the facts that fit the whole input, answer included, best first."""
        words: Tensor = self.encoder.get_input_embeddings().weight
        weights = tokens.to(words.dtype)
        total = F.embedding_bag(rows, words, mode="sum", per_sample_weights=weights)
        inputs = total / weights.sum(-1, keepdim=True)
        fit = torch.einsum("rd,rmd->rm", inputs.float(), facts.float())
        fit = fit.masked_fill(~mask, -torch.inf)
        return fit.topk(min(self.config.facts, facts.shape[1])).indices


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
        return AutoModel.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, SafetensorError) as error:
        raise missing_encoder(name, error) from None
