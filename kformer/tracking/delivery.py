"""Delivers a journal to MLflow: every entry once, in order, whenever a sender was killed.

MLflow cannot delete points, and makes another run whenever it is asked to. So a run is looked for
by the id of its ``begin`` before it is made, and of points that may have been sent before, those
that are there are left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from kformer.errors import KformerError
from kformer.tracking.connection import first_line, report, reporting_failures
from kformer.tracking.journal import Entry, Journal
from kformer.tracking.names import fit_name, fit_value
from kformer.tracking.store import STUDY_STAGE, experiment_id, study_run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

ID_TAG = "kformer.id"

_METRICS_AT_ONCE = 1000
_PARAMETERS_AT_ONCE = 100
# Characters
_LONGEST_TAG = 5000
_LONGEST_RUN_NAME = 250
_DIGEST = 16

Placed = tuple[int, int, Entry]  # an entry, where it is in the journal and what is behind it


class Delivery:
    """Delivers one journal with one client."""

    def __init__(
        self, client: "MlflowClient", journal: Journal, away: Callable[[str], None]
    ) -> None:
        """Asks for nothing yet.

        Args:
            client: of the store.
            journal: what is delivered.
            away: called with the reason where an artifact cannot be sent now.
        """
        self._client, self._journal, self._away = client, journal, away
        self._run_id = ""
        # The steps of each metric that MLflow has, where this process did not send all of them.
        self._steps: dict[str, set[int]] | None = {}

    def send(self) -> bool:
        """Sends what is new; returns whether all is in the store, also what was put off before.

        Raises:
            MlflowException: the store cannot be reached, or does not take it now.
        """
        self._position = self._journal.position
        if not self._run_id:
            self._find_run()
        for are_metrics, entries in groupby(
            self._journal.entries(self._position.sent), lambda each: each[2]["kind"] == "metrics"
        ):
            if are_metrics:
                self._send_metrics(entries)
            else:
                for entry in entries:
                    self._send_entry(*entry)
        return not self._position.postponed

    def _remember(self) -> None:
        """Notes what was sent; where that fails, the next sender asks MLflow what it has."""
        with reporting_failures():
            self._journal.remember(self._position)

    def _find_run(self) -> None:
        """Goes on with the run that was sent to; where it is gone, all of it is sent anew."""
        if run := _existing(self._client, self._position.run_id):
            self._run_id = run.info.run_id
            self._send_postponed()
        else:
            self._position.sent, self._position.postponed = self._position.begun, []

    def _send_postponed(self) -> None:
        places, self._position.postponed = self._position.postponed, []
        for place in places:
            for start, _, entry in self._journal.entries(place):
                self._send_artifact(start, entry)
                break
        if places:
            self._remember()

    def _send_entry(self, start: int, end: int, entry: Entry) -> None:
        if entry["kind"] == "begin":
            self._begin(start, entry)
        elif not self._run_id:  # the disk lost its begin
            self._begin(start, {})
        match entry["kind"]:
            case "resume":
                self._client.update_run(self._run_id, status="RUNNING")
            case "inputs":
                self._client.log_inputs(self._run_id, _data_sets(entry))
            case "content" | "file":
                self._send_artifact(start, entry)
            case "end":
                self._client.set_terminated(self._run_id, entry["status"], entry["time"])
        self._position.sent = end
        self._remember()

    def _begin(self, start: int, entry: Entry) -> None:
        """Makes a run, unless it is there."""
        number = experiment_id(self._client, entry.get("experiment") or "kformer")
        former = self._position.run_id
        joined = _existing(self._client, entry.get("joins", ""))
        run = joined or self._begun_before(number, entry)
        if run is None:
            run = self._client.create_run(
                number,
                entry.get("time"),
                _tags(entry, self._parent(number, entry)),
                fit_value(entry.get("name", "kformer"), _LONGEST_RUN_NAME),
            )
            self._steps = None
        else:
            self._steps = {}
        self._run_id = run.info.run_id
        if former and former != self._run_id:  # first, since only this position knows it
            self._supersede(former)
        self._position.run_id, self._position.begun = self._run_id, start
        self._remember()
        self._log_parameters(entry.get("parameters", {}))

    def _begun_before(self, experiment: str, entry: Entry) -> "Run | None":
        if not (begun := entry.get("id")):
            return None
        found = self._client.search_runs([experiment], f"tags.`{ID_TAG}` = '{begun}'")
        return found[0] if found else None

    def _parent(self, experiment: str, entry: Entry) -> str | None:
        is_study = entry.get("tags", {}).get("stage") == STUDY_STAGE
        return None if is_study else study_run(self._client, experiment)

    def _supersede(self, former: str) -> None:
        if _existing(self._client, former):
            self._client.set_tag(former, "superseded_by", self._run_id)

    def _log_parameters(self, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        named = [Param(fit_name(key), fit_value(value)) for key, value in parameters.items()]
        for start in range(0, len(named), _PARAMETERS_AT_ONCE):
            part = named[start : start + _PARAMETERS_AT_ONCE]
            self._log_together(lambda some: {"params": some}, part)

    def _send_metrics(self, entries: Iterable[Placed]) -> None:
        for end, points in _batches(entries):
            if not self._run_id:
                self._begin(self._position.sent, {})
            for start in range(0, len(points), _METRICS_AT_ONCE):
                part = [p for p in points[start : start + _METRICS_AT_ONCE] if self._is_new(p)]
                self._log_together(lambda some: {"metrics": some}, part)
            self._position.sent = end
            self._remember()

    def _is_new(self, point: "Metric") -> bool:
        if self._steps is None:
            return True
        if point.key not in self._steps:
            there = self._client.get_metric_history(self._run_id, point.key)
            self._steps[point.key] = {each.step for each in there}
        return point.step not in self._steps[point.key]

    def _log_together(
        self, of: Callable[[list[Any]], Mapping[str, Any]], things: list[Any]
    ) -> None:
        """Logs points or parameters together or, where MLflow refuses them, one by one."""
        from mlflow.exceptions import MlflowException

        if not things:
            return
        try:
            self._client.log_batch(self._run_id, **of(things))
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            if len(things) == 1:
                report(error)
                return
            for thing in things:
                self._log_together(of, [thing])

    def _send_artifact(self, start: int, entry: Entry) -> None:
        """Sends an artifact, or puts it off: where artifacts go may be out of reach alone."""
        try:
            if entry["kind"] == "content":
                self._client.log_dict(self._run_id, entry["content"], entry["name"])
            elif (file := self._journal.path.parent / entry["path"]).is_file():
                self._client.log_artifact(self._run_id, str(file))
            else:
                report(KformerError(f"{file}: is not there any more"))
        except Exception as error:  # noqa: BLE001 (stores of artifacts have errors of their own)
            self._position.postponed.append(start)
            self._away(f"artifacts: {first_line(error)}")


def _existing(client: "MlflowClient", run_id: str) -> "Run | None":
    """A run that this store has and nobody deleted."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None  # the store was deleted or replaced since
        raise
    return run if run.info.lifecycle_stage == "active" else None


def _tags(entry: Entry, parent: str | None) -> dict[str, str]:
    tags = {**entry.get("tags", {}), ID_TAG: entry.get("id", "")}
    if parent:
        tags["mlflow.parentRunId"] = parent
    return {fit_name(key): fit_value(value, _LONGEST_TAG) for key, value in tags.items()}


def _batches(entries: Iterable[Placed]) -> Iterator[tuple[int, "list[Metric]"]]:
    """Points of whole entries, about as many as MLflow takes at once, and what is behind them."""
    from mlflow.entities import Metric

    points: list[Metric] = []
    end = 0
    for _, end, entry in entries:
        points += [
            Metric(name, value, entry["time"], entry["step"])
            for name, value in entry["values"].items()
        ]
        if len(points) > _METRICS_AT_ONCE // 2:
            yield end, points
            points = []
    if points:
        yield end, points


def _data_sets(entry: Entry) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                each["name"],
                each["digest"][:_DIGEST],
                "local",
                json.dumps({"uri": each["path"]}),
            ),
            [InputTag("mlflow.data.context", entry["context"])],
        )
        for each in entry["data_sets"]
    ]
