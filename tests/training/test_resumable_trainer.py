"""A training may be killed, damaged or run out of disk at any moment, and never trains on NaN."""

import functools
import itertools
import json
import os
import resource
import shutil
import signal

import pytest

from kformer.errors import KformerError
from kformer.modeling import KformerForMultipleChoice
from kformer.training import resumable_trainer
from kformer.training import run as run_module
from kformer.training.arguments import training_arguments

from .conftest import assert_same_weights, of_steps, start_forked, weights

ALWAYS = 1e-9  # minutes between checkpoints: after every step
DROPOUT = {"head_dropout": 0.3}  # so that random states matter


@pytest.fixture(scope="module")
def undisturbed(settings, train_into, tmp_path_factory):
    return train_into(settings(model=DROPOUT), tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture
def killed_at(settings, run, tmp_path):
    """Trains in a process of its own, which is killed when it begins a step; returns the folder."""

    def start(step, **training):
        def train():
            original = resumable_trainer.ResumableTrainer.training_step

            def training_step(trainer, *arguments):
                if trainer.state.global_step == step - 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(trainer, *arguments)

            resumable_trainer.ResumableTrainer.training_step = training_step
            run(settings(model=DROPOUT, **training))

        process = start_forked(train)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        return tmp_path / "run-checkpoints"

    return start


def assert_is_the_same(resumed, undisturbed):
    assert_same_weights(weights(resumed.out), weights(undisturbed.out))
    for key in ("steps", "best_validation_accuracy", "best_step"):
        assert resumed.summary[key] == undisturbed.summary[key]


# --- checkpoints by time


@pytest.mark.parametrize("step", [2, 4, 6, 8])
def test_a_training_that_is_killed_goes_on_from_the_step_before(
    step, killed_at, settings, run, undisturbed
):
    """Between validations, too, and in the middle of an epoch of three steps."""
    folder = killed_at(step, checkpoint_minutes=ALWAYS)
    assert (folder / f"checkpoint-{step - 1}").is_dir()
    resumed = run(settings(model=DROPOUT))  # whatever the minutes are now
    for metric in ("train_loss", "gradient_norm", "validation_loss", "validation_accuracy"):
        expected = of_steps(undisturbed.logged, metric)
        assert of_steps(resumed.logged, metric) == {
            at: value for at, value in expected.items() if at >= step
        }
    assert_is_the_same(resumed, undisturbed)


def test_a_mean_of_losses_is_not_of_those_after_the_kill_alone(
    killed_at, settings, run, monkeypatch
):
    def every_third_step_is_logged(*given):
        arguments = training_arguments(*given)
        arguments.logging_steps = 3
        return arguments

    monkeypatch.setattr(run_module, "training_arguments", every_third_step_is_logged)
    whole = of_steps(run(settings(model=DROPOUT), "whole").logged, "train_loss")
    killed_at(6, checkpoint_minutes=ALWAYS)
    resumed = of_steps(run(settings(model=DROPOUT)).logged, "train_loss")
    assert list(whole) == [3, 6] and resumed == {6: whole[6]}


def test_without_time_checkpoints_come_with_validations_alone(killed_at):
    found = {path.name for path in killed_at(8).iterdir()}
    assert found <= {"checkpoint-2", "checkpoint-4", "checkpoint-6"} and "checkpoint-6" in found


def test_times_are_those_of_the_whole_run(killed_at, settings, run):
    folder = killed_at(8)
    file = folder / "checkpoint-6" / "progress.json"
    time = json.loads(file.read_text())["measured"]
    assert len(time["step_seconds"]) == 6 and time["seconds"] > sum(time["step_seconds"])
    resumed = run(settings(model=DROPOUT))
    assert resumed.summary["train_seconds"] > time["seconds"]


# --- damage


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "progress.json", "trainer_state.json"]
)
def test_nothing_goes_on_from_half_a_state(name, killed_at, settings, run, undisturbed, capsys):
    folder = killed_at(8)
    (folder / "checkpoint-6" / name).unlink()
    resumed = run(settings(model=DROPOUT))
    assert f"checkpoint-6: {name} is missing; not resumed, removed" in capsys.readouterr().err
    assert min(of_steps(resumed.logged, "train_loss")) < 7
    assert_is_the_same(resumed, undisturbed)


