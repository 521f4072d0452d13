"""The command line: one sub-command a stage.

Only this file joins stages, tracking and the user: it opens the MLflow run of a stage, hands the
stage its files, and turns an error that the user can mend into one line and exit status 1.
Everything heavy is imported inside the commands, so that light ones start fast.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel

from kformer.errors import KformerError
from kformer.tracking import TrackedRun, tracked

app = typer.Typer(
    help="Does knowledge injected into a Transformer's feed-forward layers help? "
    "Each command is one stage of the study; `snakemake --cores all all` runs them all.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _apart(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """Refuses to write over what is read; called for each such option, in the user's order."""
    seen = ctx.meta.setdefault("kformer.paths", {})
    seen[param.name] = value if isinstance(value, list | tuple) else [value]
    out = {path.resolve() for path in seen.get("out", []) if path}
    for name, paths in seen.items():
        if name != "out" and any(path and path.resolve() in out for path in paths):
            raise KformerError(f"--out: {seen['out'][0]} is what is read; name another file")
    return value


Settings = Annotated[str, typer.Option(help="The stage's part of the config, as JSON.")]
SourceSettings = Annotated[
    str,
    typer.Option(
        "--settings",
        help="JSON: the sources that the experiment needs, and what is other than in the "
        'catalogue, such as `{"social_iqa": {}, "atomic": {"url": "my_atomic.tgz"}}`.',
    ),
]
Downloads = Annotated[
    Path, typer.Option(envvar="KFORMER_DOWNLOADS", help="Where archives are kept.")
]
Lock = Annotated[
    Path,
    typer.Option(help="Checksums of files whose owners publish none; keep it with the config."),
]
Out = Annotated[Path, typer.Option(help="What to write.", callback=_apart)]
QuestionsFile = Annotated[Path, typer.Option(help="The questions table.", callback=_apart)]
FactsFile = Annotated[Path, typer.Option(help="The facts table.", callback=_apart)]
RetrievalFile = Annotated[Path, typer.Option(help="The retrieval table.", callback=_apart)]
ShardOption = Annotated[str, typer.Option(help="Which part of how many, such as 2/7.")]
Indexes = Annotated[
    list[Path] | None,
    typer.Option("--index", help="Folder of an index; once for each shard and kind."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="How many work at once; without this, one a core.")
]
MaybeFacts = Annotated[
    Path | None, typer.Option(help="The facts table, if facts are read.", callback=_apart)
]
MaybeRetrieval = Annotated[
    Path | None, typer.Option(help="The retrieval table, if facts are read.", callback=_apart)
]


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A source, such as `social_iqa`.")],
    out: Out,
    settings: SourceSettings = "{}",
    downloads: Downloads = Path("resources/downloads"),
    lock: Lock = Path("sources.lock.json"),
) -> None:
    """Download a source, verify its sha256, and unpack it.

    Example: `kformer fetch social_iqa --out resources/social_iqa`
    """
    from kformer.sources.catalogue import SourceOverride, resolve
    from kformer.sources.fetch import fetch_source

    overrides = _load_section(dict[str, SourceOverride], settings)
    source = resolve(name, overrides)
    needed = [resolve(each, overrides) for each in overrides]
    with _stage(f"fetch {name}", _beside(out), source.model_dump()) as stage:
        stage.finish(fetch_source(source, downloads, lock, out, needed))


@app.command()
def sources(
    names: Annotated[
        list[str] | None, typer.Argument(help="Sources to list; all, if none is named.")
    ] = None,
    settings: SourceSettings = "{}",
    downloads: Downloads = Path("resources/downloads"),
    lock: Lock = Path("sources.lock.json"),
) -> None:
    """List sources: what is here, where from, how big, under what licence; verify what is here.

    The exit status is 1 if a file is damaged.

    Example: `kformer sources atomic conceptnet`
    """
    from rich.console import Console

    from kformer.sources.catalogue import CATALOGUE, SourceOverride, resolve
    from kformer.sources.listing import inspect, lines

    overrides = _load_section(dict[str, SourceOverride], settings)
    files = []
    with Console(stderr=True).status("verifying") as status:
        for name in names or sorted({*CATALOGUE, *overrides}):
            status.update(f"verifying {name}")
            files.append(inspect(resolve(name, overrides), downloads, lock))
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

    world = _load_section(DemoWorld, settings)
    with _stage("demo-world", _beside(out), world.model_dump()) as stage:
        stage.finish(write_world(world, out))


