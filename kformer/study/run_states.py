"""How far the runs of an experiment are, as their folders tell."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kformer.errors import KformerError
from kformer.io.output_names import RunFolder
from kformer.io.tables import provenance
from kformer.io.training_summary import TrainingSummary, has_model
from kformer.study.layout import Layout
from kformer.study.plans import is_of_plan
from kformer.training.checkpoints import newest_step

Stage = Literal[
    "evaluated", "trained", "unfinished", "outdated", "damaged", "not started", "former"
]


@dataclass(frozen=True)
class RunState:
    """How far a run is."""

    stage: Stage
    words: str


def state_of(study: Layout, run: RunFolder) -> RunState:
    """How far a run is; one that the config has no more is a former one."""
    if run not in study.runs:
        return RunState("former", "no longer in the config")
    if run.seed is None:
        stage: Stage = "evaluated" if run.predictions.is_file() else "not started"
        return RunState(stage, stage)
    if not run.summary.is_file() or not run.model.is_dir():
        return _unfinished(study.checkpoints(run.condition, run.seed))
    try:
        summary = TrainingSummary.read(run.summary)
        if not is_of_plan(study, run, summary):
            return RunState("outdated", "made to an older plan: it will be trained again")
        is_evaluated = run.predictions.is_file() and (
            provenance(run.predictions, "predictions").get("model_checksums")
            == summary.model_checksums
        )
    except KformerError:
        return RunState("damaged", "damaged")
    if is_evaluated:
        return RunState("evaluated", "evaluated" if has_model(run) else "evaluated, no model kept")
    return RunState("trained", "trained, not evaluated")


def _unfinished(checkpoints: Path) -> RunState:
    step = newest_step(checkpoints)
    if step is None:
        return RunState("not started", "not started")
    return RunState("unfinished", f"unfinished, at step {step:,}")
