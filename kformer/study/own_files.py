"""The files that an experiment has for itself, in words: its runs and its comparison.

Names and dependencies are those of `kformer.study.layout`.
"""

from collections.abc import Iterator
from pathlib import Path

from kformer.evaluation.ladder import have_steps
from kformer.io.output_names import RunFolder
from kformer.study import paths
from kformer.study.kept_models import drops_models
from kformer.study.ladders import ladders_of
from kformer.study.layout import Layout
from kformer.study.plans import name_of
from kformer.study.study_file import StudyFile


def own_files(study: Layout) -> Iterator[StudyFile]:
    """All of them, in the order of the stages."""
    everywhere = tuple(study.conditions)
    yield StudyFile(
        study.folder,
        f"the folder of the experiment {study.experiment.experiment}",
        everywhere,
        settings={"baseline": study.experiment.baseline, "seeds": study.experiment.seeds},
        command="snakemake",
        target=Path("all"),
    )
    for path, about in (
        (study.config, "the resolved config of the experiment"),
        (paths.saved_conditions(study.folder), "the settings of each condition"),
        (paths.saved_command(study.folder), "how Snakemake was started for the experiment"),
        (study.plan("evaluation"), "what evaluation depends on beside its inputs"),
        (
            study.plan("use_of_facts"),
            "what measuring the use of facts depends on beside its inputs",
        ),
        (study.plan("comparison"), "what the comparison depends on beside its inputs"),
        (study.plan("report"), "what the report depends on beside its inputs"),
        (study.artifacts, "what MLflow keeps as files"),
    ):
        yield StudyFile(path, about, everywhere, is_whole=path == study.artifacts)
    for run in study.runs:
        yield from _trained(study, run) if run.seed is not None else _untrained(study, run)
    yield from _comparison(study)


def _trained(study: Layout, run: RunFolder) -> Iterator[StudyFile]:
    condition, seed = run.condition, run.seed
    assert seed is not None
    tables = tuple(study.tables_of_training(condition).values())
    settings = study.train_settings(condition)
    plan = study.plan(name_of(run))
    of_run = (condition,)
    yield _plan(run, study)
    yield StudyFile(run.path, f"the run {run.title}", of_run, settings=settings, run=run)
    for path, about, is_whole in (
        (run.model, "the trained model", True),
        (run.summary, "what training measured", False),
        (study.checkpoints(condition, seed), "a training that is not finished", True),
    ):
        yield StudyFile(
            path,
            f"{about}, of the run {run.title}",
            of_run,
            stage="train",
            command="kformer train",
            target=path if path in study.outputs(run) else run.model,
            settings=settings,
            inputs=(*tables, plan),
            logs=(study.log("train", name_of(run)),),
            run=run,
            is_whole=is_whole,
        )
    yield StudyFile(
        run.predictions,
        f"the answers of the run {run.title}",
        of_run,
        stage="evaluate",
        command="kformer evaluate",
        settings=settings,
        inputs=(*tables, run.model, run.summary, study.plan("evaluation")),
        logs=(study.log("evaluate", name_of(run)),),
        run=run,
    )
    for path in study.use_of_facts(run):
        yield StudyFile(
            path,
            f"what each fact does to the answers of the run {run.title}",
            of_run,
            stage="use_of_facts",
            command="kformer use-of-facts",
            settings={"questions": study.experiment.evaluation.use_of_facts_questions},
            inputs=(*tables, run.model, run.summary, study.plan("use_of_facts")),
            logs=(study.log("use_of_facts", name_of(run)),),
            run=run,
        )


def _untrained(study: Layout, run: RunFolder) -> Iterator[StudyFile]:
    of_run = (run.condition,)
    yield _plan(run, study)
    yield StudyFile(run.path, f"the run {run.title}", of_run, run=run)
    table = study.tables_of_facts(run.condition)["retrieval"]
    yield StudyFile(
        run.predictions,
        f"the answers of the run {run.title}",
        of_run,
        stage="answer_by_retrieval",
        command="kformer answer-by-retrieval",
        inputs=(study.questions, table, study.plan(name_of(run))),
        logs=(study.log("evaluate", name_of(run)),),
        run=run,
    )


def _plan(run: RunFolder, study: Layout) -> StudyFile:
    about = f"what the run {run.title} depends on: another plan, another run"
    return StudyFile(study.plan(name_of(run)), about, (run.condition,), run=run)


def _comparison(study: Layout) -> Iterator[StudyFile]:
    report = study.comparison
    files = [
        (report.numbers, "how the conditions compare, in numbers"),
        (report.page, "how the conditions compare, as a page"),
        (report.svg, "the accuracy of each condition, as a figure"),
        (report.png, "the accuracy of each condition, as a figure"),
    ]
    if have_steps(ladders_of(study.conditions)):
        about = "the accuracy of each method by the facts that it reads, as a figure"
        files += [(report.ladder_svg, about), (report.ladder_png, about)]
    outputs = [path for run in study.runs for path in study.outputs(run) if path != run.model]
    inputs = (*outputs, study.questions, study.plan("comparison"))
    for path, about in files:
        yield StudyFile(
            path,
            about,
            tuple(study.conditions),
            stage="compare",
            command="kformer compare",
            settings={"baseline": study.experiment.baseline, "seeds": study.experiment.seeds},
            inputs=inputs,
            logs=(study.log("compare", "all"),),
        )
    yield StudyFile(
        report.provenance,
        "what the numbers were made from, and with what",
        tuple(study.conditions),
        command="kformer provenance",
        inputs=inputs,
        logs=(study.log("compare", "all"),),
    )
    for path, about in (
        (report.report, "all results on one page"),
        (report.tables, "the tables of the report, as files"),
    ):
        yield StudyFile(
            path,
            about,
            tuple(study.conditions),
            stage="report",
            command="kformer report",
            inputs=(*outputs, report.numbers, report.provenance, study.plan("report")),
            logs=(study.log("report", "all"),),
            is_whole=path == report.tables,
        )
    if drops_models(study):
        yield StudyFile(
            paths.kept_models(study.folder),
            "which trained models were kept",
            tuple(study.conditions),
            command="kformer drop-models",
            settings={name: each.training.keep_models for name, each in study.conditions.items()},
            inputs=(report.numbers,),
            logs=(study.log("drop_models", "all"),),
        )