@app.command()
def questions(
    place: Annotated[
        Path, typer.Option("--input", help="Folder or file with the data set.", callback=_apart)
    ],
    out: Out,
    settings: Settings,
) -> None:
    """Turn a data set into the questions table.

    Example: `kformer questions --input resources/social_iqa --out questions.parquet
    --settings '{"dataset": "social_iqa"}'`
    """
    from kformer.questions import QuestionSource
    from kformer.questions.build import build_questions

    reader = _load_section(QuestionSource, settings)
    with _stage(f"questions {reader.dataset}", _beside(out), reader.model_dump()) as stage:
        stage.finish(build_questions(reader, place, out))


@app.command()
def facts(
    places: Annotated[
        list[Path],
        typer.Option(
            "--input", help="Folder or file of each source, in their order.", callback=_apart
        ),
    ],
    out: Out,
    settings: Settings,
) -> None:
    """Turn knowledge sources into the facts table.

    Example: `kformer facts --input resources/atomic --input my_books --out facts.parquet
    --settings '["atomic", {"source": "txt", "path": "my_books"}]'`
    """
    from kformer.knowledge import KnowledgeSource
    from kformer.knowledge.build import build_facts

    readers = _load_section(list[KnowledgeSource], settings)
    if len(places) != len(readers):
        raise KformerError(
            f"--input: {len(places)} given for {len(readers)} sources in --settings; "
            "give one for each, in their order"
        )
    plain = {"knowledge": [reader.model_dump() for reader in readers]}
    labels = "+".join(reader.label for reader in readers)
    with _stage(f"facts {labels}", _beside(out), plain) as stage:
        stage.finish(build_facts(readers, places, out))


@app.command()
def events(facts: FactsFile, out: Out) -> None:
    """List the events that facts are about, as a table to be indexed like facts.

    An event is what facts of the same origin are about, such as "PersonX pays the bill" in ATOMIC.

    Example: `kformer events --facts facts.parquet --out events.parquet`
    """
    from kformer.retrieval.stages import list_events

    with _stage("events", _beside(out), {}) as stage:
        stage.finish(list_events(facts, out))


@app.command()
def count_words(
    facts: FactsFile, out: Out, settings: Settings = "{}", shard: ShardOption = "1/1"
) -> None:
    """Count the words of a shard of facts, so that its index scores as an index of all would.

    Example: `kformer count-words --facts facts.parquet --shard 1/4 --out counts/1.json`
    """
    from kformer.retrieval.index import Shard
    from kformer.retrieval.index import count_words as count
    from kformer.retrieval.settings import Retrieval

    section = _load_section(Retrieval, settings)
    counted = count(section, facts, Shard.parse(shard), out)
    typer.echo(_announced("count-words", counted), err=True)


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
) -> None:
    """Index facts, or events, so that they can be searched.

    Settings are those of retrieval, as in the config.

    Example: `kformer index words --facts facts.parquet --out index`
    """
    from kformer.retrieval.index import Shard, index_embeddings, index_words
    from kformer.retrieval.settings import Retrieval

    section, part = _load_section(Retrieval, settings), Shard.parse(shard)
    if counts and kind != "words":
        raise KformerError("--counts: an index of embeddings needs none; leave it out")
    with _stage(f"index {kind} {part}", _beside(out), section.index_settings(kind)) as stage:
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
    from kformer.retrieval import stages
    from kformer.retrieval.index import Shard
    from kformer.retrieval.settings import Retrieval

    section, part = _load_section(Retrieval, settings), Shard.parse(shard)
    name = f"retrieve {section.method} {part}"
    with _stage(name, _beside(out), section.relevant_settings()) as stage:
        found = stages.retrieve(
            section, questions, facts, indexes or [], out, part, threads or _cores()
        )
        stage.finish(found)


