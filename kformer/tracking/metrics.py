"""Metrics of one run: sent in batches, and every point just once, however often it is resumed."""

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kformer.tracking.connection import report
from kformer.tracking.names import fit_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

_SECONDS_BETWEEN_BATCHES = 5.0
_LONGEST_PAUSE = 300.0  # seconds; the pause grows while a server is out of reach
_AT_ONCE = 1000


class Metrics:
    """The metrics of a run that was just begun, or is resumed with those that it has."""

    def __init__(self, client: "MlflowClient", run: "Run") -> None:
        self._client, self._run_id = client, run.info.run_id
        self._was_finished = run.info.status == "FINISHED"
        # MLflow cannot delete points, so those that are there must not be logged again.
        self._points = {
            name: {each.step: each.value for each in client.get_metric_history(self._run_id, name)}
            for name in run.data.metrics
        }
        self._waiting: list[Metric] = []
        self._sent, self._pause = time.monotonic(), _SECONDS_BETWEEN_BATCHES

    def add(self, values: Mapping[str, float | None], step: int) -> None:
        """Adds a point to each curve; one that is there already stays as it is.

        A resumed training repeats the steps behind its checkpoint, with the same values.
        """
        for key, value in values.items():
            if value is not None and step not in self._points.get(fit_name(key), {}):
                self._append(fit_name(key), value, step)
        if time.monotonic() - self._sent > self._pause:
            self.flush()

    def add_results(self, values: Mapping[str, float]) -> None:
        """Adds numbers that have no step, as step 0; not those that are curves.

        Where a finished stage is done again and comes to other results, they become the next step.
        Where they are the same, such as after a kill, its times are not logged again either. A
        stage that was killed after it had logged them is not done again, it is finished.
        """
        last = {key: self._last(key) for key in values}
        results = {key: value for key, value in values.items() if not _is_measured(key)}
        is_other = any(
            step is not None and not _equal(step[1], results[key])
            for key, step in last.items()
            if key in results
        )
        for key, value in values.items():
            before = last[key]
            if fit_name(key) not in self._points:
                self._append(fit_name(key), value, 0)
            elif before and self._was_finished and is_other and not _equal(before[1], value):
                self._append(fit_name(key), value, before[0] + 1)

    def _last(self, key: str) -> tuple[int, float] | None:
        """Step and value of a result that was logged before; None for a curve, or what is new."""
        steps = self._points.get(fit_name(key), {})
        return (max(steps), steps[max(steps)]) if 0 in steps else None

    def flush(self) -> None:
        """Sends what is waiting; it goes on waiting where that fails."""
        try:
            while self._waiting:
                self._send(self._waiting[:_AT_ONCE])
                del self._waiting[:_AT_ONCE]
            self._pause = _SECONDS_BETWEEN_BATCHES
        except Exception as error:  # noqa: BLE001 (whatever MLflow raises, the work continues)
            report(error)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._sent = time.monotonic()

    def _append(self, name: str, value: float, step: int) -> None:
        from mlflow.entities import Metric

        self._points.setdefault(name, {})[step] = as_float(value)
        # With the time of the measurement, a point that is sent twice is one point.
        now = int(time.time() * 1000)
        self._waiting.append(Metric(name, as_float(value), now, step))

    def _send(self, metrics: "list[Metric]") -> None:
        """Logs metrics together or, where MLflow refuses them, one by one."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_batch(self._run_id, metrics=metrics)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            if len(metrics) == 1:
                report(error)
                return
            for metric in metrics:
                self._send([metric])


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
