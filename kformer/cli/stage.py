"""One stage at work: its MLflow run, and the line that says what came out."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of
from kformer.io.output_names import RUN_MEMORY, RunFolder
from kformer.study.condition_settings import settings_of_condition
from kformer.tracking import DataSet, Resume, TrackedRun, flat, measuring_system, tracked


@dataclass
class RunningStage:
    """A running stage.

    Attributes:
        name: the command and what it works on, such as ``index words 1/2``.
    """

    name: str
    run: TrackedRun
    began: float

    def finish(self, summary: Mapping[str, Any], shown: Mapping[str, Any] | None = None) -> None:
        """Logs the summary, and prints it, or ``shown`` where it is too long for a line."""
        seconds = time.monotonic() - self.began
        key = f"{self.name.split()[0].replace('-', '_')}_stage_seconds"
        self.run.log_summary({**summary, key: seconds})
        print_summary(self.name, shown or summary, f" ({seconds:.1f} s)")


@contextmanager
def tracked_stage(name: str, out: Path, settings: Mapping[str, Any]) -> Iterator[RunningStage]:
    """A stage with an MLflow run of its own, remembered in a hidden file next to ``out``."""
    tags = {"stage": name.split()[0]}
    with tracked(name, _memory_of(out), settings, tags) as run:
        yield RunningStage(name, run, time.monotonic())


@contextmanager
def tracked_training(
    name: str,
    folder: RunFolder,
    settings: Mapping[str, Any],
    resume: Resume = "always",
) -> Iterator[RunningStage]:
    """Training or evaluation: both are in the one MLflow run of their condition and seed."""
    tags = {"stage": "run", "condition": folder.condition}
    if folder.seed is not None:
        tags["seed"] = str(folder.seed)
    known = _known_settings(folder.condition)
    tracking = tracked(folder.title, folder.tracking, settings, tags, resume, known)
    with tracking as run, measuring_system(run):
        yield RunningStage(f"{name} {folder.title}", run, time.monotonic())


def data_sets(files: Mapping[str, Path]) -> list[DataSet]:
    """Files that a stage reads, by what they are to it, for `TrackedRun.log_inputs`."""
    return [DataSet(name, sha256_of(path), str(path)) for name, path in files.items()]


def _known_settings(condition: str) -> dict[str, Any]:
    """The settings of a condition in its study, those first that the baseline has otherwise."""
    config = os.environ.get("KFORMER_CONFIG")
    settings = settings_of_condition(Path(config), condition) if config else None
    if not settings:
        return {}
    read, own, baseline = map(flat, settings)
    changed = {key: value for key, value in read.items() if own.get(key) != baseline.get(key)}
    changes = ", ".join(f"{key}: {value}" for key, value in changed.items())
    return {"changes": changes or "none", **changed, **read}


def print_summary(name: str, summary: Mapping[str, Any], ending: str = "") -> None:
    """Prints the results of a stage on one line of stderr."""
    results = ", ".join(f"{key} {_short(value)}" for key, value in summary.items())
    typer.echo(f"{name}: {results}{ending}", err=True)


def _memory_of(out: Path) -> Path:
    if not out.name:
        raise KformerError(f"--out: {out} is no new file or folder; give it a name")
    return out.with_name(f".{out.name}.{RUN_MEMORY}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