@app.command()
def gather(
    parts: Annotated[
        list[Path], typer.Argument(help="What `retrieve` wrote, in order.", callback=_apart)
    ],
    questions: QuestionsFile,
    out: Out,
) -> None:
    """Put together what was retrieved for the shards of the questions.

    Example: `kformer gather 1.parquet 2.parquet --questions questions.parquet
    --out retrieval.parquet`
    """
    from kformer.retrieval.stages import gather as put_together

    typer.echo(_announced("gather", put_together(questions, parts, out)), err=True)


@app.command()
def describe_retrieval(
    questions: QuestionsFile,
    facts: FactsFile,
    retrieval: RetrievalFile,
    out: Annotated[Path, typer.Option(help="Folder for retrieval.md, .json and sample.html.")],
    words: Annotated[
        str | None,
        typer.Option(help="JSON: how text is taken apart; without this, as it was for the search."),
    ] = None,
) -> None:
    """Measure how good retrieval is: a report, and a sample of questions to look at.

    Example: `kformer describe-retrieval --questions questions.parquet --facts facts.parquet
    --retrieval retrieval.parquet --out report`
    """
    from kformer.retrieval.quality.report import describe
    from kformer.retrieval.settings import Words
    from kformer.retrieval.stages import settings_behind

    section, memory = settings_behind(retrieval), _beside(out / "retrieval")
    split_by = _load_section(Words, words, "--words") if words else None
    with _stage(
        f"describe-retrieval {section.method}", memory, section.relevant_settings()
    ) as stage:
        metrics = describe(questions, facts, retrieval, out, split_by)
        told = ("queries", "queries_without_facts", "gold_recall_at_5", "answer_words_surplus")
        stage.finish(metrics, {name: metrics[name] for name in told if name in metrics})
        for name in ("retrieval.md", "sample.html"):
            stage.run.log_file(out / name)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    indexes: Indexes = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many facts.")] = 10,
    relations: Annotated[
        list[str] | None, typer.Option("--relation", help="Only facts with this one; repeatable.")
    ] = None,
) -> None:
    """Ask an index from the command line.

    Without `--index`, asks the index of facts that was built last in `results/shared/index`.

    Example: `kformer search "tracy wants to go home" -k 5 --relation xWant`
    """
    from rich.console import Console

    from kformer.retrieval.searchers import newest_index, search_for, table_of_hits

    folders = indexes or newest_index(Path("results/shared/index"))
    with Console(stderr=True).status("searching"):
        found = search_for(query, folders, top_k, relations)
    typer.echo(f"asked {', '.join(map(str, folders))}", err=True)
    Console().print(table_of_hits(found) if found else "nothing found")


@app.command()
def shuffle(questions: QuestionsFile, retrieval: RetrievalFile, out: Out) -> None:
    """Make the control: each question gets the facts of another question of its split.

    Example: `kformer shuffle --questions questions.parquet --retrieval retrieval.parquet
    --out shuffled.parquet`
    """
    from kformer.retrieval import shuffle as control

    with _stage("shuffle", _beside(out), {"control": "shuffle"}) as stage:
        stage.finish(control.shuffle(questions, retrieval, out))


@app.command()
def train(
    questions: QuestionsFile,
    out: Annotated[Path, typer.Option(help="The run's folder, …/<condition>/seed-<seed>.")],
    checkpoints: Annotated[Path, typer.Option(help="Where unfinished training is kept.")],
    settings: Settings,
    seed: Annotated[int, typer.Option(help="Of initialisation, dropout and order.")],
    facts: MaybeFacts = None,
    retrieval: MaybeRetrieval = None,
) -> None:
    """Train one condition with one seed; go on where a killed run stopped.

    Example: `kformer train --questions questions.parquet --facts facts.parquet
    --retrieval retrieval.parquet --out runs/kformer/seed-1 --checkpoints runs/unfinished
    --seed 1 --settings '{"model": {"injection": "ffn"}, "training": {"epochs": 3}}'`
    """
    from kformer.training import run as training
    from kformer.training.settings import TrainSettings

    section = _load_section(TrainSettings, settings)
    plain = {"seed": seed, **section.model_dump()}
    with _run_stage("train", out, plain) as stage:
        stage.finish(
            training.train(
                section, seed, questions, _both(facts, retrieval), out, checkpoints, stage.run.log
            )
        )


