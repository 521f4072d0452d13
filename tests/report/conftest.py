"""A small study that was compared: four conditions on 40 questions, two seeds each."""

import numpy as np
import pytest

from kformer.evaluation.compare import compare, read_comparison
from kformer.evaluation.ladder import Ladder, Rung
from kformer.io.checksums import sealed
from kformer.io.file_writing import write_json
from kformer.io.output_names import RunFolder
from kformer.io.tables import write_table

QUESTIONS = 40
KEY = np.arange(QUESTIONS) % 4
LADDERS = [
    Ladder(
        name="kformer",
        rungs=[
            Rung(kind="retrieved", condition="kformer", controls={"shuffle": "kformer-shuffled"})
        ],
    )
]
TRAINED = {"steps": 10, "seconds_per_step": 0.2, "train_seconds": 2.0, "best_step": 10}
TRAINED |= {"train_questions": 9, "inputs_cut": 0, "parameters": 9, "added_parameters": 0}
TRAINED |= {"precision": "fp32", "device": "cpu", "version": "1", "cpu_seconds": 2.0}
TRAINED |= {"validation_accuracy": 0.5, "peak_memory_mb": 9.0}
CURVE = [{"step": 5, "loss": 1.5}, {"step": 10, "loss": 0.5, "validation_accuracy": 0.5}]


@pytest.fixture
def write_run(tmp_path):
    """Writes a run that is right on its first questions, wrong on the others."""

    def write(condition, right, seed):
        folder = RunFolder.of(tmp_path / "runs", condition, seed)
        rows = []
        for number, answer in enumerate(KEY.tolist()):
            chosen = answer if number < right else (answer + 1) % 4
            logits = [3.0 if choice == chosen else 0.0 for choice in range(4)]
            rows.append(
                {"question_id": f"q{number}", "split": "test", "answer": answer}
                | {"prediction": chosen, "tied": False, "credit": float(chosen == answer)}
                | {"inputs_cut": 0, "logits": logits, "fact_ids": [[number % 3]] * 4}
            )
        write_table(folder.predictions, "predictions", rows, {"model_checksums": ""})
        if seed is not None:
            write_json(folder.summary, sealed(TRAINED | {"seed": seed, "curve": CURVE}))
        return folder.path

    return write


@pytest.fixture
def study(tmp_path, write_run, monkeypatch):
    """The folders of the runs; their comparison and all tables lie in ``tmp_path``."""
    monkeypatch.setattr("kformer.evaluation.statistics.RESAMPLES", 2999)  # seconds matter here
    monkeypatch.setattr("kformer.evaluation.guessing.RESAMPLES", 2999)
    monkeypatch.setattr("kformer.evaluation.resampling._STUDIES", 999)

    def make(seeds=(1, 2), kformer=36, shuffled=10, none=10, ladders=LADDERS):
        right = {"none": none, "kformer": kformer}
        if ladders:
            right["kformer-shuffled"] = shuffled
        runs = [
            write_run(name, correct + seed % 2, seed)
            for name, correct in right.items()
            for seed in seeds
        ]
        runs.append(write_run("retrieval-only", 20, None))
        questions = [
            {"question_id": f"q{number}", "split": "test", "context": "<b>Some</b> context."}
            | {"question": "Which & why?", "choices": ["red", "blue", "green", "black"]}
            | {"answer": answer, "type": "odd" if number % 2 else "even", "gold_facts": None}
            for number, answer in enumerate(KEY.tolist())
        ]
        facts = [
            {"fact_id": number, "text": f"Fact <{number}>.", "relation": None}
            | {"source": "s", "origin": "o"}
            for number in range(3)
        ]
        write_table(tmp_path / "questions.parquet", "questions", questions)
        write_table(tmp_path / "facts.parquet", "facts", facts)
        compare("small", runs, "none", tmp_path, ladders, tmp_path / "questions.parquet")
        return runs

    return make


@pytest.fixture
def compared(study, tmp_path):
    """The comparison of a study, made as `study` is."""

    def make(**changes):
        study(**changes)
        return read_comparison(tmp_path / "comparison.json")

    return make
