"""Commands on retrieval: index, search, measure, and controls."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kformer.cli.options import (
    Content,
    FactsFile,
    Indexes,
    Out,
    QuestionsFile,
    RetrievalFile,
    Settings,
    ShardOption,
    Threads,
    check_encoder_content,
    cores,
    keep_input,
    load,
)
from kformer.cli.stage import print_summary, tracked_stage
from kformer.errors import KformerError
from kformer.io.output_names import RetrievalReport
from kformer.study.paths import finished_indexes

app = typer.Typer()


@app.command()
def events(facts: FactsFile, out: Out) -> None:
    """List the events that facts are about, as a table to be indexed like facts.

    An event is what facts of the same origin are about, such as "PersonX pays the bill" in ATOMIC.

    Example: `kformer events --facts facts.parquet --out events.parquet`
    """
    from kformer.retrieval.retrieve import list_events

    with tracked_stage("events", out, {}) as stage:
        stage.finish(list_events(facts, out))


@app.command()
def count_words(
    facts: FactsFile, out: Out, settings: Settings = "{}", shard: ShardOption = "1/1"
) -> None:
    """Count the words of a shard of facts, so that its index scores like an index of all facts.

    Example: `kformer count-words --facts facts.parquet --shard 1/4 --out counts/1.json`
    """
    from kformer.retrieval.index import Shard
    from kformer.retrieval.index import count_words as count
    from kformer.retrieval.settings import Retrieval

    counted = count(load(Retrieval, settings), facts, Shard.parse(shard), out)
    print_summary("count-words", counted)


@app.command()
def index(
    kind: Annotated[Literal["words", "embeddings"], typer.Argument(help="What to index.")],
    facts: FactsFile,
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    settings: Settings = "{}",
    shard: ShardOption = "1/1",
    counts: Annotated[
        list[Path] | None,
        typer.Option(help="What `count-words` wrote, once for each shard; for words only."),
    ] = None,
    content: Content = None,
) -> None:
    """Index facts, or events, so that they can be searched.

    Settings are those of retrieval, as in the config.

    Example: `kformer index words --facts facts.parquet --out index`
    """
    from kformer.retrieval.index import Shard, index_embeddings, index_words
    from kformer.retrieval.settings import Retrieval

    section, part = load(Retrieval, settings), Shard.parse(shard)
    if counts and kind != "words":
        raise KformerError("--counts: an index of embeddings needs none; leave it out")
    if kind == "embeddings":
        check_encoder_content(section.encoder, content)
    with tracked_stage(f"index {kind} {part}", out, section.index_settings(kind)) as stage:
        if kind == "words":
            stage.finish(index_words(section, facts, out, part, counts or []))
        else:
            stage.finish(index_embeddings(section, facts, out, part))


@app.command()
def retrieve(
    questions: QuestionsFile,
    facts: FactsFile,
    out: Out,
    indexes: Indexes = None,
    settings: Settings = "{}",
    shard: ShardOption = "1/1",
    threads: Threads = None,
) -> None:
    """Find the best facts for every question, or for a shard of the questions.

    Example: `kformer retrieve --questions questions.parquet --facts facts.parquet --index index
    --out retrieval.parquet --settings '{"top_k": 30}'`
    """
    from kformer.retrieval import retrieve
    from kformer.retrieval.index import Shard
    from kformer.retrieval.settings import Retrieval

    section, part = load(Retrieval, settings), Shard.parse(shard)
    name = f"retrieve {section.method} {part}"
    with tracked_stage(name, out, section.relevant_settings()) as stage:
        found = retrieve.retrieve(
            section, questions, facts, indexes or [], out, part, threads or cores()
        )
        stage.finish(found)


@app.command()
def gather(
    parts: Annotated[
        list[Path],
        typer.Argument(help="What `retrieve` wrote, in order.", callback=keep_input),
    ],
    questions: QuestionsFile,
    out: Out,
) -> None:
    """Join what was retrieved for the shards of the questions.

    Example: `kformer gather 1.parquet 2.parquet --questions questions.parquet
    --out retrieval.parquet`
    """
    from kformer.retrieval.retrieve import gather as join

    print_summary("gather", join(questions, parts, out))


@app.command()
def describe_retrieval(
    questions: QuestionsFile,
    facts: FactsFile,
    retrieval: RetrievalFile,
    out: Annotated[Path, typer.Option(help="Folder for retrieval.md, .json and sample.html.")],
    words: Annotated[
        str | None,
        typer.Option(help="JSON: how text is tokenised; as for the search if not given."),
    ] = None,
) -> None:
    """Measure how good retrieval is: a report, and a sample of questions to look at.

    Example: `kformer describe-retrieval --questions questions.parquet --facts facts.parquet
    --retrieval retrieval.parquet --out report`
    """
    from kformer.retrieval.quality.report import describe
    from kformer.retrieval.retrieve import settings_of_table
    from kformer.retrieval.settings import Words

    settings, report = settings_of_table(retrieval), RetrievalReport(out)
    tokenised = load(Words, words, "--words") if words else None
    name = f"describe-retrieval {settings.method}"
    with tracked_stage(name, out / "retrieval", settings.relevant_settings()) as stage:
        metrics = describe(questions, facts, retrieval, out, tokenised)
        shown = ("queries", "queries_without_facts", "gold_recall_at_5", "answer_words_surplus")
        stage.finish(metrics, {name: metrics[name] for name in shown if name in metrics})
        for file in (report.page, report.sample):
            stage.run.log_file(file)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    indexes: Indexes = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many facts.")] = 10,
    relations: Annotated[
        list[str] | None, typer.Option("--relation", help="Only facts with this one; repeatable.")
    ] = None,
) -> None:
    """Search an index from the command line.

    Without `--index`, searches the index of facts that the workflow built last.

    Example: `kformer search "tracy wants to go home" -k 5 --relation xWant`
    """
    from rich.console import Console

    from kformer.retrieval.search_command import index_of_facts, search_for, table_of_hits

    folders = indexes or index_of_facts(finished_indexes())
    with Console(stderr=True).status("searching"):
        found = search_for(query, folders, top_k, relations)
    typer.echo(f"searched {', '.join(map(str, folders))}", err=True)
    Console().print(table_of_hits(found) if found else "nothing found")


@app.command()
def control(
    kind: Annotated[
        Literal["shuffle", "random"],
        typer.Argument(help="The facts of another question, or facts drawn from all others."),
    ],
    questions: QuestionsFile,
    facts: FactsFile,
    retrieval: RetrievalFile,
    out: Out,
) -> None:
    """Make a control: each question gets facts that were not found for it.

    Example: `kformer control shuffle --questions questions.parquet --facts facts.parquet
    --retrieval retrieval.parquet --out shuffled.parquet`
    """
    from kformer.retrieval.control import make_control

    with tracked_stage(f"control {kind}", out, {"control": kind}) as stage:
        stage.finish(make_control(kind, questions, facts, retrieval, out))