@app.command()
def evaluate(
    run: Annotated[Path, typer.Option(help="The run's folder, as `train` wrote it.")],
    questions: QuestionsFile,
    out: Out,
    facts: MaybeFacts = None,
    retrieval: MaybeRetrieval = None,
) -> None:
    """Answer the test questions with a trained model.

    Example: `kformer evaluate --run runs/kformer/seed-1 --questions questions.parquet
    --facts facts.parquet --retrieval retrieval.parquet --out predictions.parquet`
    """
    from kformer.evaluation.predict import predict

    with _run_stage("evaluate", run, {}) as stage:
        stage.finish(predict(run, questions, _both(facts, retrieval), out))


@app.command()
def answer_by_retrieval(questions: QuestionsFile, retrieval: RetrievalFile, out: Out) -> None:
    """Answer the test questions without training: the choice whose query scored best."""
    from kformer.evaluation import retrieval_only

    with _run_stage("evaluate", out.parent, {"answer_by": "retrieval"}) as stage:
        stage.finish(retrieval_only.answer_by_retrieval(questions, retrieval, out))


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, …/<condition>/seed-<seed>.")],
    experiment: Annotated[str, typer.Option(help="The experiment's name.")],
    baseline: Annotated[str, typer.Option(help="The condition to compare with.")],
    out: Annotated[Path, typer.Option(help="Folder for comparison.json, .md and figures.")],
) -> None:
    """Compare all runs of an experiment with its baseline, question by question.

    Example: `kformer compare runs/*/* --experiment mine --baseline none --out results/mine`
    """
    from kformer.evaluation import compare as comparing

    with _stage("compare", _beside(out / "comparison"), {"baseline": baseline}) as stage:
        stage.finish(comparing.compare(experiment, runs, baseline, out))
        for name in ("comparison.json", "comparison.md", "accuracy.png", "accuracy.svg"):
            stage.run.log_file(out / name)


@app.command()
def show(
    comparison: Annotated[Path, typer.Argument(help="A comparison.json.")],
) -> None:
    """Print a finished comparison as a table.

    Example: `kformer show results/demo/comparison.json`
    """
    from rich.console import Console

    from kformer.evaluation.compare import read_comparison
    from kformer.evaluation.report import render_table

    Console().print(render_table(read_comparison(comparison)))


@app.command()
def import_fairseq(
    checkpoint: Annotated[Path, typer.Argument(help="A released `checkpoint_best.pt`.")],
    out: Annotated[Path, typer.Argument(help="The folder to write, empty or not there yet.")],
    injection: Annotated[
        Literal["ffn", "attention", "none"], typer.Option(help="How its facts go in.")
    ] = "ffn",
    tokenizer: Annotated[
        str | None, typer.Option(help="Hugging Face id or folder of its tokenizer.")
    ] = None,
) -> None:
    """Turn a checkpoint of the released Kformer (fairseq) into a Hugging Face folder.

    Nothing in the checkpoint is run; what is not part of the format is refused.

    Example: `kformer import-fairseq checkpoint_best.pt kformer-social-iqa
    --tokenizer roberta-base`
    """
    from transformers.utils import logging

    from kformer.modeling.fairseq import import_checkpoint

    logging.disable_progress_bar()
    model = import_checkpoint(checkpoint, out, injection, tokenizer)
    start, end = model.config.injection_layers
    depth = model.config.encoder.num_hidden_layers
    typer.echo(
        f"{out}: {model.num_parameters():,} parameters, {depth} layers, "
        + (f"facts into [{start}, {end})" if injection != "none" else "no facts")
        + ("" if tokenizer else "; no tokenizer is in it, --tokenizer puts one there"),
        err=True,
    )


