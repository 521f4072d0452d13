"""Commands on what lies under results/: where it comes from, what there is, what can go."""

from typing import Annotated

import typer

from kformer.cli.options import Out

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
