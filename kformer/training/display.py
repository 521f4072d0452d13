"""What a training shows while it runs: one live line in a terminal, plain lines in a log."""

import contextlib
import math
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kformer.progress import SECONDS_BETWEEN_LINES
from kformer.training.meter import Meter, Speed

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

    def __init__(self, run: str, meter: Meter, validation_questions: int) -> None:
        """Prepares showing the run of this name, which the meter measures."""
        self._run, self._meter = run, meter
        self._state = TrainerState()
        self._best: float | None = None
        self._validation = _Validation(validation_questions)
        self._validates_every = 1  # steps
        self._last_shown = time.monotonic()
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

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    # What happens

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._state, self._best = state, state.best_metric
        self._validates_every = int(args.eval_steps or state.max_steps)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._show_if_due()

    def validating(self, answered: int) -> None:
        """Takes how many questions of a validation are answered."""
        self._validation.go_on(answered)
        self._show_if_due()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        accuracy: float = given["metrics"]["eval_accuracy"]
        self._best = max(accuracy, self._best if self._best is not None else accuracy)
        self._validation.end()
        self._show(f"; validation accuracy {accuracy:.4f}")

    # What is shown

    @property
    def line(self) -> str:
        """How far the training is, and how fast; what matters most comes first."""
        state, speed, loss = self._state, self._meter.recent_speed, self._meter.recent_loss
        parts = [f"step {state.global_step:,}/{state.max_steps:,}{self._validation.done}"]
        if loss is not None:
            parts.append(f"loss {loss:.4f}")
        if self._best is not None:
            parts.append(f"best accuracy {self._best:.4f}")
        if speed:
            parts.append(f"{timedelta(seconds=round(self._seconds_left(speed)))} left")
            parts.append(f"{speed.questions_per_second:,.1f} questions/s")
            parts.append(f"{speed.tokens_per_second:,.0f} tokens/s")
        return f"{self._run}: {', '.join(parts)}"

    def _seconds_left(self, speed: Speed) -> float:
        """Of all steps and validations that are planned."""
        left = self._state.max_steps - self._state.global_step
        validations = math.ceil(left / self._validates_every)
        return left * speed.seconds_per_step + self._validation.seconds_left(validations, speed)

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


class _Validation:
    """How far a validation is, and how long it takes."""

    def __init__(self, questions: int) -> None:
        self._questions = questions
        self._answered: int | None = None  # of the one that goes on, if one does
        self._began = 0.0
        self._seconds: float | None = None  # of a whole one

    def go_on(self, answered: int) -> None:
        if answered == 0:
            self._began = time.monotonic()
        else:
            self._seconds = (time.monotonic() - self._began) / answered * self._questions
        self._answered = answered

    def end(self) -> None:
        self._seconds, self._answered = time.monotonic() - self._began, None

    @property
    def done(self) -> str:
        if self._answered is None:
            return ""
        return f" (validating {self._answered:,}/{self._questions:,})"

    def seconds_left(self, coming: int, speed: Speed) -> float:
        """Of the one that goes on, and of those that come later."""
        # Before the first one: without its backward pass a step takes a third.
        whole = self._seconds or self._questions / speed.questions_per_second / 3
        going_on = 1 - self._answered / self._questions if self._answered is not None else 0.0
        return (going_on + coming) * whole
