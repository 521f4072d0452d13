"""A dry run says what a training takes, trains nothing and leaves nothing behind."""

import functools
import re
import shutil
from types import SimpleNamespace

import pytest
import torch

from kformer.modeling import KformerForMultipleChoice
from kformer.training import dry_run as dry_run_module
from kformer.training.passes import tokens_of
from kformer.training.resumable_trainer import ResumableTrainer


@pytest.fixture
def dry_run(kformer, settings, tiny_tables, tiny_tokens, tmp_path, monkeypatch):
    """`kformer train --dry-run`: returns its status, stdout and stderr."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")

    def start(injection="ffn", **training):
        knowledge = ["--fact-tokens", tiny_tokens[1]]
        knowledge += ["--retrieval", tiny_tables / "question.parquet"]
        section = settings(injection, **training)
        return kformer(
            *("train", "--dry-run", "--question-tokens", tiny_tokens[0]),
            *(knowledge if injection != "none" else []),
            *("--out", tmp_path / "runs/x/seed-1", "--checkpoints", tmp_path / "runs/unfinished"),
            *("--seed", 1, "--settings", section.model_dump_json()),
        )

    return start


@pytest.mark.parametrize("injection", ["none", "concat", "attention", "ffn", "static"])
def test_it_says_what_a_training_takes_and_leaves_nothing(injection, dry_run, tmp_path):
    status, out, err = dry_run(injection, max_steps=3000, evaluations=5)
    assert status == 0, err
    lines = out.splitlines()
    assert re.fullmatch(r"model: [\d,]+ parameters, .*; fp32 on (cpu|cuda:0)", lines[0])
    assert lines[1:3] == [
        "questions: 48 for training, 24 for validation; 0 inputs are cut",
        "steps: 3,000 of 16 questions",
    ]
    assert re.fullmatch(r"a step: .* s \(mean of 3 random ones, .* to .* s\)", lines[3])
    assert re.fullmatch(r"duration: \d+:\d\d:\d\d, of which 5 validations \d:\d\d:\d\d", lines[4])
    assert re.match(r"memory: at most [\d,]+ MB", lines[5])
    assert re.fullmatch(r"disk: a checkpoint has \d+ MB, up to 4 at once \d+ MB; .*", lines[6])
    assert list(tmp_path.iterdir()) == []


def test_the_step_with_the_most_tokens_is_tried_first(dry_run, monkeypatch):
    tried = []
    original = ResumableTrainer.training_step

    def training_step(trainer, model, questions, *rest):
        tried.append(tokens_of(questions))
        return original(trainer, model, questions, *rest)

    monkeypatch.setattr(ResumableTrainer, "training_step", training_step)
    assert dry_run()[0] == 0
    assert len(tried) == 4 and tried[0] == max(tried)


def test_the_duration_is_that_of_random_steps(dry_run, monkeypatch):
    """Not of the longest alone: 1 s a step, 2 s a validation batch, 3,000 steps."""
    now = SimpleNamespace(seconds=0.0)
    clock = SimpleNamespace(monotonic=lambda: now.seconds)

    def taking(seconds, owner, name):
        original = getattr(owner, name)

        def slow(*arguments):
            now.seconds += seconds
            return original(*arguments)

        monkeypatch.setattr(owner, name, slow)

    monkeypatch.setattr(dry_run_module, "time", clock)
    taking(1.0, ResumableTrainer, "training_step")
    taking(2.0, ResumableTrainer, "answer")
    taking(0.5, ResumableTrainer, "write_state")
    _, out, _ = dry_run("none", max_steps=3000, evaluations=10, checkpoint_minutes=1)
    # 24 questions are two batches: 10 × (4 + 0.5) s, and 50.75 checkpoints in between
    assert "duration: 0:51:10, of which 10 validations 0:00:45" in out


def test_a_memory_that_is_too_short_is_found_and_said(dry_run, monkeypatch):
    original = KformerForMultipleChoice.forward

    @functools.wraps(original)
    def forward(self, input_ids, **inputs):
        if input_ids.numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return original(self, input_ids=input_ids, **inputs)

    monkeypatch.setattr(KformerForMultipleChoice, "forward", forward)
    most = 700
    status, out, err = dry_run()
    assert status == 0 and "out of memory at step 1 (training" in err
    assert re.search(r"in passes of at most \d{3} tokens", out)
    most = 10
    status, _, err = dry_run()
    assert status == 1 and err.splitlines()[-1].startswith("error: question ")


def test_a_disk_that_is_too_small_is_an_error(dry_run, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    status, out, err = dry_run()
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: disk: a checkpoint has ")
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_not_finite_are_found(dry_run, monkeypatch):
    original = KformerForMultipleChoice.forward

    @functools.wraps(original)
    def forward(self, **inputs):
        output = original(self, **inputs)
        output.loss = output.loss * float("nan")
        return output

    monkeypatch.setattr(KformerForMultipleChoice, "forward", forward)
    status, _, err = dry_run()
    assert status == 1 and "the loss is not a number (nan) at step 1" in err


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_is_in_the_range_of_all_generators(seed, kformer):
    options = ("--question-tokens", "q", "--out", "o", "--checkpoints", "c", "--settings", "{}")
    status, _, err = kformer("train", *options, "--seed", seed)
    assert status == 2
    assert err.startswith("error: Invalid value for '--seed'") and err.count("\n") == 1
