"""The order of questions, when a checkpoint is due, and accuracy."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import EvalPrediction, TrainerControl

from kformer.training import trainer
from kformer.training.trainer import QuestionOrder, TimedSaving, accuracy


def epochs_of(sampler, epochs):
    orders = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    return orders


def test_an_epoch_has_every_question_once_in_an_order_of_its_own():
    lengths = torch.randint(5, 60, (101,), generator=torch.Generator().manual_seed(0)).tolist()
    orders = epochs_of(QuestionOrder(lengths, 4, seed=3), 3)
    assert all(sorted(order) == list(range(101)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    torch.manual_seed(99)  # the order does not depend on the global state
    assert epochs_of(QuestionOrder(lengths, 4, seed=3), 3) == orders
    assert epochs_of(QuestionOrder(lengths, 4, seed=4), 3) != orders
    assert len(QuestionOrder(lengths, 4, seed=3)) == 101


def test_without_groups_the_order_is_plainly_random():
    lengths = [5, 50] * 200
    orders = epochs_of(QuestionOrder(lengths, 8, seed=0, by_length=False), 2)
    assert all(sorted(order) == list(range(400)) for order in orders) and orders[0] != orders[1]
    assert epochs_of(QuestionOrder(lengths, 8, seed=0, by_length=False), 2) == orders
    batches = [orders[0][i : i + 8] for i in range(0, 400, 8)]
    assert all(len({lengths[i] for i in batch}) == 2 for batch in batches[:40:10])


def test_a_batch_has_questions_of_similar_length():
    lengths = [5, 50] * 200
    (order,) = epochs_of(QuestionOrder(lengths, 8, seed=0), 1)
    batches = [order[i : i + 8] for i in range(0, 400, 8)]
    mixed = sum(len({lengths[i] for i in batch}) > 1 for batch in batches)
    assert mixed <= len(batches) // 4


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


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
