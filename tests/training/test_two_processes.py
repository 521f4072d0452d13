"""Two processes never train into one folder: the second waits, and makes the best of it."""

import json
import os
import signal
import time

import pytest

from kformer.training.resumable_trainer import ResumableTrainer

from .conftest import assert_same_weights, is_said, wait_for, weights

STEPS = 16


@pytest.fixture
def command(settings, kformer_train):
    """`kformer train` with slow steps, as a process of its own."""
    section = settings("none", max_steps=STEPS, evaluations=2, checkpoint_minutes=1e-9)

    def start(name, step_seconds=0.0, **folders):
        def slow_down():
            original = ResumableTrainer.training_step

            def training_step(*given):
                time.sleep(step_seconds)
                return original(*given)

            ResumableTrainer.training_step = training_step

        return kformer_train(section, name, slow_down, **folders)

    return start


@pytest.mark.parametrize("other", [{}, {"checkpoints": "elsewhere"}], ids=["both", "the run's"])
def test_the_second_waits_for_an_orphan_and_goes_on_when_it_is_killed(
    other, command, run, settings, tmp_path
):
    """Whether they share both folders, or the run's alone."""
    first, said = command("first", step_seconds=0.3)
    wait_for(lambda: list(tmp_path.glob("unfinished/checkpoint-[5-9]")))
    second, said = command("second", **other)
    wait_for(lambda: is_said("waiting until that ends", said))
    assert is_said(f"process {first.pid} on ", said)
    os.kill(first.pid, signal.SIGKILL)
    second.join(60)
    assert second.exitcode == 0, said.read_text()
    whole = run(settings("none", max_steps=STEPS, evaluations=2), "whole")
    assert_same_weights(weights(tmp_path / "none/seed-1"), weights(whole.out))
    if not other:  # else the first one's other folder is as the kill left it
        assert {path.name for path in tmp_path.rglob(".*")} == {".finished"}


def test_the_second_does_not_train_what_the_first_has_trained(command, tmp_path):
    first, _ = command("first", step_seconds=0.1)
    wait_for(lambda: list(tmp_path.glob("unfinished/checkpoint-*")))
    second, said = command("second")
    wait_for(lambda: is_said("waiting until that ends", said))
    first.join(60)
    summary = (tmp_path / "none/seed-1/training.json").read_bytes()
    second.join(60)
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert is_said("none/seed-1: trained before; not trained again", said)
    assert (tmp_path / "none/seed-1/training.json").read_bytes() == summary
    assert json.loads(summary)["steps"] == STEPS


def test_whoever_loses_its_lock_with_the_folder_stops(command, tmp_path):
    """Somebody deletes everything, and another training begins: the first writes no more."""
    first, said = command("first", step_seconds=0.2)
    wait_for(lambda: list(tmp_path.glob("unfinished/checkpoint-*")))
    (tmp_path / ".unfinished.writing.lock").unlink()
    first.join(60)
    assert first.exitcode == 1
    (line,) = [line for line in said.read_text().splitlines() if line.startswith("error: ")]
    assert "was deleted while" in line and "another process may be writing now" in line
