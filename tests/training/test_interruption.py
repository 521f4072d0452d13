"""SIGTERM and SIGUSR1 end a training with a checkpoint and status 75; the same command goes on."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from kformer.io.training_summary import TrainingSummary
from kformer.training import run as run_module
from kformer.training.interruption import STATUS
from kformer.training.resumable_trainer import ResumableTrainer
from kformer.training.trainer import PassTrainer

from .conftest import assert_same_weights, wait_for, weights

SIGNALS = [signal.SIGTERM, signal.SIGUSR1]


def send_to_itself(number, before, owner, name, when=lambda *_: True):
    """Makes a process send itself a signal before or after a function, when that is so."""
    original = getattr(owner, name)

    def wrapped(*arguments, **options):
        due = when(*arguments)
        if due and before:
            os.kill(os.getpid(), number)
        result = original(*arguments, **options)
        if due and not before:
            os.kill(os.getpid(), number)
        return result

    setattr(owner, name, wrapped)


def at_step(step):
    return lambda trainer, *_: trainer.state.global_step == step - 1


def at_validation_of(step):
    return lambda trainer, *_: trainer.state.global_step == step


@pytest.fixture
def dropping(settings):
    """Settings of a training in which random states matter; validations at steps 4 and 8."""
    return settings(evaluations=2, model={"head_dropout": 0.3})


@pytest.fixture(scope="module")
def whole(settings, train_into, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "ffn" / "seed-1"
    return train_into(settings(evaluations=2, model={"head_dropout": 0.3}), out)


MOMENTS = {
    # where the signal comes, and at which step the checkpoint is
    "in a step": ((True, PassTrainer, "_forward_backward", at_step(3)), 3),
    "in a step before a validation": ((True, PassTrainer, "_forward_backward", at_step(4)), 4),
    "in a validation": ((True, PassTrainer, "_scores", at_validation_of(4)), 4),
    "in the last validation": ((True, PassTrainer, "_scores", at_validation_of(8)), 8),
    "while a checkpoint is written": (
        (True, ResumableTrainer, "write_state", at_validation_of(4)),
        4,
    ),
    "after the last checkpoint": ((False, ResumableTrainer, "write_state", at_validation_of(8)), 8),
    "while it gets ready": ((True, ResumableTrainer, "_prepare_for_training"), 1),
}


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_training_ends_after_the_step_and_goes_on_later(
    moment, number, dropping, kformer_train, whole, tmp_path
):
    (before, *where), step = MOMENTS[moment]
    process, said = kformer_train(
        dropping, "first", lambda: send_to_itself(number, before, *where), out="ffn/seed-1"
    )
    process.join()
    lines = said.read_text().splitlines()
    assert process.exitcode == STATUS, lines
    assert lines[-1].startswith(f"{signal.Signals(number).name}: ended early, ")
    assert lines[-1].endswith("the same command goes on from there")
    assert not any("Traceback" in line for line in lines)
    assert not (tmp_path / "ffn/seed-1").exists()
    names = sorted(path.name for path in (tmp_path / "unfinished").iterdir())
    assert names[-1] == f"checkpoint-{step}"

    process, said = kformer_train(dropping, "again", out="ffn/seed-1")
    process.join()
    assert process.exitcode == 0, said.read_text()
    assert_same_weights(weights(tmp_path / "ffn/seed-1"), weights(whole.out))
    found, expected = (
        TrainingSummary.read(out / "training.json") for out in (tmp_path / "ffn/seed-1", whole.out)
    )
    for name in ("steps", "best_step", "validation_accuracy", "padding_share"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("name", ["prepare", "finish"])
def test_before_and_after_training_it_ends_at_once(name, number, dropping, kformer_train, tmp_path):
    process, said = kformer_train(
        dropping, "first", lambda: send_to_itself(number, True, run_module, name)
    )
    process.join()
    assert process.exitcode == STATUS, said.read_text()
    assert said.read_text().splitlines()[-1].startswith(signal.Signals(number).name)
    assert not (tmp_path / "none/seed-1").exists()
    left = {path.name for path in (tmp_path / "unfinished").glob("*")}
    assert left == (set() if name == "prepare" else {"checkpoint-4", "checkpoint-8"} & left)
    assert not list(tmp_path.rglob("*.lock"))


# --- as the workflow starts it


def points(client, run):
    """All points of the curves of a run in MLflow: name, step and value."""
    names = ("train_loss", "gradient_norm", "learning_rate", "validation_loss")
    return {
        name: [(each.step, each.value) for each in client.get_metric_history(run, name)]
        for name in (*names, "validation_accuracy", "best_validation_accuracy")
    }


@pytest.fixture
def shell(tiny_tables, tiny_tokens, tmp_path):
    """Starts the line of the rule `train_model`, in a process group of its own."""
    rule = (Path(__file__).parents[2] / "workflow/rules/training.smk").read_text()
    ignoring = "trap '' TERM USR1; "
    assert ignoring in rule
    tables = [f"--question-tokens {tiny_tokens[0]}", f"--fact-tokens {tiny_tokens[1]}"]
    tables.append(f"--retrieval {tiny_tables / 'question.parquet'}")

    def start(section, name):
        folders = f"--out {tmp_path / name}/ffn/seed-1 --checkpoints {tmp_path / name}/c"
        command = (
            f"set -euo pipefail; {ignoring}kformer train {' '.join(tables)} {folders} --seed 1 "
            f"--settings {shlex.quote(section.model_dump_json())} 2>&1 | tee {tmp_path / name}.txt"
        )
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        store = f"sqlite:///{tmp_path / 'mlflow.db'}"
        return subprocess.Popen(
            ["bash", "-c", command],
            env=dict(os.environ, PATH=path, MLFLOW_TRACKING_URI=store, OMP_NUM_THREADS="1"),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )

    return start


def run_of(folder):
    return json.loads((folder / "ffn/seed-1/.mlflow_run.json").read_text())["run_id"]


@pytest.mark.slow
def test_a_job_of_the_workflow_is_told_to_end_and_started_again(settings, shell, tmp_path):
    """The whole process group gets the signal, as from a batch system; `tee` and bash stay."""
    section = settings(
        max_steps=60, evaluations=5, checkpoint_minutes=1e-9, model={"head_dropout": 0.3}
    )
    assert shell(section, "whole").wait() == 0
    for number in SIGNALS:
        job = shell(section, "ended")
        newest = [path.name for path in tmp_path.glob("ended/c/checkpoint-*")]
        wait_for(
            lambda known=newest: (
                len({path.name for path in tmp_path.glob("ended/c/checkpoint-*")} - {*known}) >= 2
            )
        )
        os.killpg(job.pid, number)
        assert job.wait() == STATUS, (tmp_path / "ended.txt").read_text()
        last = (tmp_path / "ended.txt").read_text().splitlines()[-1]
        assert last.startswith(f"{signal.Signals(number).name}: ended early, step ")
        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        assert client.get_run(run_of(tmp_path / "ended")).info.status == "FAILED"
    assert shell(section, "ended").wait() == 0

    whole, ended = run_of(tmp_path / "whole"), run_of(tmp_path / "ended")
    assert client.get_run(ended).info.status == "FINISHED"
    assert points(client, ended) == points(client, whole)
    (best,) = points(client, ended)["best_validation_accuracy"]
    assert best[0] == 0
    assert_same_weights(*(weights(tmp_path / name / "ffn/seed-1") for name in ("ended", "whole")))


@pytest.mark.slow
def test_a_reader_of_its_output_that_is_killed_does_not_keep_it_from_ending_well(
    settings, tiny_tokens, tmp_path
):
    """Where nothing ignores the signal in front of `kformer`, `tee` is gone first."""
    section = settings("none", max_steps=400, evaluations=1, checkpoint_minutes=1e-9)
    reader, writer = os.pipe()
    job = subprocess.Popen(
        [
            *(str(Path(sys.executable).parent / "kformer"), "train"),
            *("--question-tokens", str(tiny_tokens[0]), "--seed", "1"),
            *("--out", str(tmp_path / "none/seed-1"), "--checkpoints", str(tmp_path / "c")),
            *("--settings", section.model_dump_json()),
        ],
        stdout=writer,
        stderr=writer,
    )
    os.close(writer)
    wait_for(lambda: list(tmp_path.glob("c/checkpoint-*")))
    os.close(reader)
    time.sleep(0.5)
    job.terminate()
    assert job.wait() == STATUS
    assert list(tmp_path.glob("c/checkpoint-*"))
