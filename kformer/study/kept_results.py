"""Finished runs that are about to be made again: the user hears of it, and can keep them."""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kformer.errors import KformerError
from kformer.io.file_writing import link_or_copy, replacing
from kformer.io.output_names import RUN_MEMORY, RunFolder
from kformer.study import paths
from kformer.study.layout import Layout

_SHOWN = 5
# Logs are written on in place, so that a link to one would not keep it.
_NOT_KEPT = {"checkpoints", "logs", "plans", "mlflow-artifacts"}
_SECONDS_TO_STOP = 10


def tell_or_keep(study: Layout, replaced: Sequence[RunFolder]) -> None:
    """Says which finished runs are made again, and first keeps them where the config says so.

    Args:
        study: whose results they are.
        replaced: the finished runs that will be made again.

    Raises:
        KformerError: the folder to keep them in is there already.
    """
    if not replaced:
        return
    names = ", ".join(run.title for run in replaced[:_SHOWN])
    more = f" and {len(replaced) - _SHOWN} more" if len(replaced) > _SHOWN else ""
    kept = study.experiment.keep
    if kept is None:
        name = f"{study.experiment.experiment}_before"
        advice = f"--config keep={name} keeps what is there"
    else:
        folder = paths.RESULTS / kept
        if folder.exists():
            raise KformerError(f"keep: {folder} is there already; choose another name")
        with replacing(folder) as partial:
            # Links, since models are large, and whatever is made again is a new file.
            shutil.copytree(
                study.folder,
                partial,
                ignore=lambda folder, names: _left_out(study.folder, folder, names),
                copy_function=link_or_copy,
            )
        advice = f"what is there is kept in {folder}"
    runs = f"{len(replaced)} finished run{'s' * (len(replaced) > 1)}"
    print(
        f"{runs} will be made again: {names}{more}; {advice}, as does another name of the "
        "experiment",
        file=sys.stderr,
        flush=True,
    )
    if kept is None and sys.stderr.isatty():
        print(f"starting in {_SECONDS_TO_STOP} s; Ctrl-C stops", file=sys.stderr, flush=True)
        time.sleep(_SECONDS_TO_STOP)


def _left_out(top: Path, folder: str, names: Sequence[str]) -> set[str]:
    """What of a folder is not kept; the MLflow runs stay those of what is made again."""
    of_runs = {name for name in names if RUN_MEMORY in name}
    return of_runs | (_NOT_KEPT if Path(folder) == top else set())
