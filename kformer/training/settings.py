"""How a model is trained: the `training` section of the config."""

from typing import Any, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from kformer.config_section import Section, Share
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

    def relevant_settings(self) -> dict[str, Any]:
        """The settings that the result of a run depends on, JSON-ready."""
        return self.model_dump(mode="json", exclude={"checkpoint_minutes"})


class TrainSettings(Section):
    """The part of a condition that training depends on."""

    model: Model
    training: Training
