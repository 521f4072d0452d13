"""Hugging Face's `Trainer` for one run: its arguments, the order of questions, what it reports."""

import math
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_pt_utils import get_length_grouped_indices

from kformer.io.choices import first_equal
from kformer.modeling import KformerProcessor
from kformer.modeling.question_features import Example, Examples
from kformer.modeling.state_store import KeptStates
from kformer.progress import SECONDS_BETWEEN_LINES
from kformer.training.recipe import Recipe
from kformer.training.settings import Training


class Log(Protocol):
    """Takes what is measured while training."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Takes metrics and the step they were measured at; a resumed training repeats some."""

    def flush(self) -> None:
        """Keeps for good what was taken: training will not repeat what is behind a checkpoint."""


class LengthGroupedTrainer(Trainer):
    """A `Trainer` whose batches hold questions of similar length."""

    def __init__(self, recipe: Recipe, **arguments: Any) -> None:
        """Prepares training by a recipe; further arguments are those of `Trainer`."""
        super().__init__(**arguments)
        self._recipe = recipe

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Trainer's optimiser, for what the recipe trains."""
        if self.optimizer is None:
            assert isinstance(self.model, PreTrainedModel)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            decayed = self.get_decay_parameter_names(self.model)
            self.optimizer = kind(self._recipe.parameter_groups(decayed), **options)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        assert isinstance(self.train_dataset, Examples)
        lengths = self.train_dataset.lengths
        return LengthGroupedSampler(lengths, self.args.train_batch_size, self.args.seed)

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """The norm of all gradients; Trainer's own way to it also multiplies each of them by 1."""
        if grad_norm is not None:  # known from clipping
            return grad_norm
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        return torch.nn.utils.get_total_norm(gradients)


class LengthGroupedSampler(Sampler[int]):
    """Questions of similar length together, in an order that depends on seed and epoch alone."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        return iter(
            get_length_grouped_indices(self._lengths, self._batch_size, generator=generator)
        )


class Stopwatch(TrainerCallback):
    """Times the whole run, and every step: forward, backward, optimiser; not evaluation or saving.

    A resumed run counts what it took until its checkpoint.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._step_began = 0.0
        self._step_seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._step_began = time.monotonic()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._step_seconds.append(time.monotonic() - self._step_began)

    @property
    def seconds(self) -> float:
        """Since the stopwatch was made, and before the checkpoint that was resumed."""
        return time.monotonic() - self._started

    @property
    def seconds_per_step(self) -> float | None:
        """The median, which neither the first steps nor a busy machine moves much."""
        return statistics.median(self._step_seconds) if self._step_seconds else None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, JSON-ready."""
        return {"seconds": self.seconds, "step_seconds": self._step_seconds}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Counts what a checkpoint kept."""
        self._started -= state["seconds"]
        self._step_seconds = [*state["step_seconds"], *self._step_seconds]


class TimedSaving(TrainerCallback):
    """Asks for a checkpoint when the last one is some time ago."""

    def __init__(self, minutes: float) -> None:
        self._seconds = 60 * minutes
        self._saved = time.monotonic()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._saved = time.monotonic()

    def on_save(self, *_: Any, **__: Any) -> None:
        self._saved = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if time.monotonic() - self._saved >= self._seconds:
            control.should_save = True


class Reporter(TrainerCallback):
    """Passes Trainer's metrics to a log, and prints progress where no bar can be shown.

    It has to be the last of the callbacks, since another one may ask for a checkpoint.
    """

    _NAMES = {  # noqa: RUF012 (a constant)
        "loss": "train_loss",
        "grad_norm": "gradient_norm",
        "learning_rate": "learning_rate",
        "eval_loss": "validation_loss",
        "eval_accuracy": "validation_accuracy",
    }

    def __init__(self, log: Log, run: str) -> None:
        self._log, self._run = log, run
        self._last_line = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        logs: dict[str, float] = kwargs["logs"]
        named = {self._NAMES[key]: value for key, value in logs.items() if key in self._NAMES}
        if named:
            self._log.log(named, state.global_step)
        self._flush_before_saving(control)
        due = time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES
        if args.disable_tqdm and named and (due or "validation_accuracy" in named):
            self._last_line = time.monotonic()
            shown = ", ".join(f"{key} {value:.4g}" for key, value in named.items())
            step = f"{self._run}: step {state.global_step}/{state.max_steps}"
            print(f"{step}: {shown}", file=sys.stderr)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._flush_before_saving(control)

    def _flush_before_saving(self, control: TrainerControl) -> None:
        if control.should_save:
            self._log.flush()


def collate(
    processor: KformerProcessor, batch: list[Example], kept: KeptStates | None = None
) -> dict[str, torch.Tensor]:
    """Pads examples to one batch, with labels, and with states where they are kept.

    Where the right choice is there twice, the label is the first, as that of two equal logits the
    first is the prediction of `accuracy`.
    """
    labels = [first_equal(each.choices, each.answer) for each in batch]
    tensors: dict[str, torch.Tensor] = processor.collate([each.features for each in batch], labels)
    return tensors | {"states": kept.padded(batch)} if kept else tensors


def accuracy(evaluated: EvalPrediction) -> dict[str, float]:
    """The share of questions whose highest logit is the right choice."""
    predictions = np.argmax(evaluated.predictions, axis=-1)
    return {"accuracy": float((predictions == evaluated.label_ids).mean())}


def training_arguments(
    settings: Training, questions: int, seed: int, checkpoints: Path, bf16: bool
) -> TrainingArguments:
    """The settings as arguments of `Trainer`.

    Args:
        settings: of training.
        questions: how many there are to train on.
        seed: of dropout and of the order of questions.
        checkpoints: the folder for checkpoints.
        bf16: whether to compute under bf16 autocast.
    """
    steps = settings.max_steps
    if settings.epochs is not None:
        per_epoch = math.ceil(questions / settings.batch_size)
        steps = min(steps, math.ceil(settings.epochs * per_epoch))
    every = math.ceil(steps / settings.evaluations)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        seed=seed,
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=min(settings.warmup_steps, steps // 2),
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        weight_decay=settings.weight_decay,
        adam_beta1=settings.adam_betas[0],
        adam_beta2=settings.adam_betas[1],
        adam_epsilon=settings.adam_epsilon,
        max_grad_norm=settings.max_grad_norm,
        bf16=bf16,
        use_cpu=not torch.accelerator.is_available(),
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        logging_steps=max(steps // 50, 1),
        # Training stops at the first loss that is no number; the filter would wait for a GPU at
        # every step.
        logging_nan_inf_filter=False,
        label_names=["labels"],
        remove_unused_columns=False,
        disable_tqdm=not sys.stderr.isatty(),
        report_to="none",
    )
    # Several GPUs in one process would multiply the batch; a run uses one, several runs several.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
