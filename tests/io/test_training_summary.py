"""The summary of a training: what is written is read again, and damage is one line."""

import json

import pytest

from kformer.errors import KformerError
from kformer.io.checksums import sealed
from kformer.io.file_writing import write_json
from kformer.io.training_summary import TrainingSummary

CONTENT = {
    "seed": 1,
    "steps": 8,
    "seconds_per_step": 0.25,
    "train_seconds": 2.0,
    "cpu_seconds": 3.5,
    "threads": 2,
    "questions_per_second": 64.0,
    "tokens_per_second": 9000.0,
    "padding_share": 0.125,
    "tokens_per_pass": None,
    "skipped_batches": 0,
    "validation_accuracy": 0.5,
    "best_step": 4,
    "train_questions": 48,
    "inputs_cut": 0,
    "parameters": 1000,
    "added_parameters": 10,
    "trained_parameters": 600,
    "peak_memory_mb": 512.5,
    "precision": "bf16",
    "device": "cpu",
    "version": "1 outside 1.0 0123456789",
    "identity": "abc",
    "encoder": "tiny",
    "encoder_weights": "ghi",
    "states": "mno",
    "model_checksums": "def",
    "plan": "jkl",
    "curve": [
        {"step": 4, "loss": 1.5, "validation_loss": 1.25, "validation_accuracy": 0.5},
        {"step": 8, "loss": 1.0, "validation_loss": None, "validation_accuracy": None},
    ],
}


def test_what_is_written_is_read(tmp_path):
    summary = TrainingSummary(**CONTENT)
    summary.write(tmp_path / "training.json")
    written = json.loads((tmp_path / "training.json").read_text())
    assert written.pop("checksum")
    assert written == CONTENT
    assert TrainingSummary.read(tmp_path / "training.json") == summary
    assert summary.stage_version == "1"


def test_what_is_tracked_has_no_name_of_a_curve():
    """`validation_accuracy` is logged while training, at its steps."""
    measured = TrainingSummary(**CONTENT).measured
    assert measured["best_validation_accuracy"] == 0.5 and "validation_accuracy" not in measured
    assert measured["questions_per_second"] == 64.0 and "identity" not in measured


@pytest.mark.parametrize("undefined", ["nan", "-inf"])
def test_an_undefined_number_is_one_that_was_not_measured(undefined, tmp_path):
    TrainingSummary(**CONTENT | {"validation_accuracy": float(undefined)}).write(
        tmp_path / "t.json"
    )
    assert TrainingSummary.read(tmp_path / "t.json").validation_accuracy is None


def test_a_version_may_be_a_number(tmp_path):
    write_json(tmp_path / "t.json", sealed(CONTENT | {"version": 1}))
    assert TrainingSummary.read(tmp_path / "t.json").version == "1"


def as_written(changed):
    return json.dumps(sealed(CONTENT | changed)).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{broken", "not JSON in UTF-8"),
        (b"[" * 100_000, "not JSON in UTF-8"),
        (b'{"device": "\xff"}', "not JSON in UTF-8"),
        (b"[]", "valid dictionary"),
        (b"5", "valid dictionary"),
        (as_written({"version": [1]}), "version: Input should be a valid"),
        (as_written({"train_seconds": 10**400}), "train_seconds"),
        (as_written({"precision": "fp8"}), "precision"),
        (as_written({}).replace(b"0.5", b"0.6"), "its checksum differs"),
        (json.dumps(CONTENT).encode(), "its checksum differs"),
        (json.dumps(sealed({"seed": 1})).encode(), "precision: .*required"),
    ],
)
def test_a_damaged_summary_is_one_line(content, reason, tmp_path):
    file = tmp_path / "training.json"
    file.write_bytes(content)
    with pytest.raises(KformerError, match=f"{file}: .*{reason}.*train it again") as caught:
        TrainingSummary.read(file)
    assert "\n" not in str(caught.value)