@pytest.mark.parametrize("lost_at", [4, 8])
def test_a_training_that_loses_its_best_weights_is_refused_and_trains_anew(
    lost_at, settings, run, undisturbed, monkeypatch, tmp_path
):
    """At the next checkpoint, or at the end; never with the last weights as if they were those."""
    best_is_the_first = itertools.chain([0.5], itertools.repeat(0.25))
    monkeypatch.setattr(
        resumable_trainer, "accuracy", lambda _: {"accuracy": next(best_is_the_first)}
    )

    def lose(metrics, step):
        if step == lost_at and "validation_accuracy" in metrics:
            shutil.rmtree(tmp_path / "run-checkpoints" / "checkpoint-2")

    with pytest.raises(KformerError, match=r"checkpoint-2: has the best weights .*same command"):
        run(settings(model=DROPOUT), log=lose)
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    assert_is_the_same(run(settings(model=DROPOUT)), undisturbed)


# --- not a number


@pytest.fixture
def batches(monkeypatch):
    """The questions of every batch of training."""
    seen = []
    original = run_module.collate

    def collate(processor, batch):
        if batch[0].split == "train":
            seen.append({each.question_id for each in batch})
        return original(processor, batch)

    monkeypatch.setattr(run_module, "collate", collate)
    return seen


@pytest.mark.parametrize("injection", ["none", "concat", "attention", "ffn", "static"])
def test_training_that_diverges_stops_at_the_step_with_its_questions(
    injection, settings, run, batches, tmp_path
):
    diverging = settings(injection, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(KformerError, match=r"is not a number .* at step 2, questions") as caught:
        run(diverging)
    message = str(caught.value)
    assert message.endswith("training stopped: lower training.learning_rate")
    named = message.partition("questions ")[2].partition(" and ")[0].split(", ")
    assert len(named) == 10 and set(named) <= batches[1]
    assert not (tmp_path / "run").exists()


def test_the_questions_are_those_of_the_step_in_a_later_epoch(settings, run, batches, monkeypatch):
    original = resumable_trainer.PassTrainer.training_step

    def training_step(trainer, *arguments):
        loss = original(trainer, *arguments)
        return loss * float("nan") if trainer.state.global_step == 4 else loss

    monkeypatch.setattr(resumable_trainer.PassTrainer, "training_step", training_step)
    with pytest.raises(KformerError, match=r"the loss is not a number \(nan\) at step 5") as caught:
        run(settings("none"))
    named = str(caught.value).partition("questions ")[2].partition(" and ")[0].split(", ")
    assert set(named) <= batches[4]


def test_a_gradient_that_overflows_stops_training(settings, run, monkeypatch):
    monkeypatch.setattr(resumable_trainer.PassTrainer, "_get_grad_norm", lambda *_: float("inf"))
    expected = r"the norm of the gradient is not a number \(inf\) at step 1.*another model.encoder"
    with pytest.raises(KformerError, match=expected):
        run(settings("none"))


def test_no_accuracy_is_computed_from_what_is_no_number(settings, run, monkeypatch):
    forward = KformerForMultipleChoice.forward

    @functools.wraps(forward)  # Trainer reads the names of its arguments
    def diverged(self, **inputs):
        output = forward(self, **inputs)
        if not self.training:
            output.logits[1, 0] = float("nan")
        return output

    def refuse(_):
        raise AssertionError

    monkeypatch.setattr(KformerForMultipleChoice, "forward", diverged)
    monkeypatch.setattr(resumable_trainer, "accuracy", refuse)
    expected = "the logits of validation are not numbers at step 2, questions .*learning_rate$"
    with pytest.raises(KformerError, match=expected) as caught:
        run(settings("none"))
    assert len(str(caught.value).split(", ")) == 3  # of 24 questions in two batches, two


# --- no room


@pytest.fixture
def limited():
    """Bounds the size of files, as a full disk or a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("most", [1_000, 100_000, 300_000])
def test_without_room_for_a_checkpoint_training_ends_in_one_line_and_goes_on_later(
    most, settings, run, undisturbed, limited, tmp_path
):
    """In its weights or the state of the optimiser; the one before stays."""
    folder = tmp_path / "run-checkpoints"

    def fill(metrics, step):
        if step == 6 and "validation_accuracy" in metrics:
            limited(most)

    with pytest.raises(OSError, match="File too large") as caught:
        run(settings(model=DROPOUT), log=fill)
    assert caught.value.filename == str(folder / "checkpoint-6")
    limited(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-2", "checkpoint-4"]
    resumed = run(settings(model=DROPOUT))
    assert min(of_steps(resumed.logged, "train_loss")) == 5
    assert_is_the_same(resumed, undisturbed)
