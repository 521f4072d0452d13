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
from kformer.training import preparation, resumable_trainer
from kformer.training import run as run_module
from kformer.training.arguments import training_arguments

from .conftest import Killed, assert_same_weights, of_steps, start_forked, weights

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


@pytest.fixture
def log_every(monkeypatch):
    """Sets how many steps the mean that is logged is made of."""

    def start(steps):
        def arguments_with_steps(*given):
            arguments = training_arguments(*given)
            arguments.logging_steps = steps
            return arguments

        monkeypatch.setattr(preparation, "training_arguments", arguments_with_steps)

    return start


def test_a_mean_of_losses_is_not_of_those_after_the_kill_alone(killed_at, settings, run, log_every):
    log_every(3)
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
    original = preparation.collate

    def collate(processor, batch, kept):
        if batch[0].split == "train":
            seen.append({each.question_id for each in batch})
        return original(processor, batch)

    monkeypatch.setattr(preparation, "collate", collate)
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


@pytest.fixture
def not_finite_at(monkeypatch):
    """Makes the loss, or the gradient, of some steps no number, whenever they are computed."""

    def spoil(what, steps):
        name = {"loss": "training_step", "gradient": "_get_grad_norm"}[what]
        original = getattr(resumable_trainer.PassTrainer, name)

        def spoiled(trainer, *arguments):
            value = original(trainer, *arguments)
            return value * float("nan") if trainer.state.global_step + 1 in steps else value

        monkeypatch.setattr(resumable_trainer.PassTrainer, name, spoiled)

    return spoil


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_may_be_left_out(what, settings, run, not_finite_at, batches, capsys):
    not_finite_at(what, {2, 5})
    done = run(settings("none", if_not_finite="skip"))
    said = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert [line.partition(" at step ")[2][:1] for line in said] == ["2", "5"]
    named = said[1].partition("questions ")[2].partition(" and ")[0].split(", ")
    assert set(named) <= batches[4]
    assert done.summary["skipped_batches"] == 2
    assert list(of_steps(done.logged, "gradient_norm")) == [1, 3, 4, 6, 7, 8]
    losses = of_steps(done.logged, "train_loss")
    assert list(losses) == ([1, 3, 4, 6, 7, 8] if what == "loss" else [*range(1, 9)])
    assert all(1 < loss < 2 for loss in losses.values())
    assert list(of_steps(done.logged, "validation_accuracy")) == [2, 4, 6, 8]


def test_a_step_that_is_left_out_moves_no_weight(settings, run, not_finite_at, monkeypatch):
    """Nor does decay: the weights are those of the steps before."""
    after = {}
    original = resumable_trainer.ResumableTrainer._save_checkpoint

    def save(trainer, model, trial):
        weight = model.state_dict()["head.dense.weight"]
        after[trainer.state.global_step] = weight.clone()
        original(trainer, model, trial)

    monkeypatch.setattr(resumable_trainer.ResumableTrainer, "_save_checkpoint", save)
    not_finite_at("loss", {4})
    run(settings(if_not_finite="skip", checkpoint_minutes=ALWAYS, weight_decay=0.1))
    moved = [step for step in range(2, 9) if not after[step].equal(after[step - 1])]
    assert moved == [2, 3, 5, 6, 7, 8]


def test_a_mean_of_losses_is_that_of_the_steps_that_count(settings, run, not_finite_at, log_every):
    each = of_steps(run(settings("none"), "each").logged, "train_loss")
    log_every(4)
    not_finite_at("loss", {4})
    mean = of_steps(run(settings("none", if_not_finite="skip"), "mean").logged, "train_loss")
    assert mean[4] == pytest.approx(sum(each[step] for step in (1, 2, 3)) / 3)


@pytest.mark.parametrize("last", [10, 11])
def test_more_than_ten_in_a_row_stop_training(last, settings, run, not_finite_at):
    not_finite_at("loss", {*range(2, 2 + last)})
    section = settings("none", if_not_finite="skip", max_steps=14, evaluations=1)
    if last == 10:
        assert run(section).summary["skipped_batches"] == 10
    else:
        with pytest.raises(KformerError, match=r"for the 11th time in a row at step 12"):
            run(section)


def test_what_was_left_out_is_counted_over_a_kill(settings, run, not_finite_at):
    not_finite_at("loss", {2, 3, 7})
    section = settings("none", if_not_finite="skip")

    def kill(metrics, step):
        if step == 6 and "validation_accuracy" in metrics:
            raise Killed

    whole = run(section, "whole")
    with pytest.raises(Killed):
        run(section, "killed", log=kill)
    resumed = run(section, "killed")
    assert resumed.summary["skipped_batches"] == whole.summary["skipped_batches"] == 3
    assert_same_weights(weights(resumed.out), weights(whole.out))


# --- patience


@pytest.fixture
def accuracies(monkeypatch):
    """Sets the accuracy of each validation, by its step; also that of one that is done again."""

    def are(found):
        def scored(trainer, _):
            return {"accuracy": found[trainer.state.global_step]}

        monkeypatch.setattr(resumable_trainer.ResumableTrainer, "_scored", scored)

    return are


def test_training_ends_when_validations_are_no_better(settings, run, accuracies):
    accuracies({2: 0.25, 4: 0.5, 6: 0.5, 8: 0.25, 10: 0.75})
    done = run(settings(max_steps=10, evaluations=5, patience=2))
    assert (done.summary["steps"], done.summary["best_step"]) == (8, 4)
    assert list(of_steps(done.logged, "validation_accuracy")) == [2, 4, 6, 8]
    patient = run(settings(max_steps=10, evaluations=5), "patient")
    assert (patient.summary["steps"], patient.summary["best_step"]) == (10, 10)
    rates = of_steps(patient.logged, "learning_rate")
    assert of_steps(done.logged, "learning_rate") == {step: rates[step] for step in range(1, 9)}


@pytest.mark.parametrize("killed_at", [6, 8, "the end"])
def test_patience_is_that_of_the_whole_run(killed_at, settings, run, accuracies, monkeypatch):
    accuracies({2: 0.25, 4: 0.5, 6: 0.5, 8: 0.25, 10: 0.75})
    section = settings(max_steps=10, evaluations=5, patience=2, model=DROPOUT)
    whole = run(section, "whole")

    def kill(*arguments):
        if killed_at == "the end" or (
            arguments[1] == killed_at and "validation_accuracy" in arguments[0]
        ):
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        if killed_at == "the end":
            patched.setattr(run_module, "finish", kill)
        run(section, log=None if killed_at == "the end" else kill)
    resumed = run(section)
    assert_is_the_same(resumed, whole)
    assert resumed.summary["steps"] == 8


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
