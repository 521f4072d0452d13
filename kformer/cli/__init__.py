"""The command line: one command a stage, in a file for each group of the workflow's rules.

Only this room joins stages, tracking and the user: a command opens the MLflow run of its stage,
hands the stage its files, and a mistake that the user can correct becomes one line and exit
status 1. Everything heavy is imported inside the commands, so that light ones start fast.
"""

import contextlib
import logging
import sys
from importlib import metadata
from typing import Annotated, Any, NoReturn

import typer

from kformer.cli import (
    ask,
    data,
    encoders,
    evaluation,
    report,
    results,
    retrieval,
    runs,
    share,
    tracking,
)
from kformer.errors import KformerError
from kformer.masking import MaskedLogRecord
from kformer.study.run_lock import marked_as_job
from kformer.training.interruption import STATUS, Interrupted

app = typer.Typer(
    help="Does knowledge injected into a Transformer's feed-forward layers help? "
    "Each command is one stage of the study; `snakemake --cores all all` runs them all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
GROUPS = (data, encoders, retrieval, runs, evaluation, results, report, ask, share, tracking)
for group in GROUPS:
    app.add_typer(group.app)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"kformer {metadata.version('kformer')}")
        raise typer.Exit


def main() -> None:
    """Runs the command line; a mistake that the user can correct is one line and exit status 1,
    or 2 where an option or an argument is wrong, or 75 where a signal ended a training early."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows few letters shows the code of others; nothing fails for its sake.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    logging.setLogRecordFactory(MaskedLogRecord)
    try:
        with marked_as_job():
            sys.exit(app(standalone_mode=False))
    except KformerError as error:
        sys.exit(f"error: {error}")
    except Interrupted as end:
        with contextlib.suppress(OSError):  # the signal may have killed whoever reads this
            print(end, file=sys.stderr, flush=True)
        sys.exit(STATUS)
    except typer.TyperException as error:
        _end_with_usage(error)
    except typer.Abort:
        sys.exit(130)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        if error.filename is None:
            sys.exit(f"error: {reason}; correct that and start the same command again")
        sys.exit(f"error: {error.filename}: {reason}; correct that or name another path")


def _end_with_usage(error: Any) -> NoReturn:
    """One line for an option or an argument that is wrong; the help where nothing is given."""
    command = error.ctx.command_path if error.ctx else "kformer"
    if not error.format_message() or not sys.argv[1:]:
        error.show()
    else:
        message = " ".join(error.format_message().split()).removesuffix(".")
        print(f"error: {message}; see {command} --help", file=sys.stderr)
    sys.exit(error.exit_code)
