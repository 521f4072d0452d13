"""The command that makes a folder to share of a run's model."""

from pathlib import Path
from typing import Annotated

import typer

from kformer.errors import KformerError
from kformer.io.output_names import RunFolder

app = typer.Typer()


@app.command()
def export(
    run: Annotated[
        Path, typer.Argument(help="The folder of a finished run, …/CONDITION/seed-SEED.")
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write, empty or not there yet.")],
    license_: Annotated[
        str | None,
        typer.Option("--license", help="Of the model, as the hub names it, such as `apache-2.0`."),
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Also upload it to the hub.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see what --push makes.")
    ] = False,
) -> None:
    """Make a folder to share of a trained model: weights, tokenizer, and a model card.

    The card tells task, data, method, the numbers of the study with intervals and controls, and
    how to load the model. `hf upload OWNER/NAME OUT` or `--push` puts the folder on the Hugging
    Face hub, where a new repository is private unless `--public` is given.

    Example: `kformer export results/demo/runs/kformer-contextual/seed-1 shared
    --license apache-2.0`
    """
    from kformer.evaluation import export as exporting
    from kformer.evaluation.compare import read_comparison
    from kformer.evaluation.model_card import Described
    from kformer.io.training_summary import read_trained
    from kformer.modeling import KformerConfig
    from kformer.study.study_of_run import study_of_run

    if public and not push:
        raise KformerError("--public: is for what --push makes; give both or neither")
    folder = RunFolder(run)
    summary = read_trained(folder)
    study = study_of_run(folder, summary.plan)
    described = Described(
        title=folder.title if study else folder.path.absolute().name,
        condition=folder.condition,
        summary=summary,
        config=KformerConfig.from_pretrained(folder.model),
        accuracies=exporting.accuracies(folder, summary),
        license=license_,
        experiment=study and study.name,
        dataset=study.dataset if study else "unknown",
        hub_datasets=study.hub_datasets if study else (),
        knowledge=study.knowledge if study else (),
        retrieval=study and study.retrieval,
        control=study and study.control,
        comparison=read_comparison(study.comparison) if study and study.comparison else None,
    )
    exporting.export(folder, described, out)
    typer.echo(f"{out}: written; its README.md is the model card", err=True)
    if license_ is None:
        typer.echo("no license: add one to README.md, or give --license", err=True)
    if push:
        typer.echo(f"uploaded to {exporting.push(out, push, public)}", err=True)
