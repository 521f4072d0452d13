"""Commands on runs: train, evaluate, compare."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kformer.cli.options import (
    Content,
    FactTokens,
    MaybeRetrieval,
    MaybeStates,
    Out,
    QuestionsFile,
    QuestionTokens,
    RetrievalFile,
    Settings,
    check_encoder_content,
    keep_input,
    load,
    tables_of_knowledge,
)
from kformer.cli.stage import data_sets, tracked_stage, tracked_training
from kformer.io.file_writing import sha256_of
from kformer.io.output_names import ComparisonReport, RunFolder
from kformer.study.stage_versions import train_version
from kformer.tracking import DataSet, Resume
from kformer.training.interruption import Interruption

app = typer.Typer()


@app.command()
def states(
    question_tokens: QuestionTokens,
    out: Out,
    settings: Settings,
    fact_tokens: FactTokens = None,
    retrieval: MaybeRetrieval = None,
    content: Content = None,
) -> None:
    """Compute once what the frozen layers of an encoder make of each input.

    `--out` is a folder. Runs with the same encoder, inputs and frozen layers share it, whatever
    they inject above these; facts are read only where they are a part of the input.

    Example: `kformer states --question-tokens questions.arrow --out states
    --settings '{"model": {"injection": "ffn"}, "training": {"encoder_layers": 3}}'`
    """
    from kformer.training.compute_states import compute_states
    from kformer.training.settings import TrainSettings

    section = load(TrainSettings, settings)
    check_encoder_content(section.model.encoder, content)
    tables = tables_of_knowledge(fact_tokens, retrieval)
    with tracked_stage("states", out, section.model_dump(mode="json")) as stage:
        stage.finish(compute_states(section, question_tokens, tables, out))


@app.command()
def train(
    question_tokens: QuestionTokens,
    out: Annotated[Path, typer.Option(help="The run's folder, …/CONDITION/seed-SEED.")],
    checkpoints: Annotated[Path, typer.Option(help="Where unfinished training is kept.")],
    settings: Settings,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of initialisation, dropout and order.")
    ],
    fact_tokens: FactTokens = None,
    retrieval: MaybeRetrieval = None,
    states: MaybeStates = None,
    content: Content = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="A file of what the run depends on; its checksum is noted with it."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Try everything for seconds and say what it takes."),
    ] = False,
) -> None:
    """Train one condition with one seed; a killed training is resumed.

    SIGTERM or SIGUSR1 ends it with a checkpoint and status 75: the same command goes on.

    Example: `kformer train --question-tokens questions.arrow --fact-tokens facts.arrow
    --retrieval retrieval.parquet --out runs/kformer/seed-1 --checkpoints runs/unfinished
    --seed 1 --settings '{"model": {"injection": "ffn"}, "training": {"epochs": 3}}'`
    """
    with Interruption() as interruption:  # before the imports, which take seconds
        from kformer.training.run import train as train_run
        from kformer.training.run import training_lock
        from kformer.training.settings import TrainSettings

        planned = sha256_of(plan) if plan else ""  # as it is now: the next run may change it
        section = load(TrainSettings, settings)
        check_encoder_content(section.model.encoder, content)
        tables = tables_of_knowledge(fact_tokens, retrieval)
        if dry_run:
            from kformer.training.dry_run import dry_run as try_out

            for line in try_out(section, seed, question_tokens, tables, checkpoints, states):
                typer.echo(line)
            return
        version = train_version(section.model.injection)
        # A killed run is resumed in MLflow only if it would come to the same numbers.
        read = _read_by(question_tokens, tables)
        inputs = [each.digest for each in read]
        numbers = {"version": version, "inputs": inputs, "encoder_content": content}
        logged = {"seed": seed, **section.model_dump(mode="json"), **numbers}
        run = RunFolder(out)
        # First the lock: the run in MLflow, too, is that of one process.
        with training_lock(out, checkpoints) as lock:
            is_known = checkpoints.exists() or run.finished.path.exists()
            resume: Resume = "same settings" if is_known else "unfinished"
            with tracked_training("train", run, logged, resume) as stage:
                stage.run.log_inputs(read, "train")
                stage.finish(
                    train_run(
                        section,
                        seed,
                        question_tokens,
                        tables,
                        out,
                        checkpoints,
                        lock,
                        stage.run,
                        version,
                        planned,
                        interruption,
                        states,
                    )
                )


@app.command()
def evaluate(
    run: Annotated[Path, typer.Option(help="The run's folder, as `train` wrote it.")],
    question_tokens: QuestionTokens,
    out: Out,
    fact_tokens: FactTokens = None,
    retrieval: MaybeRetrieval = None,
    states: MaybeStates = None,
) -> None:
    """Answer the test questions with a trained model.

    Example: `kformer evaluate --run runs/kformer/seed-1 --question-tokens questions.arrow
    --fact-tokens facts.arrow --retrieval retrieval.parquet --out predictions.parquet`
    """
    from kformer.evaluation.predict import predict

    tables = tables_of_knowledge(fact_tokens, retrieval)
    with tracked_training("evaluate", RunFolder(run), {}) as stage:
        stage.finish(predict(run, question_tokens, tables, out, states))
        stage.run.log_inputs(_read_by(question_tokens, tables), "evaluate")


@app.command()
def answer_by_retrieval(questions: QuestionsFile, retrieval: RetrievalFile, out: Out) -> None:
    """Answer the test questions without training: the choice whose query scored best.

    Example: `kformer answer-by-retrieval --questions questions.parquet
    --retrieval retrieval.parquet --out runs/retrieval/untrained/predictions.parquet`
    """
    from kformer.evaluation import retrieval_only

    run = RunFolder(out.parent)
    with tracked_training("evaluate", run, {"answer_by": "retrieval"}) as stage:
        stage.finish(retrieval_only.answer_by_retrieval(questions, retrieval, out))
        read = data_sets({"questions": questions, "retrieval": retrieval})
        stage.run.log_inputs(read, "evaluate")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, …/CONDITION/seed-SEED.")],
    experiment: Annotated[str, typer.Option(help="The experiment's name.")],
    baseline: Annotated[str, typer.Option(help="The condition to compare with.")],
    out: Annotated[Path, typer.Option(help="Folder for comparison.json, .md and figures.")],
    ladders: Annotated[
        str, typer.Option(help="JSON: which conditions are one method on other facts.")
    ] = "[]",
    questions: Annotated[
        Path | None,
        typer.Option(help="The questions table: also compare by type.", callback=keep_input),
    ] = None,
    use_of_facts: Annotated[
        bool, typer.Option(help="Also compare what `kformer use-of-facts` measured.")
    ] = True,
) -> None:
    """Compare all runs of an experiment with its baseline, question by question.

    `--ladders` also compares conditions with their controls and with gold facts, such as
    `[{"name": "kformer", "rungs": [{"kind": "gold", "condition": "kformer-gold"},
    {"kind": "retrieved", "condition": "kformer", "controls": {"shuffle": "kformer-shuffled"}}]}]`.

    Example: `kformer compare runs/*/* --experiment mine --baseline none --out results/mine`
    """
    from kformer.evaluation import compare as comparing
    from kformer.evaluation.ladder import Ladder

    of_methods = load(list[Ladder], ladders, "--ladders")
    with tracked_stage("compare", out / "comparison", {"baseline": baseline}) as stage:
        compared = comparing.compare(
            experiment, runs, baseline, out, of_methods, questions, use_of_facts
        )
        stage.finish(compared)
        for file in ComparisonReport(out).files:
            if file.is_file():
                stage.run.log_file(file)


@app.command()
def show(
    comparison: Annotated[Path, typer.Argument(help="A comparison.json, or its folder.")],
) -> None:
    """Print a finished comparison as tables.

    Example: `kformer show results/demo/comparison.json`
    """
    from rich.console import Console

    from kformer.evaluation.compare import read_comparison
    from kformer.evaluation.report import render_tables

    numbers = ComparisonReport(comparison).numbers if comparison.is_dir() else comparison
    console = Console()
    for table in render_tables(read_comparison(numbers), plain=console.options.ascii_only):
        console.print(table, "")


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

    from kformer.modeling.import_fairseq import import_checkpoint

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


def _read_by(question_tokens: Path, tables: tuple[Path, Path] | None) -> list[DataSet]:
    """What training and evaluation read."""
    knowledge = zip(("fact_tokens", "retrieval"), tables or (), strict=False)
    return data_sets({"question_tokens": question_tokens, **dict(knowledge)})
