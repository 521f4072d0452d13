"""Training that can be killed at any moment, and that stops at the first number that is none."""

import json
import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from kformer.errors import KformerError, listed
from kformer.io.file_writing import write_json
from kformer.modeling.question_features import Examples
from kformer.training.checkpoints import STATE, Checkpoint, Checkpoints
from kformer.training.trainer import LengthGroupedTrainer, Stopwatch, accuracy

_PROGRESS = "progress.json"


class ResumableTrainer(LengthGroupedTrainer):
    """A `Trainer` with whole checkpoints, which never trains on or scores what is not a number."""

    def __init__(self, unfinished: Checkpoints, stopwatch: Stopwatch, **arguments: Any) -> None:
        """Prepares training.

        Args:
            unfinished: where checkpoints are written and resumed from.
            stopwatch: one of the callbacks; a resumed training counts what it took before.
            arguments: those of `Trainer`; the data sets are `Examples`.
        """
        super().__init__(compute_metrics=self._validated, **arguments)
        self._unfinished, self._stopwatch = unfinished, stopwatch

    def fit(self) -> None:
        """Trains to the end, from the newest checkpoint on; the best weights are then loaded.

        Raises:
            KformerError: loss, gradient or logits are not finite, the best weights were lost on
                the way, or another process may be training.
        """
        last = self._unfinished.newest()
        if last:
            self._resume_progress(last)
        if last and last.step >= self.args.max_steps:  # Trainer would take one step more
            self.state = TrainerState.load_from_json(str(last.path / STATE))
        else:
            self.train(resume_from_checkpoint=str(last.path) if last else None)
        assert isinstance(self.model, PreTrainedModel)
        best = self.state.best_global_step
        assert best is not None, "the last step is always validated"
        # Not strictly: of tied weights a file holds one.
        self.model.load_state_dict(load_file(self._unfinished.weights(best)), strict=False)

    # Not a number

    def training_step(self, *args: Any, **options: Any) -> Tensor:
        loss = super().training_step(*args, **options)
        self._check_finite("loss", loss)
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        self._check_finite("norm of the gradient", norm)
        return norm

    def _check_finite(self, what: str, value: Any) -> None:
        if not math.isfinite(number := float(value)):
            step = self.state.global_step + 1
            # Before the first step is taken, no learning rate has done anything.
            remedy = ", or use another model.encoder" if step == 1 else ""
            self._stop(f"the {what} is not a number ({number})", step, self._batch(), remedy)

    def _validated(self, evaluated: EvalPrediction) -> dict[str, float]:
        finite = np.isfinite(evaluated.predictions).all(axis=-1)
        if not finite.all():
            assert isinstance(self.eval_dataset, Examples)
            asked = (self.eval_dataset[int(i)].question_id for i in np.flatnonzero(~finite))
            self._stop("the logits of validation are not numbers", self.state.global_step, asked)
        return accuracy(evaluated)

    def _stop(self, problem: str, step: int, questions: Iterable[str], remedy: str = "") -> None:
        raise KformerError(
            f"{problem} at step {step}, questions {listed(questions)}; training stopped: lower "
            f"training.learning_rate{remedy}"
        )

    def _batch(self) -> list[str]:
        """The questions of the current step: their order depends on seed and epoch alone."""
        assert isinstance(self.train_dataset, Examples)
        size = self.args.train_batch_size
        per_epoch = math.ceil(len(self.train_dataset) / size)
        epoch, batch = divmod(self.state.global_step, per_epoch)
        sampler: Any = self._get_train_sampler()
        sampler.set_epoch(epoch)
        chosen = list(sampler)[batch * size : (batch + 1) * size]
        return [self.train_dataset[i].question_id for i in chosen]

    # Checkpoints

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Writes what Trainer resumes from, and what it would forget."""
        assert isinstance(self.model, PreTrainedModel)
        assert self.optimizer is not None and self.lr_scheduler is not None
        state = self.state
        with self._unfinished.writing(state.global_step, state.best_global_step) as folder:
            self.model.save_pretrained(folder)
            _save(self.optimizer.state_dict(), folder / "optimizer.pt")
            _save(self.lr_scheduler.state_dict(), folder / "scheduler.pt")
            _save(_random_states(), folder / "rng_state.pth")
            write_json(folder / _PROGRESS, self._progress())
            state.save_to_json(str(folder / STATE))

    def _progress(self) -> dict[str, Any]:
        """What Trainer forgets: the time that was spent, and losses that were not logged yet."""
        loss = {"sum": self._tr_loss.item(), "logged_at_step": self._globalstep_last_logged}
        return {"time": self._stopwatch.state(), "loss": loss}

    def _resume_progress(self, last: Checkpoint) -> None:
        progress = json.loads((last.path / _PROGRESS).read_text("utf-8"))
        self._stopwatch.resume(progress["time"])
        self.add_callback(_LossSinceLastLogged(self, **progress["loss"]))


class _LossSinceLastLogged(TrainerCallback):
    """Hands a resumed Trainer the losses that the next logged mean is made of."""

    def __init__(self, trainer: ResumableTrainer, sum: float, logged_at_step: int) -> None:
        self._trainer, self._sum, self._logged_at_step = trainer, sum, logged_at_step

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # Trainer sets both anew just before.
        self._trainer._tr_loss += self._sum
        self._trainer._globalstep_last_logged = self._logged_at_step


def _save(content: Any, path: Path) -> None:
    # Into an open file: given a path, torch does not say why it cannot write.
    with path.open("wb") as file:
        torch.save(content, file)


def _random_states() -> dict[str, Any]:
    """All states that `Trainer._load_rng_state` restores."""
    states = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.random.get_rng_state()
    return states
