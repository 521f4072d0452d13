"""Experiments and their runs as tables for the terminal."""

import time
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from kformer.errors import KformerError, listed
from kformer.evaluation.answers import right_answers
from kformer.evaluation.read_runs import read_runs
from kformer.io.disk_usage import used_bytes
from kformer.io.formatting import percent
from kformer.io.output_names import RunFolder
from kformer.study import paths
from kformer.study.layout import Layout
from kformer.study.run_states import state_of
from kformer.study.saved_study import SavedStudies

_COLOURS = {"evaluated": "green", "trained": "cyan", "unfinished": "yellow", "damaged": "red"}
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def list_runs(studies: SavedStudies, only: str | None = None) -> Iterator[Table | Text]:
    """A line and a table for each experiment, or for one; just a line where a config is unreadable.

    Raises:
        KformerError: there is no such experiment.
    """
    names = sorted({*studies.readable, *studies.unreadable})
    if only is not None and only not in names:
        raise KformerError(
            f"{only}: no experiment under {paths.RESULTS}; there are {listed(names)}"
        )
    if not names:
        yield Text(f"no experiment under {paths.RESULTS} yet")
    for name in [only] if only else names:
        if name in studies.readable:
            yield _summary(name, studies.readable[name])
            yield _table(studies.readable[name])
        else:
            yield Text(f"{name}: {studies.unreadable[name]}", style="red")


def _summary(name: str, study: Layout) -> Text:
    compared = "compared" if study.comparison.numbers.is_file() else "not compared yet"
    size = decimal(used_bytes([study.folder]))
    return Text(f"{name}: {len(study.runs)} runs, {compared}; {size} in {study.folder}")


def _table(study: Layout) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("condition", overflow="fold")
    table.add_column("seed", justify="right")
    table.add_column("state", overflow="fold")
    for header in ("accuracy\n%", "size", "age"):
        table.add_column(Text(header, justify="right"), justify="right", no_wrap=True)
    for run in (*study.runs, *_former_runs(study)):
        table.add_row(*_row(study, run))
    return table


def _former_runs(study: Layout) -> Iterator[RunFolder]:
    """Those of conditions and seeds that the config has no more."""
    known = {run.path for run in study.runs}
    for path in sorted(study.folder.glob("runs/[!.]*/[!.]*")):
        run = RunFolder(path)
        if path not in known and run.is_well_named and path.is_dir():
            yield run


def _row(study: Layout, run: RunFolder) -> list[Text]:
    state = state_of(study, run)
    places = [run.path]
    if run.seed is not None:
        places.append(study.checkpoints(run.condition, run.seed))
    size = used_bytes(places)
    return [
        Text(run.condition),
        Text("" if run.seed is None else str(run.seed)),
        Text(state.words, style=_COLOURS.get(state.stage, "dim")),
        Text(_accuracy(run) if state.stage == "evaluated" else ""),
        Text(decimal(size) if size else ""),
        Text(_age(places)),
    ]


def _accuracy(run: RunFolder) -> str:
    """On the first of the splits that were answered, in percent; nothing if it cannot be read."""
    try:
        (_, answers), *_ = read_runs([run])
    except KformerError:
        return ""
    return percent(float(right_answers(answers).mean()))


def _age(places: list[Path]) -> str:
    """How long ago the newest file was written, such as ``3 h``."""
    files = [each for place in places for each in place.rglob("*") if each.is_file()]
    if not files:
        return ""
    seconds = max(0.0, time.time() - max(each.stat().st_mtime for each in files))
    unit, length = next((unit for unit in _UNITS if seconds >= unit[1]), _UNITS[-1])
    return f"{seconds / length:.0f} {unit}"
