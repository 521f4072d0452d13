"""What the results of a study depend on, as files that change when it changes.

Snakemake notes what its jobs depended on, but in a folder of its own: where results were copied
without it, or two folders share them, the plans tell what was made differently.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.io.file_writing import replacing, sha256_of
from kformer.io.output_names import RunFolder
from kformer.io.training_summary import TrainingSummary
from kformer.study import paths
from kformer.study.ladders import ladders_of
from kformer.study.layout import Layout
from kformer.study.report_inputs import about_report
from kformer.study.run_lock import refuse_running
from kformer.study.stage_versions import VERSIONS

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC).timestamp()


def write_plans(study: Layout, run_lock: Path) -> None:
    """Writes the plans of all results; those that are as they were stay untouched.

    The plan of a training is newer than the finished run exactly if that was trained to another
    one: the run itself says to which.

    Raises:
        KformerError: some have changed, while a run is using the folder.
    """
    plans = {path: _as_text(plan) for path, plan in _plans(study)}
    changed = {path: plan for path, plan in plans.items() if not _holds(path, plan)}
    if changed:
        refuse_running(run_lock)
    for path, plan in changed.items():
        with replacing(path) as partial:
            partial.write_text(plan, "utf-8")
    for run in study.runs:
        if run.seed is not None and run.summary.is_file():
            _set_age(study.plan(name_of(run)), run)


def check_plans(study: Layout) -> None:
    """Raises KformerError if the plans are no longer those of a study, as what it reads in place
    has changed since they were written."""
    for path, plan in _plans(study):
        if not _holds(path, _as_text(plan)):
            raise KformerError(
                f"{path}: data or encoders have changed since the study was started; start it again"
            )


def _plans(study: Layout) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for run in study.runs:
        yield study.plan(name_of(run)), _plan_of_run(study, run)
    yield study.plan("evaluation"), {"version": VERSIONS["evaluate"]}
    sample = study.experiment.evaluation.use_of_facts_questions
    use_of_facts = {"version": VERSIONS["use_of_facts"], "questions": sample}
    yield study.plan("use_of_facts"), use_of_facts
    comparison = {
        "version": VERSIONS["compare"],
        "baseline": study.experiment.baseline,
        "runs": [str(run.path) for run in study.runs],
        "ladders": [ladder.model_dump(mode="json") for ladder in ladders_of(study.conditions)],
        "use_of_facts": sample > 0,
    }
    yield study.plan("comparison"), comparison
    about = about_report(study).model_dump(mode="json")
    yield study.plan("report"), {"version": VERSIONS["report"], "about": about}


def checked_plan_of_run(run: RunFolder, sha256: str) -> Path:
    """The plan that a run was trained to, in the study around its folder.

    Args:
        sha256: of the plan, as the run's summary says.

    Raises:
        KformerError: the folder lies in no study, or in one that was changed since.
    """
    around = run.path.resolve().parents  # its condition, runs, the study, results
    plan = paths.plan_file(around[2], name_of(run)) if len(around) > 3 else None
    if plan is None or not plan.is_file():
        raise KformerError(
            f"{run.path}: lies in no study, which would say where its facts were found; name it "
            "where the study made it"
        )
    if sha256_of(plan) != sha256:
        raise KformerError(
            f"{run.path}: was trained to another plan than {paths.from_here(plan)}, since the "
            "study was changed; start it again"
        )
    return plan


def is_of_plan(study: Layout, run: RunFolder, summary: TrainingSummary) -> bool:
    """Whether a run was trained to the plan that it has now."""
    plan = _as_text(_plan_of_run(study, run))
    return summary.plan == hashlib.sha256(plan.encode()).hexdigest()


def name_of(run: RunFolder) -> str:
    """What the plan of a run is called, and its log."""
    return f"{run.condition}-{'untrained' if run.seed is None else run.seed}"


def _plan_of_run(study: Layout, run: RunFolder) -> Mapping[str, Any]:
    if run.seed is None:
        tables = {"questions": study.questions, **study.tables_of_facts(run.condition)}
        return {"tables": _as_texts(tables), "version": VERSIONS["answer_by_retrieval"]}
    return {
        "tables": _as_texts(study.tables_of_training(run.condition)),
        "version": study.train_version(run.condition),
        "encoder": study.encoder(run.condition),
        **study.train_settings(run.condition),
    }


def _as_texts(tables: Mapping[str, Path]) -> Mapping[str, str]:
    return {name: str(path) for name, path in tables.items()}


def _as_text(plan: Mapping[str, Any]) -> str:
    return json.dumps(plan, indent=1, sort_keys=True) + "\n"


def _holds(path: Path, content: str) -> bool:
    return path.is_file() and path.read_bytes() == content.encode()


def _set_age(plan: Path, run: RunFolder) -> None:
    """Makes a plan older than a finished run of it, and newer than one of another plan."""
    try:
        is_of_plan = TrainingSummary.read(run.summary).plan == sha256_of(plan)
    except KformerError:  # damaged; whoever reads it says so
        return
    if is_of_plan:
        os.utime(plan, (_LONG_AGO, _LONG_AGO))
    elif plan.stat().st_mtime <= run.summary.stat().st_mtime:
        plan.touch()
