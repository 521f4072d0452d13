"""The command that writes the report of a study."""

from pathlib import Path
from typing import Annotated

import typer

from kformer.cli.options import Out, QuestionsFile, keep_input, load

app = typer.Typer()


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, …/CONDITION/seed-SEED.")],
    comparison: Annotated[
        Path, typer.Option(help="The comparison.json of these runs.", callback=keep_input)
    ],
    questions: QuestionsFile,
    out: Out,
    tables: Annotated[Path, typer.Option(help="Folder for all tables as CSV, LaTeX, Markdown.")],
    about: Annotated[
        str, typer.Option(help="JSON: the data set, facts tables, retrievals, varied settings.")
    ] = "{}",
    provenance: Annotated[
        Path | None, typer.Option(help="JSON of where the numbers come from.", callback=keep_input)
    ] = None,
) -> None:
    """Write the report of a study: one page that opens anywhere.

    `--about` names what the results themselves do not say, such as
    `{"dataset": "social_iqa", "facts": {"kformer": "facts.parquet"},
    "retrievals": [{"conditions": ["kformer"], "numbers": "retrieval.json"}],
    "varied": [{"setting": "model.facts", "values": {"few": 1, "many": 5}}]}`.

    Example: `kformer report runs/*/* --comparison comparison.json --questions questions.parquet
    --out report.html --tables tables`
    """
    from kformer.report.settings import About
    from kformer.report.write_report import write_report

    write_report(
        comparison, runs, questions, load(About, about, "--about"), out, tables, provenance
    )
    typer.echo(f"report: {out}", err=True)
