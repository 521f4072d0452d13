"""Two processes never train into one folder: the second waits, and makes the best of it."""

import json
import os
import signal
import sys
import time

import pytest

from kformer import cli
from kformer.training.resumable_trainer import ResumableTrainer

from .conftest import assert_same_weights, start_forked, weights

STEPS = 16


@pytest.fixture
def command(settings, tiny_tokens, tmp_path):
    """`kformer train`, as a process of its own that writes what it says into a file."""
    section = settings("none", max_steps=STEPS, evaluations=2, checkpoint_minutes=1e-9)
    processes = []

    def main(said, step_seconds, options):
        sys.stdout = sys.stderr = said.open("a", buffering=1)
        original = ResumableTrainer.training_step

        def training_step(*given):
            time.sleep(step_seconds)
            return original(*given)

        ResumableTrainer.training_step = training_step
        arguments = [str(each) for pair in options.items() for each in pair]
        sys.argv = ["kformer", "train", *arguments]
        cli.main()

    def start(name, step_seconds=0.0, out="none/seed-1", checkpoints="unfinished"):
        options = {
            "--question-tokens": tiny_tokens[0],
            "--out": tmp_path / out,
            "--checkpoints": tmp_path / checkpoints,
            "--seed": 1,
            "--settings": section.model_dump_json(),
        }
        said = tmp_path / f"{name}.txt"
        process = start_forked(main, said, step_seconds, options)
        processes.append(process)
        return process, said

    yield start
    for process in processes:
        process.kill()
        process.join()


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_said(line, said):
    return said.exists() and line in said.read_text()


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
