"""Passes of a step: what is in them, that they change no gradient, and what a short memory does."""

import functools
import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.modeling import KformerForMultipleChoice
from kformer.training.passes import TokenLimit, is_out_of_memory, split, tokens_of

from .conftest import Killed, assert_same_weights, of_steps, weights

NO_DROPOUT = {"head_dropout": 0.0}


def question(length, choices=4, name="q"):
    """What passes look at of a question."""
    features = SimpleNamespace(length=length)
    return SimpleNamespace(question_id=name, choices=["?"] * choices, features=features)


QUESTIONS = st.lists(
    st.builds(question, st.integers(1, 90), st.integers(2, 5)), min_size=1, max_size=40
)


# --- what is in a pass


@given(QUESTIONS, st.integers(1, 3000))
def test_passes_have_every_question_once_and_no_more_tokens_than_allowed(questions, most):
    passes = split(questions, most)
    assert sorted(i for each in passes for i in each) == list(range(len(questions)))
    tokens = [tokens_of([questions[i] for i in each]) for each in passes]
    assert all(t <= most or len(each) == 1 for t, each in zip(tokens, passes, strict=True))
    lengths = [questions[i].features.length for each in passes for i in each]
    assert lengths == sorted(lengths, reverse=True)
    for one, other in itertools.pairwise(passes):  # none ends before it is full
        assert tokens_of([questions[i] for i in (*one, other[0])]) > most


def test_without_a_limit_a_step_is_one_pass_in_its_order():
    assert split([question(3), question(9), question(5)], None) == [[0, 1, 2]]


def test_the_size_of_a_pass_is_what_it_computes_padding_included():
    assert tokens_of([question(10, choices=3), question(7, choices=5)]) == 5 * 10 * 2


# --- a short memory


class Machine:
    """Computes passes of so many tokens at most."""

    def __init__(self, most, error=torch.OutOfMemoryError("CUDA out of memory.")):  # noqa: B008
        self.most, self.error, self.computed = most, error, []

    def __call__(self, questions):
        if tokens_of(questions) > self.most:
            raise self.error
        self.computed.append(len(questions))
        return len(questions)


CPU = RuntimeError("[…] DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes.")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), CPU, MemoryError()])
def test_what_does_not_fit_is_halved_from_then_on(error, capsys):
    limit, machine, restored = TokenLimit(None, "training"), Machine(130, error), []
    questions = [question(10) for _ in range(8)]  # 320 tokens
    done = limit.compute(questions, machine, 7, lambda: restored.append(limit.most))
    assert [count for _, count in done] == [2, 2, 2, 2] and limit.most == 80
    assert restored == [160, 80]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        "out of memory at step 7 (training, 320 tokens at once): from now on at most 160"
    )
    assert len(said) == 2
    limit.compute(questions, machine, 8)
    assert machine.computed == [2] * 8 and not capsys.readouterr().err


def test_an_allocator_that_fails_is_recognised():
    with pytest.raises(RuntimeError) as failed:
        torch.empty(10**15)
    assert is_out_of_memory(failed.value)


def test_other_errors_are_nobodys_memory():
    limit = TokenLimit(None, "training")
    with pytest.raises(RuntimeError, match="shapes"):
        limit.compute([question(1)], Machine(0, RuntimeError("shapes differ")), 1)


def test_a_question_too_long_for_the_memory_ends_training_with_what_to_do():
    questions = [question(5), question(60, name="long one")]
    with pytest.raises(KformerError, match=r"'long one' at step 3: .*240 tokens") as caught:
        TokenLimit(None, "training").compute(questions, Machine(100), 3)
    for remedy in ("model.max_tokens", "model.facts", "training.gradient_checkpointing: true"):
        assert remedy in str(caught.value)


# --- the same training


def assert_close(one, other):
    for name, value in weights(one.out).items():
        torch.testing.assert_close(weights(other.out)[name], value, atol=1e-4, rtol=1e-3)


@pytest.fixture(scope="module")
def short(settings):
    """Settings of a training whose third step, of three an epoch, is smaller than the others."""
    return functools.partial(settings, model=NO_DROPOUT, batch_size=20, max_steps=4, evaluations=1)


@pytest.mark.parametrize("most", [1, 300, 1000, 10**9])
def test_a_budget_changes_no_gradient(most, short, run, no_dropout):
    """However uneven the passes, every question weighs the same."""
    plain, in_passes = run(short(), "plain"), run(short(max_tokens_per_pass=most), "passes")
    for metric in ("train_loss", "gradient_norm"):
        expected = of_steps(plain.logged, metric)
        assert of_steps(in_passes.logged, metric) == pytest.approx(expected, rel=1e-4)
    assert_close(plain, in_passes)
    assert in_passes.summary["tokens_per_pass"] == most


@pytest.fixture
def no_dropout(monkeypatch):
    """A model in training mode that drops nothing, whatever its encoder is configured to."""
    nothing = SimpleNamespace(apply=lambda states, p: states)
    monkeypatch.setattr("kformer.modeling.dropout._Dropped", nothing)


@pytest.fixture
def small_memory(monkeypatch):
    """A model whose passes of training, or of validation, have no more than so many tokens."""
    original = KformerForMultipleChoice.forward

    def limit(training=10**9, validation=10**9):
        @functools.wraps(original)
        def forward(self, input_ids, **inputs):
            if input_ids.numel() > (training if self.training else validation):
                torch.rand(3)  # as a pass does that fails in its middle
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return original(self, input_ids=input_ids, **inputs)

        monkeypatch.setattr(KformerForMultipleChoice, "forward", forward)

    return limit


def test_a_training_goes_on_where_the_memory_is_short(short, run, small_memory, no_dropout, capsys):
    plain = run(short(), "plain")
    small_memory(training=700, validation=400)
    halved = run(short(), "halved")
    assert 350 < halved.summary["tokens_per_pass"] <= 700
    assert_close(plain, halved)
    key = "best_validation_accuracy"
    assert plain.summary[key] == halved.summary[key]
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert {line.partition("(")[2].partition(",")[0] for line in said} == {"training", "validation"}


def test_no_smaller_pass_helps_where_the_optimiser_does_not_fit(settings, run, monkeypatch):
    def step(self, *_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(KformerError, match="out of memory outside the passes"):
        run(settings("none"))


def test_a_step_that_is_done_again_draws_the_same_random_numbers(settings, run, small_memory):
    """A step that met the shortage is the step that had the limit from the beginning."""
    few = functools.partial(settings, max_steps=2, evaluations=1, model={"head_dropout": 0.3})
    small_memory(training=700)
    met = run(few(), "met")
    most = met.summary["tokens_per_pass"]
    assert_same_weights(weights(met.out), weights(run(few(max_tokens_per_pass=most), "known").out))


def test_what_was_found_is_kept_over_a_kill(settings, run, small_memory, capsys):
    small_memory(training=700)
    whole = run(settings(), "whole")
    capsys.readouterr()

    def kill(metrics, step):
        if step == 6 and "validation_accuracy" in metrics:
            raise Killed

    with pytest.raises(Killed):
        run(settings(), "killed", log=kill)
    assert "out of memory" in capsys.readouterr().err
    resumed = run(settings(), "killed")
    assert "out of memory" not in capsys.readouterr().err
    assert_same_weights(weights(resumed.out), weights(whole.out))
    assert resumed.summary["tokens_per_pass"] == whole.summary["tokens_per_pass"]
