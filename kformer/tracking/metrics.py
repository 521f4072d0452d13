"""The points of a run's metrics: every one just once, however often the run is resumed."""

import math
import time
from collections.abc import Iterable, Mapping

from kformer.tracking.journal import Entry
from kformer.tracking.names import fit_name


class Metrics:
    """The points that a run has, by name and step; MLflow cannot delete any."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """Takes what the journal of a resumed run has of it."""
        self._points: dict[str, dict[int, float]] = {}
        self._was_finished = False
        for entry in entries:
            if entry["kind"] == "metrics":
                self._note(entry["values"], entry["step"])
            elif entry["kind"] == "end":
                self._was_finished = entry["status"] == "FINISHED"

    def new(self, values: Mapping[str, float | None], step: int) -> list[Entry]:
        """What is to be written of measurements; points that are there already stay as they are.

        A resumed training repeats the steps behind its checkpoint, with the same values.
        """
        named = {fit_name(key): value for key, value in values.items() if value is not None}
        return self._entries(
            {
                name: as_float(value)
                for name, value in named.items()
                if step not in self._points.get(name, {})
            },
            step,
        )

    def new_results(self, values: Mapping[str, float]) -> list[Entry]:
        """The same of numbers that have no step, as step 0; not those that are curves.

        Where a finished stage is done again and comes to other results, they become the next step.
        Where they are the same, such as after a kill, its times are not logged again either. A
        stage that was killed after it had logged them is not done again, it is finished.
        """
        last = {key: self._last(key) for key in values}
        is_other = any(
            step is not None and not _equal(step[1], values[key])
            for key, step in last.items()
            if not _is_measured(key)
        )
        by_step: dict[int, dict[str, float]] = {}
        for key, value in values.items():
            before = last[key]
            if fit_name(key) not in self._points:
                by_step.setdefault(0, {})[fit_name(key)] = as_float(value)
            elif before and self._was_finished and is_other and not _equal(before[1], value):
                by_step.setdefault(before[0] + 1, {})[fit_name(key)] = as_float(value)
        return [entry for step, each in by_step.items() for entry in self._entries(each, step)]

    def last_step(self, name: str) -> int:
        """The last step of a curve; −1 where there is none."""
        return max(self._points.get(fit_name(name), {}), default=-1)

    def _last(self, key: str) -> tuple[int, float] | None:
        """Step and value of a result that was logged before; None for a curve, or what is new."""
        steps = self._points.get(fit_name(key), {})
        return (max(steps), steps[max(steps)]) if 0 in steps else None

    def _entries(self, values: Mapping[str, float], step: int) -> list[Entry]:
        self._note(values, step)
        now = int(time.time() * 1000)
        return [{"kind": "metrics", "step": step, "time": now, "values": values}] if values else []

    def _note(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._points.setdefault(name, {})[step] = value


def as_float(value: float) -> float:
    """A number as MLflow stores it; what is too large is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_measured(key: str) -> bool:
    """Whether a number is a time, a speed or a size of memory, which differ whenever measured."""
    return "second" in key or key.endswith("_mb")


def _equal(one: float, other: float) -> bool:
    return one == as_float(other) or (math.isnan(one) and math.isnan(other))
