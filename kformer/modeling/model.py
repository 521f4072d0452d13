"""Multiple choice with an encoder and injected facts, usable like any Hugging Face model.

The method is Kformer's (Yao et al., arXiv 2201.05742): embed each fact as the mean of its tokens'
embeddings, keep the facts that fit the input best, inject them, score each choice from the state
of one token. What departs from that is in `kformer.modeling.configuration`.

Shapes: B batch, C choices, L tokens, M candidate facts, U distinct ones in the batch, N facts kept,
T fact tokens, P injected layers, D width, E width of word embeddings, which few encoders have
narrower; R rows, one for each choice that is computed, B·C where none is padding.
"""

import copy
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import AutoModel, AutoModelForMultipleChoice, PreTrainedModel

from kformer.compute_precision import narrow_states
from kformer.encoder_lookup import layer_span
from kformer.encoder_weights import load_checked
from kformer.errors import KformerError
from kformer.io.checksums import check_saved
from kformer.modeling.candidates import Candidates
from kformer.modeling.choice_grid import ChoiceGrid
from kformer.modeling.configuration import KformerConfig
from kformer.modeling.dropout import use_fast_dropout
from kformer.modeling.encoder_families import ATTENTION, adapter_for, check_own_projections
from kformer.modeling.fact_embeddings import FactEmbeddings
from kformer.modeling.injections import find_injection
from kformer.modeling.kept_states import given_states
from kformer.modeling.output import KformerOutput
from kformer.modeling.partly_trained import PartlyTrainedEmbedding
from kformer.modeling.pretrained import load_encoder, longest_input
from kformer.modeling.reading_facts import read_facts
from kformer.modeling.scored_token import ScoredTokenOnly
from kformer.modeling.scoring_head import ScoringHead
from kformer.modeling.slots import InitialisesItself


