"""Kept states: computed once, shared by runs, and a run that reads them is the run without."""

import json
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch

from kformer.errors import KformerError
from kformer.evaluation.predict import predict
from kformer.io.tables import read_rows, write_table
from kformer.modeling.state_store import KeptStates
from kformer.training import compute_states as stage
from kformer.training import preparation
from kformer.training.compute_states import compute_states
from kformer.training.resumable_trainer import ResumableTrainer
from kformer.training.run import train, training_lock

from .conftest import Killed, of_steps, weights


class Silent:
    """A log that is read by nobody; it may stop the run at a validation."""

    def __init__(self, killed_at=None):
        self.killed_at, self.logged = killed_at, []

    def log(self, metrics, step):
        self.logged.append((step, dict(metrics)))
        if step == self.killed_at and "validation_accuracy" in metrics:
            raise Killed

    def flush(self):
        pass


@pytest.fixture
def computed(tiny_tables, tiny_tokens, tmp_path):
    """Computes the states of settings; returns their folder and what was measured."""

    def compute(settings, name="states"):
        folder = tmp_path / name
        questions, facts = tiny_tokens
        knowledge = (facts, tiny_tables / "question.parquet")
        measured = compute_states(settings, questions, knowledge, folder)
        return SimpleNamespace(folder=folder, measured=measured)

    return compute


@pytest.fixture
def trained(tiny_tables, tiny_tokens, tmp_path):
    """Trains with states, and answers the test questions."""

    def start(settings, states=None, name="run", killed_at=None, seed=1):
        out, checkpoints = tmp_path / name, tmp_path / f"{name}-checkpoints"
        questions, facts = tiny_tokens
        reads = settings.model.method.fact_input != "none"
        knowledge = (facts, tiny_tables / "question.parquet") if reads else None
        log = Silent(killed_at)
        with training_lock(out, checkpoints) as lock:
            summary = train(
                *(settings, seed, questions, knowledge, out, checkpoints, lock, log, "1"),
                states=states,
            )
        predictions = tmp_path / f"{name}.parquet"
        predict(out, questions, knowledge, predictions, states)
        rows = {row["question_id"]: row for row in read_rows(predictions, "predictions")}
        return SimpleNamespace(out=out, summary=summary, logged=log.logged, answers=rows)

    return start


def frozen(settings, injection="ffn", **training):
    training = {"encoder_layers": 1, "keep_states": True} | training
    return settings(injection, {"layers": (2, 4)}, **training)


def test_states_of_all_questions_are_computed(settings, computed, tiny_tables):
    done = computed(frozen(settings))
    questions = list(read_rows(tiny_tables / "questions.parquet", "questions"))
    choices = sum(len(row["choices"]) for row in questions)
    kept = KeptStates(done.folder)
    assert done.measured["states_questions"] == len(questions) == 96
    assert done.measured["states_inputs"] == choices
    size = done.measured["states_tokens"] * 32 * 4
    assert (done.folder / "states.bin").stat().st_size == size
    assert done.measured["states_mb"] == size / 1e6
    assert (kept.origin.layer, kept.origin.width, kept.origin.precision) == (2, 32, "fp32")


def test_states_of_the_extra_test_are_computed_too(settings, tiny_tables, tokenise, tmp_path):
    questions = list(read_rows(tiny_tables / "questions.parquet", "questions"))
    questions[0]["split"] = "test_extra"
    write_table(tiny_tables / "one-extra.parquet", "questions", questions)
    tokens = tokenise(tiny_tables / "one-extra.parquet")
    measured = compute_states(frozen(settings, "none"), tokens, None, tmp_path / "states")
    assert measured["states_questions"] == len(questions)


@pytest.mark.parametrize(
    ("injection", "recipe"),
    [
        ("none", {"encoder_layers": 0}),
        ("none", {"encoder_layers": 2, "lora_rank": 2}),
        ("concat", {"encoder_layers": 1, "gradient_checkpointing": True}),
        ("ffn", {"encoder_layers": 1}),
        ("attention", {"encoder_layers": 1, "injection_learning_rate": 1e-2}),
        ("static", {"encoder_layers": 0}),
    ],
)
def test_a_run_with_kept_states_is_the_run_that_computes_them(
    injection, recipe, settings, computed, trained
):
    with_states = frozen(settings, injection, **recipe)
    kept = trained(with_states, computed(with_states).folder, "kept")
    anew = trained(frozen(settings, injection, **recipe | {"keep_states": False}), None, "anew")
    found, expected = weights(kept.out), weights(anew.out)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)
    for metric in ("train_loss", "validation_loss", "validation_accuracy"):
        assert of_steps(kept.logged, metric) == pytest.approx(of_steps(anew.logged, metric))
    for name, row in anew.answers.items():
        assert kept.answers[name]["logits"] == pytest.approx(row["logits"], abs=1e-5)
        assert kept.answers[name]["fact_ids"] == row["fact_ids"]


