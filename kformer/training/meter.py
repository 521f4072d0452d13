"""What a whole run took and computed, also where it was killed and resumed in between."""

import math
import statistics
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transformers import TrainerCallback

_RECENT = 50  # steps


@dataclass(frozen=True)
class Work:
    """What a step computed.

    Attributes:
        tokens: of its inputs, without padding.
        positions: of tokens and of padding.
    """

    questions: int = 0
    tokens: int = 0
    positions: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.questions + other.questions,
            self.tokens + other.tokens,
            self.positions + other.positions,
        )

    @property
    def padding_share(self) -> float | None:
        return 1 - self.tokens / self.positions if self.positions else None


@dataclass(frozen=True)
class Speed:
    """How fast training steps are."""

    seconds_per_step: float
    questions_per_second: float
    tokens_per_second: float


class Meter(TrainerCallback):
    """Times the whole run, and every step: forward, backward, optimiser; not validation or saving.

    A resumed run counts what it took and computed until its checkpoint.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._step_began = self._step_began_cpu = 0.0
        self._cpu_seconds = 0.0
        self._step_seconds: list[float] = []
        self._step_work = Work()
        self._recent: deque[tuple[float, Work]] = deque(maxlen=_RECENT)
        self._losses: deque[float] = deque(maxlen=_RECENT)
        self.work = Work()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._step_began, self._step_began_cpu = time.monotonic(), time.process_time()

    def count(self, work: Work, loss: float) -> None:
        """Takes what a step computed, and its loss; called before the step ends."""
        self._step_work = work
        if math.isfinite(loss):  # else its step is left out, or the last one
            self._losses.append(loss)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        seconds = time.monotonic() - self._step_began
        self._step_seconds.append(seconds)
        self._cpu_seconds += time.process_time() - self._step_began_cpu
        self._recent.append((seconds, self._step_work))
        self.work += self._step_work

    @property
    def seconds(self) -> float:
        """Since the meter was made, and before the checkpoint that was resumed."""
        return time.monotonic() - self._started

    @property
    def cpu_seconds(self) -> float | None:
        """Those of all threads, over all steps; None where those of an earlier part are unknown."""
        return self._cpu_seconds if math.isfinite(self._cpu_seconds) else None

    @property
    def seconds_per_step(self) -> float | None:
        """The median, which neither the first steps nor a busy machine moves much."""
        return statistics.median(self._step_seconds) if self._step_seconds else None

    @property
    def speed(self) -> Speed | None:
        """Over all steps of the run."""
        return _speed(self._step_seconds, self.work)

    @property
    def recent_speed(self) -> Speed | None:
        """Over the last steps of this process."""
        seconds = [seconds for seconds, _ in self._recent]
        return _speed(seconds, sum((work for _, work in self._recent), Work()))

    @property
    def recent_loss(self) -> float | None:
        """The mean over the last steps of this process."""
        return statistics.fmean(self._losses) if self._losses else None

    def summary(self) -> dict[str, float | None]:
        """The measurements that a `TrainingSummary` holds."""
        speed = self.speed
        return {
            "seconds_per_step": self.seconds_per_step,
            "train_seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "questions_per_second": speed.questions_per_second if speed else None,
            "tokens_per_second": speed.tokens_per_second if speed else None,
            "padding_share": self.work.padding_share,
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, JSON-ready."""
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "step_seconds": self._step_seconds,
            "work": asdict(self.work),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Counts what a checkpoint kept."""
        self._started -= state["seconds"]
        # Of a checkpoint from before these were measured nobody knows the whole.
        before = state.get("cpu_seconds")
        self._cpu_seconds += math.nan if before is None else before
        self._step_seconds = [*state["step_seconds"], *self._step_seconds]
        self.work += Work(**state["work"])


def _speed(step_seconds: list[float], work: Work) -> Speed | None:
    whole = sum(step_seconds)
    if not whole:
        return None
    return Speed(whole / len(step_seconds), work.questions / whole, work.tokens / whole)