class KformerForMultipleChoice(PreTrainedModel):
    """An encoder that answers multiple-choice questions, with facts injected into it.

    While it computes, a model holds the facts of its batch: let one thread at a time use it, and
    give every other one a deep copy.

    Attributes:
        states_layer: the layer that `forward`'s ``states`` enter, if it is given any.
    """

    config: KformerConfig
    config_class = KformerConfig
    base_model_prefix = "kformer"
    supports_gradient_checkpointing = True
    # It is the encoder that may not support these, and it says so itself.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

    def __init__(self, config: KformerConfig) -> None:
        super().__init__(config)
        method = find_injection(config.injection)
        for name in ("facts", "max_tokens", "max_fact_tokens"):
            if getattr(config, name) < 1:
                raise KformerError(f"model.{name}: {getattr(config, name)} must be at least 1")
        method.check(config)
        self.adapter = adapter_for(config.encoder)
        if self.reads_states_as_tokens:
            check_own_projections(config.encoder.model_type)
        config.encoder.use_cache = False  # a decoder reads each input once
        attention = config.encoder._attn_implementation
        if attention in (None, "sdpa") and self.adapter.attention_with_facts:
            attention = ATTENTION
        attention = self._attention_with_facts or attention
        encoder = copy.deepcopy(config.encoder)  # another model of it may need another attention
        self.encoder = AutoModel.from_config(encoder, attn_implementation=attention)
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None  # ours is the scoring head
        self.adapter.prepare(self.encoder)
        PartlyTrainedEmbedding.take_over(self.encoder.get_input_embeddings())
        self.injection = method.build(config, self.encoder)
        self._reads_facts = method.fact_input == "embeddings"
        self.fact_embeddings: FactEmbeddings | None = None
        if self._reads_facts and config.fact_encoder == "words":
            words = self.encoder.get_input_embeddings()
            self.fact_embeddings = FactEmbeddings(words.num_embeddings, words.embedding_dim)
        self.head = ScoringHead(config)
        layers = self.adapter.layers_of(self.encoder)
        narrow_states(layers[0])
        self.last_layer = ScoredTokenOnly(*self.adapter.last_layer(layers[-1]))
        use_fast_dropout(self)
        self.states_layer: int | None = None
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, **options: Any) -> Any:
        """A saved model, loaded like any Hugging Face model.

        Raises:
            KformerError: it cannot be loaded, or weights are missing, left over, of another shape
                or no finite numbers; or a file of a run's model is not what training wrote.
        """
        with_report = options.pop("output_loading_info", False)
        folder = next(iter(args), options.get("pretrained_model_name_or_path"))
        check_saved(str(folder))
        load = partial(super().from_pretrained, *args, **options)
        model, report = load_checked(load, str(folder), "model", ours=True)
        return (model, report) if with_report else model

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
            KformerError: no such encoder or injection, family not supported, unknown setting, or
                layers out of range.
        """
        unknown = settings.keys() - KformerConfig.__annotations__.keys()
        if unknown:
            known = ", ".join(sorted(KformerConfig.__annotations__.keys() - {"encoder"}))
            raise KformerError(f"model: unknown: {', '.join(sorted(unknown))}; there are {known}")
        if not find_injection(settings.get("injection", "none")).has_slots:
            layers = "all"  # not read
        pretrained = load_encoder(encoder)
        span = layer_span(layers, pretrained.config.num_hidden_layers)
        config = KformerConfig(encoder=pretrained.config, injection_layers=span, **settings)
        longest = longest_input(pretrained.config)
        config.max_tokens = min(config.max_tokens, longest)
        if config.fact_encoder == "layers":  # which reads facts, between two tokens of its own
            config.max_fact_tokens = min(config.max_fact_tokens, longest - 2)
        model = cls(config)
        model.encoder.load_state_dict(pretrained.state_dict(), strict=False)  # all but its pooler
        if model.reads_states_as_tokens:
            model.injection.start_from(model.encoder)
        if model.fact_embeddings is not None:
            words = pretrained.get_input_embeddings().weight
            model.fact_embeddings.load_state_dict({"weight": words})
        return model

    @property
    def reads_states_as_tokens(self) -> bool:
        """Whether slots are made of states as a layer's own projections read them."""
        reads_facts = find_injection(self.config.injection).fact_input == "embeddings"
        return reads_facts and self.config.key_init == "encoder"

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.get_input_embeddings()

    def set_attn_implementation(
        self, attn_implementation: str | dict[Any, Any], allow_all_kernels: bool = False
    ) -> None:
        """Changes the encoder's attention, unless facts join it, for which it must be ours."""
        if self._attention_with_facts is None:
            super().set_attn_implementation(attn_implementation, allow_all_kernels)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        raise NotImplementedError("resize the encoder's embeddings, then use `from_encoder`")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, InitialisesItself):
            module.initialise(self.config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        fact_input_ids: Tensor | None = None,
        fact_attention_mask: Tensor | None = None,
        fact_positions: Tensor | None = None,
        fact_scores: Tensor | None = None,
        choice_rows: Tensor | None = None,
        labels: Tensor | None = None,
        output_facts: bool = False,
        states: Tensor | None = None,
    ) -> KformerOutput:
        """Scores every choice of every question in one pass.

        Args:
            input_ids: (B, C, L), a row per choice; a row that is all padding is no choice.
            attention_mask: (B, C, L), 1 for tokens.
            fact_input_ids: (U, T) for the distinct facts of the batch; without
                ``fact_positions``, (B, M, T) for facts per question, (B, C, M, T) per choice.
            fact_attention_mask: the same shape; a fact that is all padding is no fact.
            fact_positions: (B, M) for facts per question, (B, C, M) per choice: which of the
                distinct facts each candidate is, -1 for none.
            fact_scores: the shape of ``fact_positions``: what retrieval scored each candidate, for
                ``scores_in_keys``.
            choice_rows: (R,), the rows of all B·C that are choices; only these are computed.
                None = all rows.
            labels: (B,), the right choice.
            output_facts: also return which facts were kept and how strongly each one fired.
            states: (B, C, L, D) those that enter ``states_layer``, as
                `kformer.modeling.kept_states.states_below` computed them.
        """
        batch, choices, _ = input_ids.shape
        assert attention_mask.shape == input_ids.shape, (attention_mask.shape, input_ids.shape)
        grid = ChoiceGrid(batch, choices, choice_rows)
        tokens, order = grid.rows(attention_mask.bool()).sort(descending=True, stable=True)
        rows = grid.rows(input_ids).gather(1, order)  # moves all padding to the right
        is_choice = tokens.any(-1)
        tokens[:, 0] = True  # attention over nothing at all would be NaN
        if self.config.encoder.pad_token_id is not None:  # RoBERTa counts positions by it
            rows = rows.masked_fill(~tokens, self.config.encoder.pad_token_id)

        facts = self.injection.own_facts(len(rows))
        if fact_input_ids is not None and self._reads_facts:
            assert fact_attention_mask is not None, "facts need their attention mask"
            candidates = Candidates.of(
                input_ids.shape, fact_input_ids, fact_attention_mask, fact_positions, fact_scores
            )
            facts = read_facts(self, rows, tokens, grid, candidates)
        if facts is not None and output_facts:
            facts.tokens = tokens
        # Activations are reported for all tokens.
        with (
            self.injection.using(facts),
            self.last_layer.cutting(not output_facts),
            given_states(self, grid.rows(states) if states is not None else None),
        ):
            states = self.encoder(input_ids=rows, attention_mask=tokens.long()).last_hidden_state

        logits = self.head(self._scored(states, tokens)).float()
        lowest = torch.finfo(logits.dtype).min
        logits = grid.whole(logits.masked_fill(~is_choice, lowest), lowest)
        output = KformerOutput(logits=logits)
        if labels is not None:
            output.loss = F.cross_entropy(logits, labels)
        if facts is not None and output_facts:
            if facts.candidates is not None:
                kept = facts.candidates.masked_fill(~facts.mask, -1)
                output.kept_facts = grid.whole(kept, -1)
            if (activations := self.injection.activations()) is not None:
                output.fact_activations = grid.whole(activations, 0.0)
        return output

    def _scored(self, states: Tensor, tokens: Tensor) -> Tensor:
        """The states (R, D) of the scored tokens, of all states (R, L, D) or the first alone."""
        if self.adapter.scored_token == "first":
            return states[:, 0]
        last = tokens.sum(-1) - 1
        return states[torch.arange(len(states), device=states.device), last]

    @property
    def _attention_with_facts(self) -> str | None:
        """The attention that the encoder must have for facts to join it; None = its own."""
        joins = find_injection(self.config.injection).joins_attention
        return adapter_for(self.config.encoder).attention_with_facts if joins else None

    @property
    def _words(self) -> PartlyTrainedEmbedding:
        """The encoder's word embeddings (V, E)."""
        return self.encoder.get_input_embeddings()

    def train_only(self, input_tokens: Iterable[int], fact_tokens: Iterable[int]) -> None:
        """Trains of word and fact embeddings only the rows of tokens that training texts have.

        Call it before the optimiser is made; an encoder that is frozen stays so.
        """
        if self._words.weight.requires_grad:
            self._words.train_only(input_tokens)
        if self.fact_embeddings is not None:
            self.fact_embeddings.train_only(fact_tokens)

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
        is_cut = self.last_layer.active

        def layer_with_facts(*args: Any) -> Any:
            with self.injection.using(facts), self.last_layer.cutting(is_cut):
                return layer(*args)

        return checkpoint(layer_with_facts, *args)


AutoModelForMultipleChoice.register(KformerConfig, KformerForMultipleChoice)
