"""The command line: one command a stage, in a file for each group of the workflow's rules.

Only this room joins stages, tracking and the user: a command opens the MLflow run of its stage,
hands the stage its files, and a mistake that the user can correct becomes one line and exit
status 1. Everything heavy is imported inside the commands, so that light ones start fast.
"""

import logging
import sys

import typer

from kformer.cli import data, retrieval, runs
from kformer.errors import KformerError
from kformer.masking import MaskedLogRecord

app = typer.Typer(
    help="Does knowledge injected into a Transformer's feed-forward layers help? "
    "Each command is one stage of the study; `snakemake --cores all all` runs them all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for group in (data, retrieval, runs):
    app.add_typer(group.app)


def main() -> None:
    """Runs the command line; a mistake that the user can correct is one line and exit status 1."""
    logging.setLogRecordFactory(MaskedLogRecord)
    try:
        app()
    except KformerError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}; correct that or name another path")
