"""What a training shows while it runs: one live line in a terminal, plain lines in a log."""

import contextlib
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kformer.progress import SECONDS_BETWEEN_LINES
from kformer.training.meter import Meter

_SECONDS_BETWEEN_REFRESHES = 0.25


def say(line: str) -> None:
    """Prints a line on stderr, if anybody still reads it.

    What reads it, such as `tee`, may have been killed by the signal that asks training to end.
    """
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)


class Log(Protocol):
    """Takes what is measured while training."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Takes metrics and the step they were measured at; a resumed training repeats some."""

    def flush(self) -> None:
        """Keeps for good what was taken: training will not repeat what is behind a checkpoint."""


class Reporter(TrainerCallback):
    """Passes Trainer's metrics to a log, under our names."""

    _NAMES = {  # noqa: RUF012 (a constant)
        "loss": "train_loss",
        "grad_norm": "gradient_norm",
        "learning_rate": "learning_rate",
        "eval_loss": "validation_loss",
        "eval_accuracy": "validation_accuracy",
    }

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        logs: dict[str, float] = given["logs"]
        named = {self._NAMES[key]: value for key, value in logs.items() if key in self._NAMES}
        if named:
            self._log.log(named, state.global_step)


class Display(TrainerCallback):
    """Shows on stderr how far a training is, inside its ``with`` block."""

    def __init__(self, run: str, meter: Meter) -> None:
        """Shows the run of this name, and what the meter measures."""
        self._run, self._meter = run, meter
        self._state = TrainerState()
        self._first_step, self._began = 0, time.monotonic()
        self._last_shown = time.monotonic()
        self._best: float | None = None
        self._validating = ""
        console = Console(stderr=True)
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(
                console=console, auto_refresh=False, get_renderable=self._rendered, transient=True
            )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    # Events of Trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._state, self._best = state, state.best_metric
        self._first_step, self._began = state.global_step, time.monotonic()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._show_if_due()

    def validating(self, done: int, questions: int) -> None:
        """Shows how many questions of a validation are answered."""
        self._validating = f", validating {done:,}/{questions:,}"
        self._show_if_due()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        self._state = state
        accuracy: float = given["metrics"]["eval_accuracy"]
        self._best = max(accuracy, self._best if self._best is not None else accuracy)
        self._validating = ""
        self._show(f", validation accuracy {accuracy:.4f}")

    # What is shown

    @property
    def line(self) -> str:
        """How far the training is, and how fast."""
        state, speed, loss = self._state, self._meter.recent_speed, self._meter.recent_loss
        parts = [f"step {state.global_step:,}/{state.max_steps:,}"]
        if speed:
            parts.append(f"{speed.questions_per_second:,.1f} questions/s")
            parts.append(f"{speed.tokens_per_second:,.0f} tokens/s")
        if loss is not None:
            parts.append(f"loss {loss:.4f}")
        if self._best is not None:
            parts.append(f"best accuracy {self._best:.4f}")
        if (left := self._seconds_left) is not None:
            parts.append(f"{timedelta(seconds=round(left))} left")
        return f"{self._run}: {', '.join(parts)}{self._validating}"

    @property
    def _seconds_left(self) -> float | None:
        """At the pace of this process, with its validations and checkpoints."""
        made = self._state.global_step - self._first_step
        left = self._state.max_steps - self._state.global_step
        return (time.monotonic() - self._began) / made * left if made else None

    def _show_if_due(self) -> None:
        pause = _SECONDS_BETWEEN_REFRESHES if self._live else SECONDS_BETWEEN_LINES
        if time.monotonic() - self._last_shown >= pause:
            self._show()

    def _show(self, ending: str = "") -> None:
        self._last_shown = time.monotonic()
        if not self._live or ending:  # a validation stays to be read in a terminal, too
            say(f"{self.line}{ending}")
        if self._live:
            self._live.refresh()

    def _rendered(self) -> Text:
        return Text(self.line, no_wrap=True, overflow="ellipsis")
