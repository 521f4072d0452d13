"""One stage as an MLflow run: begun or resumed, what is logged, and its end.

All of it is written into a journal beside what the stage makes, and sent from there: by whoever
sends for all stages of a study, or else by the stage itself.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from kformer.masking import masked, remember_secrets
from kformer.tracking.connection import report, reporting_failures
from kformer.tracking.database import database_of
from kformer.tracking.journal import Entry, Journal
from kformer.tracking.metrics import Metrics
from kformer.tracking.names import flat
from kformer.tracking.sender import Sender
from kformer.tracking.source import source_tags

Resume = Literal["unfinished", "same settings", "always"]

SENT_BY_ANOTHER = "KFORMER_TRACKING_IS_SENT"
"""Set for the stages of a study, whose journals one process sends: `kformer sync --follow`."""

_SECONDS_BETWEEN_WRITES = 5.0


class DataSet(NamedTuple):
    """A file that a stage reads; ``digest`` stands for its bytes."""

    name: str
    digest: str
    path: str


class TrackedRun:
    """One MLflow run, or none where nothing is tracked."""

    def __init__(
        self,
        journal: Journal | None = None,
        entries: Sequence[Entry] = (),
        sender: Sender | None = None,
    ) -> None:
        """Tracks into a journal.

        Args:
            journal: of the stage; None = nothing is tracked.
            entries: those that a resumed run has already.
            sender: sends what is written; None = somebody else does.
        """
        self._journal, self._sender = journal, sender
        self._metrics = Metrics(entries)
        self._waiting: list[Entry] = []
        self._written = time.monotonic()
        self._lock = threading.RLock()  # measurements of the system come from a thread

    @property
    def is_tracked(self) -> bool:
        return self._journal is not None

    def log(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Logs metrics measured at a step; they are written together every few seconds.

        What a resumed run has of the same step stays.
        """
        with self._lock:
            self._take(self._metrics.new(metrics, step))

    def log_next(self, metrics: Mapping[str, float]) -> None:
        """Logs metrics that are measured now and then, as the next points of their curves."""
        with self._lock:
            step = 1 + max(map(self._metrics.last_step, metrics), default=-1)
            self._take(self._metrics.new(metrics, step))

    def log_summary(self, summary: Mapping[str, Any]) -> None:
        """Logs a stage's result: its numbers as metrics, all of it as an artifact.

        A number whose name is that of a curve stands there already, at its step.
        """
        numbers = {key: n for key, n in summary.items() if isinstance(n, int | float)}
        with self._lock:
            self._take(self._metrics.new_results(numbers))
        self.log_json(summary, "summary.json")

    def log_json(self, content: Mapping[str, Any], name: str) -> None:
        self._take([{"kind": "content", "name": name, "content": dict(content)}])

    def log_file(self, path: Path) -> None:
        if self._journal:
            beside = os.path.relpath(path.resolve(), self._journal.path.parent.resolve())
            self._take([{"kind": "file", "path": beside}])

    def log_inputs(self, data_sets: Sequence[DataSet], context: str) -> None:
        """Logs the data sets that a stage reads, and what for."""
        each = [data_set._asdict() for data_set in data_sets]
        self._take([{"kind": "inputs", "context": context, "data_sets": each}] if each else [])

    def begin(self, entry: Entry) -> None:
        """Notes that the run begins, or goes on."""
        self._take([entry])
        self.flush()

    def flush(self) -> None:
        """Writes what is waiting to the disk, and has it sent."""
        with self._lock:
            self._written = time.monotonic()
            if not self._journal or not self._waiting:
                return
            try:
                self._journal.append(self._waiting)
            except OSError as error:
                report(error)  # it goes on waiting
                return
            self._waiting.clear()
            if self._sender:
                self._sender.send(self._journal)

    def finish(self, status: str) -> None:
        self._take([_end(status)])
        self.flush()

    def _take(self, entries: Sequence[Entry]) -> None:
        if not self._journal:
            return
        with self._lock:
            self._waiting += entries
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self.flush()


@contextmanager
def tracked(
    name: str,
    memory: Path,
    settings: Mapping[str, Any],
    tags: Mapping[str, str],
    resume: Resume = "unfinished",
    parameters: Mapping[str, Any] | None = None,
) -> Iterator[TrackedRun]:
    """One stage as an MLflow run.

    Args:
        name: shown in the MLflow UI.
        memory: a file beside which the journal lies, so that a killed stage resumes its run, and
            evaluation the run of training.
        settings: logged as parameters, nested keys joined by dots, and as an artifact.
        tags: what to find the run by, such as stage and condition.
        resume: the former run, if it is unfinished and has the same settings; if it has the same
            settings, since the work may have been finished and killed after that; or always.
        parameters: further ones.
    """
    run = TrackedRun()
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        with reporting_failures():
            run = _open(uri, name, Journal(memory), settings, tags, resume, parameters or {})
    try:
        yield run
    except BaseException:
        run.finish("FAILED")
        raise
    run.finish("FINISHED")


def begin_run(uri: str, name: str, memory: Path, tags: Mapping[str, str]) -> None:
    """Begins a run that no single stage ends, such as that of a whole study, or resumes it."""
    with reporting_failures():
        _open(uri, name, Journal(memory), {}, tags, "always", {})


def end_run(memory: Path, status: str) -> None:
    """Ends what `begin_run` began."""
    journal = Journal(memory)
    with reporting_failures():
        if journal.size:
            journal.append([_end(status)])


def _open(
    uri: str,
    name: str,
    journal: Journal,
    settings: Mapping[str, Any],
    tags: Mapping[str, str],
    resume: Resume,
    parameters: Mapping[str, Any],
) -> TrackedRun:
    remember_secrets(uri)
    former = journal.last_run()
    same = bool(former) and former[0].get("settings") == json.loads(json.dumps(settings))
    is_at_work = bool(former) and _status(former) != "FINISHED"
    allowed = {"always": bool(former), "same settings": same, "unfinished": same and is_at_work}
    sender = None if os.environ.get(SENT_BY_ANOTHER) else Sender(uri)
    run = TrackedRun(journal, former if allowed[resume] else (), sender)
    if allowed[resume]:
        run.begin({"kind": "resume"})
        return run
    run.begin(
        {
            "kind": "begin",
            "id": uuid4().hex,
            "name": name,
            "time": _now(),
            "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME") or "kformer",
            **_where(uri, journal),
            # A run of a version that had no journals.
            "joins": journal.position.run_id if resume == "always" else "",
            "settings": settings,
            "parameters": {**tags, **parameters, **flat(settings)},
            "tags": {**tags, **source_tags()},
        }
    )
    run.log_json(settings, "settings.json")
    if (config := Path(os.environ.get("KFORMER_CONFIG") or "")).is_file():
        run.log_file(config)
    return run


def _where(uri: str, journal: Journal) -> dict[str, str]:
    """Where a run may be sent later: a file, by its path from the journal on, since both may be
    moved together, or an address, without its password."""
    if file := database_of(uri):
        return {"file": os.path.relpath(file.absolute(), journal.path.parent.absolute())}
    return {"address": masked(uri)}


def _status(entries: Sequence[Entry]) -> str:
    """The status of the run that these entries belong to."""
    turns = [entry for entry in entries if entry["kind"] in ("end", "resume")]
    return turns[-1].get("status", "RUNNING") if turns else "RUNNING"


def _end(status: str) -> Entry:
    return {"kind": "end", "status": status, "time": _now()}


def _now() -> int:
    """Milliseconds, as MLflow counts time."""
    return int(time.time() * 1000)