def test_lower_layers_are_not_computed_in_a_run(settings, computed, trained, monkeypatch):
    states = computed(frozen(settings)).folder
    ran = set()
    original = torch.nn.Linear.forward

    def forward(module, *args):
        ran.add(id(module))
        return original(module, *args)

    layers = []
    build = preparation.build_model

    def build_model(settings):
        model = build(settings)
        layers.extend(model.adapter.layers_of(model.encoder))
        return model

    monkeypatch.setattr(torch.nn.Linear, "forward", forward)
    monkeypatch.setattr(preparation, "build_model", build_model)
    trained(frozen(settings), states)
    linear = [[id(m) for m in layer.modules() if type(m) is torch.nn.Linear] for layer in layers]
    assert not ran & {*linear[0], *linear[1]} and ran >= {*linear[2], *linear[3]}


def test_runs_of_other_seeds_and_injections_share_states(settings, computed, trained):
    states = computed(frozen(settings)).folder
    trained(frozen(settings), states, "one")
    trained(frozen(settings), states, "other", seed=2)
    trained(frozen(settings, "attention"), states, "attention")
    with pytest.raises(KformerError, match=r"the layer of these states is 2, that of this run 3"):
        trained(frozen(settings, "none"), states, "none")


def test_states_of_all_questions_must_be_there_before_training(
    settings, computed, trained, tiny_tables, monkeypatch
):
    states = computed(frozen(settings, max_train_questions=10)).folder
    kept = set(pq.read_table(states / "inputs.parquet")["question_id"].to_pylist())
    asked = read_rows(tiny_tables / "questions.parquet", "questions")
    missing = next(row["question_id"] for row in asked if row["question_id"] not in kept)
    monkeypatch.setattr(ResumableTrainer, "fit", lambda trainer: pytest.fail("it has begun"))
    with pytest.raises(KformerError, match=rf"have no question '{missing}' as this run reads it"):
        trained(frozen(settings), states)


def test_a_killed_run_resumes_with_its_states(settings, computed, trained):
    states = computed(frozen(settings)).folder
    whole = trained(frozen(settings), states, "whole")
    with pytest.raises(Killed):
        trained(frozen(settings), states, "killed", killed_at=6)
    resumed = trained(frozen(settings), states, "killed")
    expected, found = weights(whole.out), weights(resumed.out)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert resumed.answers == whole.answers


def test_bf16_keeps_half_the_bytes_and_trains(settings, computed, trained):
    bf16 = frozen(settings, precision="bf16", max_steps=2, evaluations=1)
    done = computed(bf16)
    assert (done.folder / "states.bin").stat().st_size == done.measured["states_tokens"] * 32 * 2
    assert json.loads((trained(bf16, done.folder).out / "training.json").read_text())["states"]


def test_of_limited_training_questions_only_those_are_computed(settings, computed):
    measured = computed(frozen(settings, max_train_questions=10)).measured
    assert measured["states_questions"] == 10 + 24 + 24


def test_facts_count_only_where_they_are_a_part_of_the_input(settings, computed, trained):
    plain, concat = (
        computed(frozen(settings, "none"), "plain"),
        computed(frozen(settings, "concat"), "concat"),
    )
    assert concat.measured["states_tokens"] > plain.measured["states_tokens"]
    with pytest.raises(KformerError, match="these states are of other inputs"):
        trained(frozen(settings, "concat"), plain.folder)


def test_a_run_that_keeps_states_must_be_given_them(settings, trained):
    with pytest.raises(KformerError, match=r"^training.keep_states: give the folder .* --states$"):
        trained(frozen(settings))


def test_states_of_another_run_are_refused_by_evaluation(settings, computed, trained):
    states = computed(frozen(settings)).folder
    with pytest.raises(KformerError, match=r"^--states: .* was not trained from these states$"):
        trained(frozen(settings, keep_states=False), states)


def test_states_that_are_no_numbers_are_refused(settings, computed, monkeypatch):
    nan = torch.full((1, 1, 1, 32), torch.nan)
    monkeypatch.setattr(stage, "states_below", lambda *_: nan)
    with pytest.raises(KformerError, match=r"^model.encoder: its states are not numbers for"):
        computed(frozen(settings))


def test_there_is_nothing_to_keep_below_the_lowest_layer(settings, computed):
    with pytest.raises(KformerError, match=r"^training.keep_states: the lowest layer is trained"):
        computed(settings("none"))


def test_the_command_writes_states_and_run_and_evaluation_read_them(
    settings, kformer, tiny_tokens, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'ml.db'}")
    section = frozen(settings, "none", max_steps=2, evaluations=1).model_dump_json()
    questions = ("--question-tokens", tiny_tokens[0])
    states, run = tmp_path / "states", tmp_path / "runs/none/seed-1"
    status, _, err = kformer("states", *questions, "--out", states, "--settings", section)
    assert status == 0 and "states_questions 96" in err
    given = ("--states", states)
    status, _, err = kformer(
        *("train", *questions, *given, "--out", run, "--checkpoints", tmp_path / "c"),
        *("--seed", 1, "--settings", section),
    )
    assert status == 0, err
    out = tmp_path / "predictions.parquet"
    status, _, err = kformer("evaluate", "--run", run, *questions, *given, "--out", out)
    assert status == 0, err
    assert pq.read_table(out).num_rows == 24
