"""Batches of similar length in an order of their own, how many steps, what is measured."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import EvalPrediction, TrainerControl, TrainerState

from kformer.training import trainer
from kformer.training.settings import Training
from kformer.training.trainer import (
    LengthGroupedSampler,
    Reporter,
    Stopwatch,
    TimedSaving,
    accuracy,
    training_arguments,
)


def epochs_of(sampler, epochs):
    orders = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    return orders


def test_an_epoch_has_every_question_once_in_an_order_of_its_own():
    lengths = torch.randint(5, 60, (101,), generator=torch.Generator().manual_seed(0)).tolist()
    orders = epochs_of(LengthGroupedSampler(lengths, 4, seed=3), 3)
    assert all(sorted(order) == list(range(101)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    torch.manual_seed(99)  # the order does not depend on the global state
    assert epochs_of(LengthGroupedSampler(lengths, 4, seed=3), 3) == orders
    assert epochs_of(LengthGroupedSampler(lengths, 4, seed=4), 3) != orders
    assert len(LengthGroupedSampler(lengths, 4, seed=3)) == 101


def test_a_batch_has_questions_of_similar_length():
    lengths = [5, 50] * 200
    (order,) = epochs_of(LengthGroupedSampler(lengths, 8, seed=0), 1)
    batches = [order[i : i + 8] for i in range(0, 400, 8)]
    mixed = sum(len({lengths[i] for i in batch}) > 1 for batch in batches)
    assert mixed <= len(batches) // 4


@pytest.mark.parametrize(
    ("limits", "questions", "steps"),
    [
        ({"max_steps": 4, "epochs": 5.0}, 48, 4),
        ({"max_steps": 99, "epochs": 2.0}, 48, 6),
        ({"max_steps": 99, "epochs": 0.5}, 48, 2),
        ({"max_steps": 4, "epochs": None}, 48, 4),
        ({"max_steps": 99, "epochs": 1.0}, 17, 2),
        ({"max_steps": 2, "epochs": 0.01}, 48, 1),
    ],
)
def test_training_ends_after_max_steps_or_epochs_whichever_comes_first(
    limits, questions, steps, tmp_path
):
    settings = Training(batch_size=16, **limits)
    assert training_arguments(settings, questions, 1, tmp_path, bf16=False).max_steps == steps


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def steps_of(stopwatch, clock, *steps):
    for begin, end in steps:
        clock.seconds = begin
        stopwatch.on_step_begin()
        clock.seconds = end
        stopwatch.on_step_end()


def test_the_measured_time_is_that_of_training_steps(clock):
    stopwatch = Stopwatch()
    assert stopwatch.seconds_per_step is None
    steps_of(stopwatch, clock, (0.0, 1.0), (10.0, 12.0), (20.0, 120.0))
    assert (stopwatch.seconds_per_step, stopwatch.seconds) == (2.0, 120.0)


def test_a_resumed_stopwatch_counts_what_came_before(clock):
    stopwatch = Stopwatch()
    steps_of(stopwatch, clock, (10.0, 14.0), (20.0, 22.0))
    kept = json.loads(json.dumps(stopwatch.state()))
    clock.seconds = 1000.0
    again = Stopwatch()
    again.resume(kept)
    steps_of(again, clock, (1003.0, 1006.0))
    assert (again.seconds_per_step, again.seconds) == (3.0, 28.0)


def test_a_checkpoint_is_due_when_the_last_one_is_some_time_ago(clock):
    saving, due = TimedSaving(minutes=2), []
    saving.on_train_begin()
    for seconds in (60.0, 119.0, 120.0, 130.0, 200.0, 240.0):
        clock.seconds = seconds
        control = TrainerControl()
        saving.on_step_end(None, None, control)
        due.append(control.should_save)
        if control.should_save:
            saving.on_save()
    assert due == [False, False, True, False, False, True]


@pytest.mark.parametrize("saves_at", [2, 3])
def test_what_was_measured_is_kept_before_a_checkpoint_is_written(saves_at, monkeypatch):
    """Whoever asks for the checkpoint, and also where nothing is logged at that step."""
    calls = []
    log = SimpleNamespace(
        log=lambda metrics, step: calls.append(step), flush=lambda: calls.append("flush")
    )
    reporter = Reporter(log, "run")
    control, args = TrainerControl(), SimpleNamespace(disable_tqdm=False)
    for step in (1, 2, 3):
        state = TrainerState(global_step=step)
        control.should_save = step == saves_at
        reporter.on_step_end(args, state, control)
        if step == 2:
            reporter.on_log(args, state, control, logs={"loss": 1.0, "epoch": 2.0})
    assert calls == (["flush", 2, "flush"] if saves_at == 2 else [2, "flush"])


def test_accuracy_is_the_share_of_right_choices():
    lowest = np.finfo(np.float32).min  # a choice that is none
    logits = np.array([[1.0, 2.0, lowest], [3.0, -4.0, 0.0], [0.0, 1.0, 2.0], [0.1, 0.0, lowest]])
    labels = np.array([1, 0, 0, 0])
    assert accuracy(EvalPrediction(logits, labels)) == {"accuracy": 0.75}


def test_of_two_equal_right_choices_the_first_is_the_label():
    questions = [(["red", "blue", "red"], 2), (["red", "blue", "red"], 1), (["red", "Red"], 1)]
    batch = [SimpleNamespace(features=None, choices=c, answer=a) for c, a in questions]
    processor = SimpleNamespace(collate=lambda features, labels: labels)
    assert trainer.collate(processor, batch) == [0, 1, 1]
