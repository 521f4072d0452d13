"""How a model is trained: the `training` section of the config."""

from typing import Any, Literal, Self

from pydantic import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from kformer.config_section import Section, Share
from kformer.encoder_lookup import layer_span, lowest_trained_layer
from kformer.errors import KformerError
from kformer.modeling.settings import Model


class Training(Section):
    """How the model is trained; defaults are those of the released Social IQA run."""

    learning_rate: PositiveFloat = 1e-5
    """Peak learning rate of AdamW, reached after warm-up; then linear decay to 0."""
    warmup_steps: NonNegativeInt = 150
    """Steps until the peak learning rate."""
    batch_size: PositiveInt = 16
    """Questions per step."""
    max_tokens_per_pass: PositiveInt | None = None
    """The questions of a step are computed in passes of at most so many tokens (choices × longest
    input × questions, padding included); a single question may have more. It bounds the memory of a
    step, and the gradient is that of the whole step: every question weighs the same. null = a step
    is one pass. Where the memory is too short all the same, passes are halved until they fit."""
    group_by_length: bool = True
    """The questions of a step are of similar length, so little padding is computed; false = in
    plain random order. Either order depends on seed and epoch alone."""
    if_not_finite: Literal["stop", "skip"] = "stop"
    """What becomes of a step whose loss or gradient is not a number: `stop` ends training, `skip`
    leaves its update out and goes on, unless this happens more than ten times in a row. Both name
    the step and its questions."""
    max_steps: PositiveInt = 8000
    """Training stops after this many steps, or after `epochs`, whichever comes first."""
    epochs: PositiveFloat | None = None
    """Passes over the training questions; null = no limit but `max_steps`."""
    max_train_questions: PositiveInt | None = None
    """Train on so many, drawn once, the same for every condition and seed; null = all."""
    evaluations: PositiveInt = 8
    """Validation passes, evenly spread, each with a checkpoint; the best one is kept."""
    patience: PositiveInt | None = None
    """Training ends after so many validations in a row without a better accuracy; null = at
    `max_steps` or `epochs`, for which the learning rate is planned in any case."""
    checkpoint_minutes: PositiveFloat = 10.0
    """Between validations, a checkpoint is written that often: a kill costs no more than this. It
    changes no result, so changing it trains nothing again."""
    keep_models: Literal["all", "best", "none"] = "all"
    """Which trained models stay when runs have been compared: `all`; `best`: of each condition that
    of the seed with the best validation accuracy; `none`. Answers and numbers stay in any case. It
    changes no result, so changing it trains nothing again."""
    weight_decay: NonNegativeFloat = 0.01
    """Of AdamW, decoupled from the gradient."""
    adam_betas: tuple[Share, Share] = (0.9, 0.98)
    """Decay rates of AdamW's two running means."""
    adam_epsilon: PositiveFloat = 1e-6
    """What AdamW adds to the denominator."""
    max_grad_norm: NonNegativeFloat = 0.0
    """Gradients are clipped to this norm; 0 = no clipping."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto` = bf16 autocast where the hardware computes in bf16, else fp32."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    encoder_layers: Literal["all"] | NonNegativeInt = "all"
    """How many of the encoder's top layers are trained: `all` = the whole encoder, 0 = only the
    injection and the scoring head. What is below them, embeddings included, stays as it is and is
    computed without dropout."""
    keep_states: bool = False
    """What the layers below all that is trained or injected into make of each input is computed
    once, kept on disk, and shared by all runs that need the same. Needs `encoder_layers`."""
    lora_rank: PositiveInt | None = None
    """Train low-rank additions (LoRA) to the linear layers of the encoder's trained layers instead
    of these layers themselves; null = none."""
    lora_alpha: PositiveFloat | None = None
    """LoRA's additions are multiplied by this divided by the rank; null = twice the rank."""
    injection_learning_rate: PositiveFloat | None = None
    """Peak learning rate of what the injection adds, fact embeddings included, with the same
    warm-up and decay; null = `learning_rate`."""

    def relevant_settings(self) -> dict[str, Any]:
        """The settings that the result of a run depends on, JSON-ready."""
        return self.model_dump(mode="json", exclude={"checkpoint_minutes", "keep_models"})

    def check_combination(self) -> None:
        """Raises ValueError for settings that cannot be used together."""
        if self.lora_alpha is not None and self.lora_rank is None:
            raise ValueError("training.lora_alpha: is not read without training.lora_rank")
        if self.lora_rank is not None and self.encoder_layers == 0:
            raise ValueError(
                "training.lora_rank: there is no layer for it with training.encoder_layers: 0; "
                "give 1 or more"
            )
        if self.keep_states and self.encoder_layers == "all":
            raise ValueError(
                "training.keep_states: nothing of the encoder stays the same with "
                "training.encoder_layers: all; give a number of layers"
            )


class TrainSettings(Section):
    """The part of a condition that training depends on."""

    model: Model
    training: Training

    def relevant_settings(self) -> dict[str, Any]:
        """The settings that the result of a run depends on: of the model's those that its
        injection reads."""
        return {
            "model": self.model.relevant_settings(),
            "training": self.training.relevant_settings(),
        }

    def check_depth(self, depth: int) -> None:
        """Raises KformerError unless an encoder with ``depth`` layers can be trained so."""
        if self.training.keep_states:
            self.layer_of_states(depth)
        self.lowest_changing_layer(depth)

    def lowest_changing_layer(self, depth: int) -> int:
        """The lowest layer that is trained or injected into; ``depth`` = none is.

        Args:
            depth: how many layers the encoder has.

        Raises:
            KformerError: it has not so many layers.
        """
        lowest = lowest_trained_layer(self.training.encoder_layers, depth)
        if self.model.method.has_slots:
            return min(lowest, layer_span(self.model.layers, depth)[0])
        return lowest

    def layer_of_states(self, depth: int) -> int:
        """The layer that kept states enter: the lowest one that changes.

        Raises:
            KformerError: the encoder has not so many layers, or the lowest of all changes.
        """
        layer = self.lowest_changing_layer(depth)
        if layer == 0:
            raise KformerError(
                "training.keep_states: the lowest layer is trained or injected into, so there are "
                "no states to keep; set it to false, or choose higher layers"
            )
        return layer

    @property
    def place_of_states(self) -> dict[str, int | None]:
        """What decides which layer `layer_of_states` is, where the encoder's depth is not known:
        how many layers are above it at least, or how many below it at most."""
        layers = self.model.layers if self.model.method.has_slots else None
        trained = self.training.encoder_layers
        above = max(trained if trained != "all" else 0, 3 if layers == "top3" else 0)
        return {"above": above, "below": layers[0] if isinstance(layers, tuple) else None}

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        self.training.check_combination()
        return self
