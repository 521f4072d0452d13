"""Commands on what lies under results/: where it comes from, what there is, what can go."""

from typing import Annotated

import typer

from kformer.cli.options import Out
from kformer.errors import KformerError

app = typer.Typer()

Experiment = Annotated[str, typer.Argument(help="Its name, that of its folder under results/.")]


@app.command()
def provenance(experiment: Experiment, out: Out) -> None:
    """Write down what the numbers of an experiment were made from, how, with what, and where.

    Data with its checksums, every key with its settings, versions, machine, commit, and for each
    run the command that makes it again.

    Example: `kformer provenance demo --out results/demo/provenance.json`
    """
    from kformer.io.file_writing import write_json
    from kformer.study.paths import experiment_folder
    from kformer.study.provenance import provenance_of
    from kformer.study.saved_study import read_command, read_study

    folder = experiment_folder(experiment)
    write_json(out, provenance_of(read_study(folder), read_command(folder)))


@app.command()
def explain(
    what: Annotated[
        str, typer.Argument(metavar="PATH_OR_KEY", help="A file, a folder, or a key in its path.")
    ],
) -> None:
    """Say what a file, a folder or a key under results/ is, and where it comes from.

    Which experiments and conditions use it, what it was made from, and by which command.

    Example: `kformer explain results/demo/comparison.json`
    """
    from kformer.study.explain import explain as explained
    from kformer.study.saved_study import read_studies

    for line in explained(what, read_studies()):
        typer.echo(line)


@app.command()
def runs(
    experiment: Annotated[
        str | None, typer.Argument(help="Only this one; all, if none is named.")
    ] = None,
) -> None:
    """List experiments and their runs: how far they are, how accurate, how large and how old.

    Example: `kformer runs demo`
    """
    from rich.console import Console
    from rich.text import Text

    from kformer.study.run_list import list_runs
    from kformer.study.saved_study import read_studies

    console = Console()
    for part in list_runs(read_studies(), experiment):
        console.print(part, soft_wrap=isinstance(part, Text))


@app.command()
def remove(
    experiment: Experiment,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be deleted.")
    ] = False,
) -> None:
    """Delete an experiment, and those shared files that no other experiment needs.

    It lists what goes, and asks. Data, downloads, and the runs in MLflow stay.

    Example: `kformer remove demo --dry-run`
    """
    from contextlib import nullcontext

    from rich.filesize import decimal

    from kformer.io.disk_usage import used_bytes
    from kformer.study.paths import JOBS_LOCK, RUN_LOCK
    from kformer.study.removal import plan_removal
    from kformer.study.run_lock import lock_run

    plan_removal(experiment)  # so that a wrong name makes no lock
    with nullcontext() if dry_run else lock_run(RUN_LOCK, JOBS_LOCK):
        removal = plan_removal(experiment)
        for path in removal.paths:
            typer.echo(f"{decimal(used_bytes([path])):>12}  {path}")
        freed = decimal(removal.bytes)
        if dry_run:
            typer.echo(f"would free {freed}; nothing was deleted")
            return
        if not (yes or typer.confirm(f"Delete these, which frees {freed}?")):
            raise KformerError("nothing was deleted")
        removal.carry_out()
        typer.echo(f"deleted; {freed} are free again")


@app.command()
def drop_models(experiment: Experiment, out: Out) -> None:
    """Delete the trained models that `training.keep_models` does not keep, and note which are left.

    Their folders stay, so that nothing is trained again.

    Example: `kformer drop-models demo --out results/demo/kept_models.json`
    """
    from kformer.io.file_writing import write_json
    from kformer.study import kept_models
    from kformer.study.paths import experiment_folder
    from kformer.study.saved_study import read_study

    write_json(out, kept_models.drop_models(read_study(experiment_folder(experiment))))
