"""Hugging Face's `Trainer` for one run: its arguments, the order of questions, passes of a step."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
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
from kformer.training.determinism import random_states, restore_random_states
from kformer.training.meter import Meter, Work
from kformer.training.passes import TokenLimit
from kformer.training.recipe import Recipe
from kformer.training.settings import Training

Batch = dict[str, Tensor]


class PassTrainer(Trainer):
    """A `Trainer` whose steps are computed in passes that fit the memory.

    Its batches are lists of questions, and only the questions of a pass are padded to a tensor.
    Every question has the same weight in the gradient, however its step is split.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Training,
        collate: Callable[[list[Example]], Batch],
        meter: Meter,
        **arguments: Any,
    ) -> None:
        """Prepares training.

        Args:
            recipe: what is trained.
            settings: of training.
            collate: pads the questions of a pass, with labels.
            meter: one of the callbacks; told what every step computes.
            arguments: those of `Trainer`; the data sets are `Examples`.
        """
        super().__init__(data_collator=list, **arguments)  # type: ignore[arg-type]
        self._recipe, self._settings = recipe, settings
        self._collate, self._meter = collate, meter
        most = settings.max_tokens_per_pass
        self._limits = {work: TokenLimit(most, work) for work in ("training", "validation")}

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
        return QuestionOrder(
            self.train_dataset.lengths,
            self.args.train_batch_size,
            self.args.seed,
            self._settings.group_by_length,
        )

    # Training

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> Tensor:
        """The mean loss (a scalar) of the questions of a step, whose gradients are added up.

        Raises:
            KformerError: a single question does not fit the memory.
        """
        questions: list[Example] = inputs
        before = random_states()

        def begin_again() -> None:
            model.zero_grad()
            restore_random_states(before)

        model.train()
        step = self.state.global_step + 1
        passes = self._limits["training"].compute(
            questions,
            lambda each: self._forward_backward(model, each, len(each) / len(questions)),
            step,
            begin_again,
        )
        loss = torch.stack([loss for _, (loss, _) in passes]).sum()
        self._meter.count(sum((work for _, (_, work) in passes), Work()), loss.item())
        return loss

    def _forward_backward(
        self, model: nn.Module, questions: list[Example], share: float
    ) -> tuple[Tensor, Work]:
        """The share of a pass in its step's loss, and what was computed for it."""
        batch = self._collate(questions)
        tokens = batch["attention_mask"]
        rows = len(batch.get("choice_rows", tokens.flatten(0, 1)))
        work = Work(len(questions), int(tokens.sum()), rows * tokens.shape[-1])
        batch = self._prepare_inputs(batch)
        with self.compute_loss_context_manager():
            loss = model(**batch).loss * share
        self.accelerator.backward(loss)
        return loss.detach(), work

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: Trainer would count them of tensors, which a batch is not."""
        return 0

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm of all gradients; Trainer's own way to it also multiplies each of them by 1."""
        if grad_norm is not None:  # known from clipping
            return grad_norm
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        return torch.nn.utils.get_total_norm(gradients)

    def step_alone(self, questions: list[Example]) -> None:
        """All that `train` does in a step: gradient, its norm, and the update."""
        model, optimizer = self.model, self.optimizer
        assert model is not None and optimizer is not None
        self.training_step(model, questions)
        norm = self._clip_grad_norm(model) if self.args.max_grad_norm > 0 else None
        self._get_grad_norm(model, norm)
        optimizer.step()
        model.zero_grad()

    # Validation

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Loss and accuracy on the validation questions, under Trainer's names.

        No random state is read, so a validation changes nothing that comes after it.

        Raises:
            KformerError: a single question does not fit the memory.
        """
        logits, labels = self._answers()
        loss = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item()
        assert self.compute_metrics is not None
        measured = {**self.compute_metrics(EvalPrediction(logits, labels)), "loss": loss}
        metrics = {f"eval_{name}": value for name, value in measured.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _answers(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Logits (questions, C), lowest where there is no choice, and labels of validation."""
        questions: Any = self.eval_dataset
        rows: dict[int, Tensor] = {}
        labels = np.zeros(len(questions), np.int64)
        for batch in self.validation_batches():
            self._validating(len(rows))
            for position, row, label in self.answer([questions[i] for i in batch]):
                rows[batch[position]], labels[batch[position]] = row, label
        lowest = torch.finfo(torch.float32).min
        in_order = [rows[i] for i in range(len(questions))]
        logits = nn.utils.rnn.pad_sequence(in_order, batch_first=True, padding_value=lowest)
        return logits.numpy(), labels

    def validation_batches(self) -> list[list[int]]:
        """Positions of the validation questions of each batch, the longest first."""
        assert isinstance(self.eval_dataset, Examples)
        order, size = self.eval_dataset.longest_first, self.args.eval_batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def answer(self, questions: list[Example]) -> Iterator[tuple[int, Tensor, int]]:
        """Position, logits (C,) and label of each question, pass by pass.

        Raises:
            KformerError: a single question does not fit the memory.
        """
        passes = self._limits["validation"].compute(questions, self._scores, self.state.global_step)
        for positions, (logits, labels) in passes:
            yield from zip(positions, logits, labels.tolist(), strict=True)

    @torch.no_grad()
    def _scores(self, questions: list[Example]) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and labels (B,) of the questions of a pass."""
        assert self.model is not None
        self.model.eval()
        batch = self._collate(questions)
        with self.compute_loss_context_manager():
            logits = self.model(**self._prepare_inputs(batch)).logits
        return logits.float().cpu(), batch["labels"]

    def _validating(self, answered: int) -> None:
        """Called while a validation goes on, with how many questions are answered."""


class QuestionOrder(Sampler[int]):
    """The questions of an epoch, in an order that depends on seed and epoch alone."""

    def __init__(
        self, lengths: list[int], batch_size: int, seed: int, by_length: bool = True
    ) -> None:
        """Prepares the order.

        Args:
            lengths: of all questions, in tokens.
            batch_size: questions of a step.
            seed: of the order.
            by_length: whether the questions of a step are of similar length.
        """
        self._lengths, self._batch_size, self._by_length = lengths, batch_size, by_length
        self._seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        if not self._by_length:
            return iter(torch.randperm(len(self), generator=generator).tolist())
        return iter(
            get_length_grouped_indices(self._lengths, self._batch_size, generator=generator)
        )


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


def collate(
    processor: KformerProcessor, batch: list[Example], kept: KeptStates | None = None
) -> dict[str, torch.Tensor]:
    """Pads examples to one batch, with labels, and with states where they are kept.

    Where the right choice is there twice, the label is the first, as that of two equal logits the
    first is the prediction of `accuracy`.
    """
    labels = [_label(each) for each in batch]
    tensors: dict[str, torch.Tensor] = processor.collate([each.features for each in batch], labels)
    return tensors | {"states": kept.padded(batch)} if kept else tensors


def _label(example: Example) -> int:
    assert example.answer is not None, "questions to train on have answers"
    return first_equal(example.choices, example.answer)


def accuracy(evaluated: EvalPrediction) -> dict[str, float]:
    """The share of questions whose highest logit is the right choice."""
    predictions = np.argmax(evaluated.predictions, axis=-1)
    return {"accuracy": float((predictions == evaluated.label_ids).mean())}