@app.command()
def prepare_tracking(
    artifacts: Annotated[Path, typer.Option(help="Where artifacts go.")],
) -> None:
    """Create the MLflow store and experiment, before parallel jobs open them.

    Both are read from the environment: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME.
    """
    from kformer.tracking import prepare_store

    try:
        uri, name = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_EXPERIMENT_NAME"]
    except KeyError as error:
        raise KformerError(f"{error.args[0]}: set this environment variable") from None
    prepare_store(uri, name, artifacts)


@app.command()
def check(
    place: Annotated[
        Path, typer.Argument(help="A file, compressed or not, or a folder.", metavar="FILE")
    ],
    kind: Annotated[
        Literal["questions", "facts"] | None,
        typer.Option("--as", help="What it holds; without this, seen from the file."),
    ] = None,
) -> None:
    """Check questions or facts of your own: lists all problems, and says how much is fine.

    The exit status is 1 if there are any.

    Example: `kformer check my_questions.csv`
    """
    from kformer.check import check as check_data
    from kformer.check import summary

    report = check_data(place, kind, typer.echo)
    typer.echo(f"{place}: {summary(report)}")
    if report.problems or not report.fine:
        raise typer.Exit(1)


@app.command()
def schema(
    of: Annotated[
        Literal["config", "question", "fact"], typer.Argument(help="Of what.", metavar="WHAT")
    ] = "config",
) -> None:
    """Print a JSON schema: of the config, or of a line of your own questions or facts.

    Example: `kformer schema question > workflow/schemas/question.schema.json`
    """
    from kformer.knowledge.user_files import FactRow
    from kformer.questions.user_files import QuestionRow
    from kformer.study.experiment import Experiment

    models: dict[str, type[BaseModel]] = {
        "config": Experiment,
        "question": QuestionRow,
        "fact": FactRow,
    }
    typer.echo(json.dumps(models[of].model_json_schema(), indent=2, ensure_ascii=False))


def _load_section(kind: Any, text: str, option: str = "--settings") -> Any:
    from kformer.section import load_section  # slow to import, and `search` does not need it

    return load_section(kind, text, option)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass
class _Stage:
    """One stage at work: its MLflow run, and how its result is announced."""

    name: str
    run: TrackedRun
    began: float

    def finish(self, summary: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> None:
        """Logs what came out, and tells it, or ``told`` where it is too much for a line."""
        seconds = time.monotonic() - self.began
        key = f"{self.name.split()[0].replace('-', '_')}_stage_seconds"
        self.run.log_summary({**summary, key: seconds})
        typer.echo(f"{_announced(self.name, told or summary)} ({seconds:.1f} s)", err=True)


@contextmanager
def _stage(name: str, memory: Path, settings: Mapping[str, Any]) -> Iterator[_Stage]:
    tags = {"stage": name.split()[0]}
    with tracked(name, memory, settings, tags) as run:
        yield _Stage(name, run, time.monotonic())


@contextmanager
def _run_stage(name: str, folder: Path, settings: Mapping[str, Any]) -> Iterator[_Stage]:
    """Training or evaluation: both are in the one MLflow run of their condition and seed."""
    condition, seed = folder.resolve().parts[-2:]
    tags = {"stage": "run", "condition": condition, "seed": seed.removeprefix("seed-")}
    title = f"{condition} {seed}"
    goes_on = name == "evaluate"
    with tracked(title, folder / ".mlflow_run.json", settings, tags, goes_on) as run:
        yield _Stage(f"{name} {title}", run, time.monotonic())


def _beside(out: Path) -> Path:
    if not out.name:
        raise KformerError(f"--out: {out} is no new file or folder; give it a name")
    return out.with_name(f".{out.name}.mlflow_run.json")


def _both(facts: Path | None, retrieval: Path | None) -> tuple[Path, Path] | None:
    if facts and retrieval:
        return facts, retrieval
    if facts or retrieval:
        raise KformerError("--facts and --retrieval: give both or neither")
    return None


def _announced(name: str, summary: Mapping[str, Any]) -> str:
    return f"{name}: " + ", ".join(f"{key} {_short(value)}" for key, value in summary.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Runs the command line; a mistake that the user can mend is one line and exit status 1."""
    try:
        app()
    except KformerError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"error: {error.filename}: {error.strerror}; mend that or name another place")


if __name__ == "__main__":
    main()
