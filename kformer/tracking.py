"""MLflow, and nothing else knows it.

Where runs go is read from the environment, which Snakemake sets, so that it is nobody's parameter
and changing it re-runs nothing: ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``, and
``KFORMER_CONFIG``, the resolved config of the whole experiment. Without an address nothing is
tracked.

Work never fails because of tracking: what cannot be logged is reported on stderr, once, and the
results are written all the same. Only `prepare_store`, before any work, raises.
"""

import hashlib
import json
import os
import re
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kformer.errors import KformerError
from kformer.io.file_writing import write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SECONDS_BETWEEN_BATCHES = 5.0
_LONGEST_VALUE = 6000  # characters; MLflow refuses longer parameters
_FEW_RETRIES = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # MLflow's 7 keep a job waiting for minutes


def prepare_store(uri: str, experiment: str, artifacts: Path) -> None:
    """Creates store and experiment, once, before parallel jobs open them.

    Eight processes that open a fresh SQLite store at once break its schema migration.

    Args:
        uri: address of the store or server.
        experiment: name of the MLflow experiment.
        artifacts: where artifacts go, unless a server decides that itself.

    Raises:
        KformerError: the address cannot be reached or used.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    os.environ.setdefault(*_FEW_RETRIES)
    try:
        if uri.startswith("sqlite:///"):
            _check_writable(Path(uri.removeprefix("sqlite:///")))
        client = MlflowClient(uri)
        if client.get_experiment_by_name(experiment) is None:
            by_server = uri.startswith(("http://", "https://", "databricks"))
            location = None if by_server else artifacts.resolve().as_uri()
            # The kind makes the UI open on the table of training runs.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            client.create_experiment(experiment, artifact_location=location, tags=kind)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        raise KformerError(
            f"tracking.uri: {_without_password(uri)} cannot be used ({_first_line(error)}); start "
            "the server, correct the address, or leave it out for the default store"
        ) from None


def _check_writable(database: Path) -> None:
    """MLflow would try again and again for minutes where SQLite cannot write."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")


def _without_password(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", uri)


class TrackedRun:
    """One MLflow run, or none where nothing is tracked."""

    def __init__(self, client: "MlflowClient | None" = None, run_id: str = "") -> None:
        self._client, self._run_id = client, run_id
        self._waiting: list[tuple[Mapping[str, float], int]] = []
        self._sent = time.monotonic()

    def log(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Logs metrics measured at a step, in batches: single ones are slow."""
        known = {key: float(value) for key, value in metrics.items() if value is not None}
        self._waiting.append((known, step))
        if time.monotonic() - self._sent > _SECONDS_BETWEEN_BATCHES:
            self.flush()

    def log_summary(self, summary: Mapping[str, Any]) -> None:
        """Logs a stage's result: its numbers as metrics, all of it as an artifact."""
        numbers = (int, float)
        self.log({key: value for key, value in summary.items() if isinstance(value, numbers)})
        self.log_json(summary, "summary.json")

    def log_json(self, content: Mapping[str, Any], name: str) -> None:
        if self._client:
            with _reporting_failures():
                self._client.log_dict(self._run_id, dict(content), name)

    def log_file(self, path: Path) -> None:
        if self._client:
            with _reporting_failures():
                self._client.log_artifact(self._run_id, str(path))

    def flush(self) -> None:
        """Sends what is waiting."""
        waiting, self._waiting = self._waiting, []
        self._sent = time.monotonic()
        if not self._client or not waiting:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(key, value, now, step)
            for values, step in waiting
            for key, value in values.items()
        ]
        with _reporting_failures():
            self._client.log_batch(self._run_id, metrics=metrics)

    def finish(self, status: str) -> None:
        self.flush()
        if self._client:
            with _reporting_failures():
                self._client.set_terminated(self._run_id, status)


@contextmanager
def tracked(
    name: str,
    memory: Path,
    settings: Mapping[str, Any],
    tags: Mapping[str, str],
    resume: bool = False,
) -> Iterator[TrackedRun]:
    """One stage as an MLflow run.

    Args:
        name: shown in the MLflow UI.
        memory: a file that remembers the run, so that a killed stage resumes its run, and
            evaluation the run of training.
        settings: logged as parameters, nested keys joined by dots, and as an artifact.
        tags: what to find the run by, such as stage and condition.
        resume: resume the remembered run, whatever its settings and state.
    """
    run = TrackedRun()
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        with _reporting_failures():
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
    resume: bool,
) -> TrackedRun:
    from mlflow import MlflowClient

    os.environ.setdefault(*_FEW_RETRIES)
    client = MlflowClient(uri)
    remembered = _remembered(memory)
    store = hashlib.sha256(uri.encode()).hexdigest()  # the address may hold a password
    former = remembered.get("run_id") if remembered.get("store") == store else None
    same = remembered.get("settings") == json.loads(json.dumps(settings))
    if former and _can_resume(client, former, resume, same):
        client.update_run(former, status="RUNNING")
        return TrackedRun(client, former)

    experiment_name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "kformer")
    experiment = client.get_experiment_by_name(experiment_name)
    experiment_id = (
        experiment.experiment_id if experiment else client.create_experiment(experiment_name)
    )
    run_id = client.create_run(experiment_id, run_name=name, tags=dict(tags)).info.run_id
    write_json(memory, {"store": store, "run_id": run_id, "settings": settings})
    with _reporting_failures():
        _log_settings(client, run_id, settings, tags)
    if former:
        with _reporting_failures():
            client.set_tag(former, "superseded_by", run_id)
    return TrackedRun(client, run_id)


def _remembered(memory: Path) -> dict[str, Any]:
    """What the memory file says; nothing where it is missing or damaged."""
    try:
        content = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _can_resume(client: "MlflowClient", run_id: str, whatever_state: bool, same: bool) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        info = client.get_run(run_id).info
    except MlflowException:  # the store was deleted or replaced since
        return False
    if info.lifecycle_stage != "active":
        return False
    return whatever_state or (same and info.status != "FINISHED")


def _log_settings(
    client: "MlflowClient", run_id: str, settings: Mapping[str, Any], tags: Mapping[str, str]
) -> None:
    from mlflow.entities import Param

    flat = {**tags, **_flat(settings)}
    params = [Param(key, str(value)[:_LONGEST_VALUE]) for key, value in flat.items()]
    client.log_batch(run_id, params=params)
    client.log_dict(run_id, dict(settings), "settings.json")
    config = os.environ.get("KFORMER_CONFIG")
    if config and Path(config).is_file():
        client.log_artifact(run_id, config)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


_reported: set[str] = set()


@contextmanager
def _reporting_failures() -> Iterator[None]:
    """Turns a failure of tracking into one line on stderr, once for each reason."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (whatever MLflow raises, the work continues)
        reason = _first_line(error)
        if reason not in _reported:
            _reported.add(reason)
            print(f"tracking: not logged ({reason}); results are not affected", file=sys.stderr)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
