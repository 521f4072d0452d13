"""One stage as an MLflow run: begun or resumed, what is logged, and its end."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kformer.io.file_writing import read_memory, write_json
from kformer.tracking.connection import be_quiet, connect, report, reporting_failures
from kformer.tracking.metrics import Metrics
from kformer.tracking.names import fit_name, fit_value, flat
from kformer.tracking.store import create_if_missing, experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Resume = Literal["unfinished", "same settings", "always"]

_PARAMETERS_AT_ONCE = 100
_LONGEST_RUN_NAME = 250  # characters
_LONGEST_TAG = 5000  # characters
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w-]{0,255}")


class TrackedRun:
    """One MLflow run, or none where nothing is tracked."""

    def __init__(self, client: "MlflowClient | None" = None, run: "Run | None" = None) -> None:
        """Tracks as a run that was just begun or, with all that it has already, is resumed."""
        self._client = client
        self._run_id = run.info.run_id if run else ""
        self._metrics = Metrics(client, run) if client and run else None

    def log(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Logs metrics measured at a step, in batches: single ones are slow.

        What a resumed run has of the same step stays.
        """
        if self._metrics:
            self._metrics.add(metrics, step)

    def log_summary(self, summary: Mapping[str, Any]) -> None:
        """Logs a stage's result: its numbers as metrics, all of it as an artifact.

        A number whose name is that of a curve stands there already, at its step.
        """
        if self._metrics:
            numbers = {key: n for key, n in summary.items() if isinstance(n, int | float)}
            self._metrics.add_results(numbers)
        self.log_json(summary, "summary.json")

    def log_json(self, content: Mapping[str, Any], name: str) -> None:
        if self._client:
            with reporting_failures():
                self._client.log_dict(self._run_id, dict(content), name)

    def log_file(self, path: Path) -> None:
        if self._client:
            with reporting_failures():
                self._client.log_artifact(self._run_id, str(path))

    def flush(self) -> None:
        """Sends what is waiting."""
        if self._metrics:
            self._metrics.flush()

    def finish(self, status: str) -> None:
        self.flush()
        if self._client:
            with reporting_failures():
                self._client.set_terminated(self._run_id, status)


@contextmanager
def tracked(
    name: str,
    memory: Path,
    settings: Mapping[str, Any],
    tags: Mapping[str, str],
    resume: Resume = "unfinished",
) -> Iterator[TrackedRun]:
    """One stage as an MLflow run.

    Args:
        name: shown in the MLflow UI.
        memory: a file that remembers the run, so that a killed stage resumes its run, and
            evaluation the run of training.
        settings: logged as parameters, nested keys joined by dots, and as an artifact.
        tags: what to find the run by, such as stage and condition.
        resume: the remembered run, if it is unfinished and has the same settings; if it has the
            same settings, since the work may have been finished and killed after that; or always.
    """
    run = TrackedRun()
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        with reporting_failures():
            run = _open(uri, name, memory, settings, tags, resume)
    try:
        yield run
    except BaseException:
        run.finish("FAILED")
        raise
    run.finish("FINISHED")


def _open(
    uri: str,
    name: str,
    memory: Path,
    settings: Mapping[str, Any],
    tags: Mapping[str, str],
    resume: Resume,
) -> TrackedRun:
    be_quiet()
    create_if_missing(uri)
    client = connect(uri)
    remembered = read_memory(memory)
    former = _find_run(client, remembered.get("run_id"))
    same = remembered.get("settings") == json.loads(json.dumps(settings))
    is_at_work = former is not None and former.info.status != "FINISHED"
    allowed = {"always": True, "same settings": same, "unfinished": same and is_at_work}
    if former and allowed[resume]:
        run_id = former.info.run_id
        client.update_run(run_id, status="RUNNING")
        if not former.data.params and same:  # it was killed before they were logged
            with reporting_failures():
                _log_settings(client, run_id, settings, tags)
        return TrackedRun(client, former)

    of_experiment = experiment_id(client, os.environ.get("MLFLOW_EXPERIMENT_NAME") or "kformer")
    fitting = {key: fit_value(value, _LONGEST_TAG) for key, value in tags.items()}
    run = client.create_run(
        of_experiment, run_name=fit_value(name, _LONGEST_RUN_NAME), tags=fitting
    )
    run_id = run.info.run_id
    if former:  # first, since nobody knows it once the new one is remembered
        with reporting_failures():
            client.set_tag(former.info.run_id, "superseded_by", run_id)
    with reporting_failures():
        write_json(memory, {"run_id": run_id, "settings": settings})
    with reporting_failures():
        _log_settings(client, run_id, settings, tags)
    return TrackedRun(client, run)


def _find_run(client: "MlflowClient", run_id: Any) -> "Run | None":
    """A run that this store has and nobody deleted."""
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        return None
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None  # the store was deleted or replaced since
        raise
    return run if run.info.lifecycle_stage == "active" else None


def _log_settings(
    client: "MlflowClient", run_id: str, settings: Mapping[str, Any], tags: Mapping[str, str]
) -> None:
    from mlflow.entities import Param

    named = {**tags, **flat(settings)}
    params = [Param(fit_name(key), fit_value(value)) for key, value in named.items()]
    for start in range(0, len(params), _PARAMETERS_AT_ONCE):
        _log_parameters(client, run_id, params[start : start + _PARAMETERS_AT_ONCE])
    client.log_dict(run_id, dict(settings), "settings.json")
    config = os.environ.get("KFORMER_CONFIG")
    if config and Path(config).is_file():
        client.log_artifact(run_id, config)


def _log_parameters(client: "MlflowClient", run_id: str, params: list[Any]) -> None:
    """Logs parameters together or, where MLflow refuses them, one by one."""
    from mlflow.exceptions import MlflowException

    try:
        client.log_batch(run_id, params=params)
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE" or len(params) == 1:
            report(error)
            return
        for param in params:
            _log_parameters(client, run_id, [param])
