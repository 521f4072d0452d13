"""Results of a study as they lie on the disk, without any work done for them."""

import copy
from pathlib import Path

from kformer.io.file_writing import sha256_of
from kformer.io.output_names import RunFolder
from kformer.io.tables import write_table
from kformer.io.training_summary import TrainingSummary
from kformer.study import paths
from kformer.study.experiment import load_experiment
from kformer.study.inventory import inventory
from kformer.study.layout import Layout
from kformer.study.plans import name_of, write_plans
from kformer.study.saved_study import StudyCommand, save_study

from .conftest import STUDY

FFN = {"model": {"injection": "ffn"}}
CONFIG = {
    **STUDY,
    "model": {"encoder": "somebody/tiny"},  # of a hub, so that nothing is read
    "conditions": {
        "none": {},
        "ffn": FFN,
        "shuffled": FFN | {"retrieval": {"control": "shuffle"}},
        "untrained": {"answer_by": "retrieval", "retrieval": {"query": "choice"}},
    },
}
TRAINED = {
    "seed": 1,
    "steps": 3,
    "seconds_per_step": 0.1,
    "train_seconds": 1.0,
    "validation_accuracy": 0.5,
    "best_step": 3,
    "train_questions": 5,
    "inputs_cut": 0,
    "parameters": 10,
    "added_parameters": 0,
    "peak_memory_mb": None,
    "precision": "fp32",
    "device": "cpu",
    "version": "4",
    "encoder": "bundled/all-MiniLM-L6-v2",
    "encoder_weights": "e" * 64,
    "model_checksums": "m" * 64,
}


def study_of(name="study", **changes) -> Layout:
    return Layout(load_experiment({**copy.deepcopy(CONFIG), **changes, "experiment": name}))


def finished(name="study", **changes) -> Layout:
    """A study of which all files are there, of some content, in the working directory."""
    study = study_of(name, **changes)
    write_plans(study, paths.RUN_LOCK)
    command = StudyCommand.of(str(Path.cwd()), ["config.yaml"], [])
    save_study(study, command)
    of_run = ("model", "summary", "predictions", "path")
    runs = {getattr(run, name) for run in study.runs for name in of_run}
    for file in inventory(study):
        unfinished = "checkpoints" in file.path.parts
        if file.is_yours or file.path in runs or file.path.exists() or unfinished:
            continue
        inside = file.path / "content" if file.is_whole else file.path
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text("content")
    for run in study.runs:
        finish(study, run)
    return study


def finish(study: Layout, run: RunFolder, right: int = 3, **changes) -> None:
    """Makes a run that answers so many of four questions right."""
    if run.seed is not None:
        run.model.mkdir(parents=True, exist_ok=True)
        (run.model / "weights").write_text("content")
        plan = sha256_of(study.plan(name_of(run)))
        TrainingSummary(**TRAINED | {"plan": plan} | changes).write(run.summary)
    common = {"split": "test", "answer": 0, "logits": [0.0, 1.0], "tied": False}
    common |= {"fact_ids": [[], []], "inputs_cut": 0}
    rows = [
        {"question_id": f"q{i}", "prediction": int(i >= right), "credit": float(i < right)} | common
        for i in range(4)
    ]
    made_of = {"model_checksums": TRAINED["model_checksums"]}
    write_table(run.predictions, "predictions", rows, made_of)


def tree() -> set[str]:
    """All files under results/, but for locks."""
    return {str(path) for path in paths.RESULTS.rglob("*") if path.is_file()} - {
        "results/.lock",
        "results/.jobs",
        "results/.checksums.json",
    }
