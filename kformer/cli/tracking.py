"""Commands on tracking: prepare the store, send what was measured."""

import os
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from kformer.errors import KformerError
from kformer.io.output_names import RUN_MEMORY
from kformer.masking import HIDDEN, masked
from kformer.study.paths import RESOURCES, RESULTS, TRACKING_STORE

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
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Where runs are, at any depth; by default those of the workflow."),
    ] = None,
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

    Without MLFLOW_TRACKING_URI, each run goes where it was meant to go. Nothing is sent twice.

    Example: `kformer sync`
    """
    from kformer.tracking import Sync, end_run

    for folder in folders or []:
        if not folder.is_dir():
            raise KformerError(f"{folder}: there is no such folder; name one that holds runs")
    senders = Sync(folders or [RESULTS, RESOURCES], os.environ.get("MLFLOW_TRACKING_URI"))
    if follow:
        is_over = threading.Event()
        ended: list[str] = []
        threading.Thread(target=_wait_for_end, args=(ended, is_over), daemon=True).start()
        left = senders.follow(is_over, lambda: end_run(_study_run(follow), ended[0]))
    else:
        left = senders.send()
    if left:
        command = " ".join(["kformer sync", *map(str, folders or [])])
        reason = senders.reason or "another process is sending"
        runs = f"{len(left)} {'runs are' if len(left) > 1 else 'run is'}"
        raise KformerError(
            f"{runs} not in MLflow as a whole ({reason}); nothing is lost: {command} sends "
            "what is missing"
        )
    if not follow:
        typer.echo("all that was measured is in MLflow", err=True)


@app.command()
def ui(
    folder: Annotated[Path, typer.Argument(help="Whose mlflow.db to show.")] = RESULTS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of this machine.")] = 5000,
) -> None:
    """Show runs in MLflow's UI: print and open where its tables and charts are.

    With MLFLOW_TRACKING_URI, the runs of that server or store.

    Example: `kformer ui`
    """
    from kformer.tracking import is_server
    from kformer.tracking.ui import open_in_browser, serving

    uri = os.environ.get("MLFLOW_TRACKING_URI") or _own_store(folder)
    if is_server(uri):
        _show_views(uri, masked(uri).replace(f"{HIDDEN}@", "").rstrip("/"))
        return
    with serving(uri, port) as (address, process):
        open_in_browser(address + _show_views(uri, address))
        typer.echo("Ctrl-C ends it", err=True)
        process.wait()


def _show_views(uri: str, address: str) -> str:
    """Prints where a store's views are; returns the first one's path."""
    from kformer.tracking.views import views

    found = views(uri)
    for each in found:
        typer.echo(f"{each.experiment}: runs, the most accurate first   {address}{each.runs}")
        typer.echo(f"{each.experiment}: conditions compared             {address}{each.conditions}")
    if not found:
        typer.echo(f"{address}: no training run is there yet")
    return found[0].runs if found else "/"


def _own_store(folder: Path) -> str:
    return f"sqlite:///{(folder / TRACKING_STORE.name).resolve()}"


def _wait_for_end(ended: list[str], is_over: threading.Event) -> None:
    """Waits until whoever started this closes standard input, or is killed."""
    last = sys.stdin.read().strip()
    ended.append(last if last in _ENDS else "KILLED")
    is_over.set()


def _study_run(folder: Path) -> Path:
    """What remembers the run of a study."""
    return folder / f".study.{RUN_MEMORY}"
