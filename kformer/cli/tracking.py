"""Commands on tracking: prepare the store, send what was measured."""

import os
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from kformer.errors import KformerError
from kformer.io.output_names import RUN_MEMORY
from kformer.masking import masked
from kformer.study.paths import RESULTS, TRACKING_STORE

app = typer.Typer()

_ENDS = ("FINISHED", "FAILED")


@app.command()
def prepare_tracking(
    artifacts: Annotated[Path, typer.Option(help="Where artifacts go.")],
) -> None:
    """Create the MLflow store and experiment, before parallel jobs open them.

    Both are read from the environment: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME.
    """
    from kformer.tracking import STUDY_STAGE, begin_run, prepare_store

    try:
        uri, name = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_EXPERIMENT_NAME"]
    except KeyError as error:
        raise KformerError(f"{error.args[0]}: set this environment variable") from None
    if prepare_store(uri, name, artifacts):
        typer.echo(f"tracking: experiment {name} in {masked(uri)}", err=True)
    begin_run(uri, name, _study_run(artifacts.parent), {"stage": STUDY_STAGE})


@app.command()
def sync(
    folder: Annotated[Path, typer.Argument(help="Where runs are, at any depth.")] = RESULTS,
    follow: Annotated[
        Path | None,
        typer.Option(
            metavar="STUDY",
            help="Send what the stages of a study, in this folder, measure while they run; until "
            "standard input ends, whose last word is how the study did.",
        ),
    ] = None,
) -> None:
    """Send to MLflow what was measured and is not there yet.

    Without MLFLOW_TRACKING_URI, each run goes to the server that it was meant for, or to the
    folder's own mlflow.db. Nothing is sent twice.

    Example: `kformer sync results`
    """
    from kformer.tracking import Sync, end_run

    if not folder.is_dir():
        raise KformerError(f"{folder}: there is no such folder; name one that holds runs")
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    default = f"sqlite:///{(folder / TRACKING_STORE.name).resolve()}"
    senders = Sync(folder, uri, default)
    if follow:
        is_over = threading.Event()
        ended: list[str] = []
        threading.Thread(target=_wait_for_end, args=(ended, is_over), daemon=True).start()
        left = senders.follow(is_over, lambda: end_run(_study_run(follow), ended[0]))
    else:
        left = senders.send()
    if left:
        raise KformerError(
            f"{len(left)} {'runs are' if len(left) > 1 else 'run is'} not in MLflow as a whole "
            f"({senders.reason}); nothing is lost: kformer sync {folder} sends what is missing"
        )
    if not follow:
        typer.echo(f"{folder}: all that was measured is in MLflow", err=True)


def _wait_for_end(ended: list[str], is_over: threading.Event) -> None:
    """Waits until whoever started this closes standard input, or is killed."""
    last = sys.stdin.read().strip()
    ended.append(last if last in _ENDS else "KILLED")
    is_over.set()


def _study_run(folder: Path) -> Path:
    """What remembers the run of a study."""
    return folder / f".study.{RUN_MEMORY}"
