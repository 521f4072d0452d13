"""Commands on data: fetch it, read it, check the user's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kformer.cli.options import (
    Content,
    Downloads,
    Lock,
    MaxDownload,
    Out,
    Settings,
    SourceSettings,
    check_content,
    keep_input,
    load,
)
from kformer.cli.stage import tracked_stage
from kformer.errors import KformerError
from kformer.sources.disk_space import MAX_DOWNLOAD
from kformer.study.paths import DOWNLOADS, SOURCES_LOCK

app = typer.Typer()


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A source, such as `social_iqa`.")],
    out: Out,
    settings: SourceSettings = "{}",
    downloads: Downloads = DOWNLOADS,
    lock: Lock = SOURCES_LOCK,
    max_download: MaxDownload = MAX_DOWNLOAD,
) -> None:
    """Download a source, verify its sha256, and unpack it.

    Example: `kformer fetch social_iqa --out resources/social_iqa`
    """
    from kformer.sources.catalogue import UserSource, resolve
    from kformer.sources.fetch import fetch_source

    overrides = load(dict[str, UserSource], settings)
    source = resolve(name, overrides)
    needed = [resolve(each, overrides) for each in overrides]
    with tracked_stage(f"fetch {name}", out, source.model_dump(mode="json")) as stage:
        stage.finish(fetch_source(source, downloads, lock, out, needed, max_download))


@app.command()
def sources(
    names: Annotated[
        list[str] | None, typer.Argument(help="Sources to list; all, if none is named.")
    ] = None,
    settings: SourceSettings = "{}",
    downloads: Downloads = DOWNLOADS,
    lock: Lock = SOURCES_LOCK,
) -> None:
    """List sources: which are here, their addresses, sizes and licences; verify those here.

    The exit status is 1 if a file is damaged.

    Example: `kformer sources atomic conceptnet`
    """
    from rich.console import Console

    from kformer.sources.catalogue import CATALOGUE, UserSource, resolve
    from kformer.sources.listing import inspect, lines

    overrides = load(dict[str, UserSource], settings)
    files = []
    with Console(stderr=True).status("verifying") as status:
        for name in names or sorted({*CATALOGUE, *overrides}):
            status.update(f"verifying {name}")
            files += inspect(resolve(name, overrides), downloads, lock)
    for line in lines(files):
        Console().print(line, soft_wrap=True)  # addresses stay whole, to be copied
    if problems := [file.problem for file in files if file.problem]:
        raise KformerError("; ".join(problems))


@app.command()
def demo_world(out: Out, settings: Settings = "{}") -> None:
    """Generate the demo world.

    Example: `kformer demo-world --out resources/demo --settings '{"seed": 7}'`
    """
    from kformer.demo_world import DemoWorld, write_world

    world = load(DemoWorld, settings)
    with tracked_stage("demo-world", out, world.model_dump(mode="json")) as stage:
        stage.finish(write_world(world, out))


@app.command()
def questions(
    path: Annotated[
        Path,
        typer.Option("--input", help="Folder or file with the data set.", callback=keep_input),
    ],
    out: Out,
    settings: Settings,
    content: Content = None,
) -> None:
    """Turn a data set into the questions table.

    Example: `kformer questions --input resources/social_iqa --out questions.parquet
    --settings '{"dataset": "social_iqa"}'`
    """
    from kformer.questions import QuestionSource
    from kformer.questions.build import build_questions

    reader = load(QuestionSource, settings)
    check_content([path], content)
    with tracked_stage(f"questions {reader.dataset}", out, reader.model_dump(mode="json")) as stage:
        counts = build_questions(reader, path, out)
        stage.finish(counts, {name: count for name, count in counts.items() if count})


@app.command()
def facts(
    paths: Annotated[
        list[Path],
        typer.Option(
            "--input",
            help="Folder or file of each source, in their order.",
            callback=keep_input,
        ),
    ],
    out: Out,
    settings: Settings,
    content: Content = None,
) -> None:
    """Turn knowledge sources into the facts table.

    Example: `kformer facts --input resources/atomic --input my_books --out facts.parquet
    --settings '["atomic", {"source": "txt", "path": "my_books"}]'`
    """
    from kformer.knowledge import KnowledgeSource
    from kformer.knowledge.build import build_facts

    readers = load(list[KnowledgeSource], settings)
    if len(paths) != len(readers):
        raise KformerError(
            f"--input: {len(paths)} given for {len(readers)} sources in --settings; "
            "give one for each, in their order"
        )
    check_content(paths, content)
    plain = {"knowledge": [reader.model_dump(mode="json") for reader in readers]}
    labels = "+".join(reader.label for reader in readers)
    with tracked_stage(f"facts {labels}", out, plain) as stage:
        stage.finish(build_facts(readers, paths, out))


@app.command()
def check(
    path: Annotated[
        Path, typer.Argument(help="A file, compressed or not, or a folder.", metavar="FILE")
    ],
    kind: Annotated[
        Literal["questions", "facts"] | None,
        typer.Option("--as", help="What it holds; recognised from the file if not given."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="JSON: which field is what, as `columns` of the config.")
    ] = None,
    unit: Annotated[
        Literal["passage", "line"] | None,
        typer.Option(help="What of a .txt file is a fact, as `unit` of the config."),
    ] = None,
) -> None:
    """Check questions or facts of your own: list every problem, count what is fine, show how it
    is read.

    The exit status is 1 if there are any.

    Example: `kformer check my_questions.csv --columns '{"answer": "key"}'`
    """
    from kformer.checking.check import check as check_data
    from kformer.checking.check import parse_columns
    from kformer.checking.report import summary

    fields = parse_columns(columns, kind, path) if columns else None
    report = check_data(path, kind, typer.echo, fields, unit)
    for row in report.rows:
        typer.echo(row)
    typer.echo(f"{path}: {summary(report)}")
    if report.problems or not report.fine:
        raise typer.Exit(1)


@app.command()
def schema(
    of: Annotated[
        Literal["config", "question", "fact", "readme"], typer.Argument(metavar="WHAT")
    ] = "config",
) -> None:
    """Print a JSON schema, or the reference of the config.

    `config`, `question` and `fact` are JSON schemas: of the config, of a line of questions, of a
    line of facts. `readme` is the reference of all keys, `config/README.md`.

    Example: `kformer schema question > workflow/schemas/question.schema.json`
    """
    from kformer.knowledge.user_files import FactRow
    from kformer.questions.question_row import QuestionRow
    from kformer.study import config_reference

    if of == "readme":
        typer.echo(config_reference.readme(), nl=False)
        return
    schemas: dict[str, Callable[[], dict[str, Any]]] = {
        "config": config_reference.schema,
        "question": QuestionRow.model_json_schema,
        "fact": FactRow.model_json_schema,
    }
    typer.echo(json.dumps(schemas[of](), indent=2, ensure_ascii=False))
