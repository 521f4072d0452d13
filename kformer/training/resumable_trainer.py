"""Training that can be ended at any moment, and never trains on what is not a number."""

import json
import math
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
from kformer.training.determinism import random_states
from kformer.training.display import Display, Log, say
from kformer.training.interruption import Interrupted, Interruption
from kformer.training.passes import is_out_of_memory
from kformer.training.trainer import PassTrainer, accuracy

_PROGRESS = "progress.json"
_MOST_SKIPPED_IN_A_ROW = 10


class ResumableTrainer(PassTrainer):
    """A `Trainer` with whole checkpoints, which never trains on or scores what is not a number."""

    def __init__(
        self,
        unfinished: Checkpoints,
        log: Log,
        display: Display,
        interruption: Interruption,
        **arguments: Any,
    ) -> None:
        """Prepares training.

        Args:
            unfinished: where checkpoints are written and resumed from.
            log: flushed before each checkpoint.
            display: one of the callbacks; told how far a validation is.
            interruption: training ends after the step in which it is asked for.
            arguments: those of `PassTrainer`.
        """
        super().__init__(compute_metrics=self._scored, **arguments)
        self._unfinished, self._log = unfinished, log
        self._display, self._interruption = display, interruption
        self._questions: list[str] = []  # of the current step
        self.skipped = 0  # steps whose update was left out
        self._skipped_in_a_row = 0
        self._saved_at: int | None = None  # step

    def fit(self) -> None:
        """Trains to the end, from the newest checkpoint on; the best weights are then loaded.

        Raises:
            KformerError: loss, gradient or logits are not finite, the memory is too short for a
                single question or for the optimiser, the best weights were lost on the way, or
                another process may be training.
            Interrupted: a signal asked for it; a checkpoint is written.
        """
        last = self._unfinished.newest()
        if last:
            self._resume_progress(last)
        with self._interruption.deferred(), self._display:
            try:
                self.train(resume_from_checkpoint=str(last.path) if last else None)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                raise KformerError(
                    "out of memory outside the passes, such as for the state of the optimiser; "
                    "take a smaller model.encoder, or a machine with more memory"
                ) from None
        assert isinstance(self.model, PreTrainedModel)
        best = self.state.best_global_step
        assert best is not None, "the last step is always validated"
        # Not strictly: of tied weights a file holds one.
        self.model.load_state_dict(load_file(self._unfinished.weights(best)), strict=False)

    def make_ready(self) -> None:
        """Prepares single steps, as `fit` prepares all."""
        self._prepare_for_training(self.args.max_steps, self.get_train_dataloader(), None)
        self._tr_loss = torch.tensor(0.0, device=self.args.device)
        self._globalstep_last_logged = 0

    @property
    def tokens_per_pass(self) -> int | None:
        """The most tokens of a training pass, as configured or as the memory allows; None = any."""
        return self._limits["training"].most

    def _run_epoch(self, *args: Any, **named: Any) -> None:
        """Trains for an epoch; Trainer would take one step more after a training that is over."""
        if self._is_over:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **named)

    @property
    def _is_over(self) -> bool:
        """Whether all steps are made, or the last validations were no better than one before."""
        return self.state.global_step >= self.args.max_steps or self._has_run_out_of_patience

    @property
    def _has_run_out_of_patience(self) -> bool:
        best = self.state.best_global_step or 0
        validated = [each["step"] for each in self.state.log_history if "eval_accuracy" in each]
        patience = self._settings.patience
        return patience is not None and sum(step > best for step in validated) >= patience

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        is_best = super()._determine_best_metric(metrics, trial)
        if self._has_run_out_of_patience:
            self.control.should_training_stop = True
        return is_best

    # Not a number

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> Tensor:
        """A step as that of `PassTrainer`; the loss is 0 if its update is left out."""
        self._questions = [each.question_id for each in inputs]
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self._is_usable("loss", loss):
            return loss
        self._globalstep_last_logged += 1  # the mean is that of the other steps
        return torch.zeros_like(loss)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm of all gradients; None if the update is left out."""
        if all(each.grad is None for each in model.parameters()):
            return None
        norm = super()._get_grad_norm(model, grad_norm)
        if not self._is_usable("norm of the gradient", norm):
            return None
        self._skipped_in_a_row = 0
        return norm

    def _is_usable(self, what: str, value: Any) -> bool:
        """Whether a number of this step is finite; if not, its update is left out.

        Raises:
            KformerError: it is not finite, and training shall stop, or has left out too many.
        """
        if math.isfinite(number := float(value)):
            return True
        step = self.state.global_step + 1
        problem = f"the {what} is not a number ({number})"
        self._skipped_in_a_row += 1
        many = self._skipped_in_a_row > _MOST_SKIPPED_IN_A_ROW
        if self._settings.if_not_finite == "stop" or many:
            # Before the first step is taken, no learning rate has done anything.
            remedy = ", or use another model.encoder" if step == self._skipped_in_a_row else ""
            again = f" for the {self._skipped_in_a_row}th time in a row" if many else ""
            self._stop(problem + again, step, self._questions, remedy)
        self.skipped += 1
        say(f"{problem} at step {step}, questions {listed(self._questions)}; update left out")
        assert self.model is not None
        self.model.zero_grad()  # the optimiser leaves weights alone that have no gradient
        return False

    def _scored(self, evaluated: EvalPrediction) -> dict[str, float]:
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

    # Signals

    def _maybe_log_save_evaluate(
        self,
        tr_loss: Tensor,
        grad_norm: Any,
        model: nn.Module,
        trial: Any,
        *rest: Any,
        **named: Any,
    ) -> None:
        """What Trainer does after a step; after a signal a checkpoint is written, and all ends."""
        try:
            super()._maybe_log_save_evaluate(tr_loss, grad_norm, model, trial, *rest, **named)
            self._check_interruption()
        except Interrupted:
            if self._saved_at != self.state.global_step:
                self._save_checkpoint(model, trial)
            raise

    def _check_interruption(self) -> None:
        self._interruption.check(f"step {self.state.global_step} is kept in a checkpoint")

    def _validating(self, answered: int) -> None:
        self._check_interruption()
        self._display.validating(answered)

    # Checkpoints

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Writes a checkpoint that counts only when it is whole."""
        step = self.state.global_step
        self._log.flush()  # a resumed training does not repeat what is behind its checkpoint
        with self._unfinished.writing(step, self.state.best_global_step) as folder:
            self.write_state(folder)
        self._saved_at = step

    def write_state(self, folder: Path) -> None:
        """Writes what Trainer resumes from, and what it would forget, into a folder."""
        assert isinstance(self.model, PreTrainedModel)
        assert self.optimizer is not None and self.lr_scheduler is not None
        self.model.save_pretrained(folder)
        _save(self.optimizer.state_dict(), folder / "optimizer.pt")
        _save(self.lr_scheduler.state_dict(), folder / "scheduler.pt")
        _save(random_states(), folder / "rng_state.pth")
        write_json(folder / _PROGRESS, self._progress())
        self.state.save_to_json(str(folder / STATE))

    def _progress(self) -> dict[str, Any]:
        """What Trainer forgets."""
        return {
            "measured": self._meter.state(),
            "loss": {  # of steps that were not logged yet
                "sum": self._tr_loss.item(),
                "logged_at_step": self._globalstep_last_logged,
            },
            "most_tokens": {work: limit.most for work, limit in self._limits.items()},
            "skipped": [self.skipped, self._skipped_in_a_row],
            # Trainer clears this when it has validated: else a signal came first.
            "validation_is_due": self.control.should_evaluate,
        }

    def _resume_progress(self, last: Checkpoint) -> None:
        progress = json.loads((last.path / _PROGRESS).read_text("utf-8"))
        self._meter.resume(progress["measured"])
        for work, most in progress["most_tokens"].items():
            self._limits[work].most = most
        self.skipped, self._skipped_in_a_row = progress["skipped"]
        self.add_callback(_Resumed(self, progress))


class _Resumed(TrainerCallback):
    """Brings a resumed Trainer where the former one was, after it has read a checkpoint."""

    def __init__(self, trainer: ResumableTrainer, progress: dict[str, Any]) -> None:
        self._trainer, self._progress = trainer, progress

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        loss = self._progress["loss"]
        # Trainer sets both anew just before.
        self._trainer._tr_loss += loss["sum"]
        self._trainer._globalstep_last_logged = loss["logged_at_step"]
        if self._progress["validation_is_due"]:
            self._trainer._determine_best_metric(self._trainer.evaluate(), None)


def _save(content: Any, path: Path) -> None:
    # Into an open file: given a path, torch does not say why it cannot write.
    with path.open("wb") as file:
        torch.save(content, file)
