"""One training run: what it leaves, that a seed decides everything, that it may be killed."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import EvalPrediction

from kformer.errors import KformerError
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.fact_embeddings import FactEmbeddings
from kformer.modeling.settings import Model
from kformer.training import run as run_module
from kformer.training.run import (
    Stopwatch,
    _LengthGroupedSampler,
    accuracy,
    build_model,
    computes_in_bf16,
    last_checkpoint,
    parameter_counts,
    train,
)
from kformer.training.settings import Training, TrainSettings

KEYS = {
    "seed",
    "steps",
    "seconds_per_step",
    "train_seconds",
    "validation_accuracy",
    "best_step",
    "train_questions",
    "inputs_cut",
    "parameters",
    "added_parameters",
    "peak_memory_mb",
    "precision",
    "device",
}


class Killed(BaseException):
    """What stops a run in the middle, as no handler of errors would."""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tables(tiny_tables):
    """The questions table, and the facts and retrieval tables."""
    knowledge = (tiny_tables / "facts.parquet", tiny_tables / "question.parquet")
    return tiny_tables / "questions.parquet", knowledge


@pytest.fixture
def settings(tiny_encoder):
    def make(injection="ffn", model=None, **training):
        defaults = {
            "learning_rate": 1e-3,
            "warmup_steps": 2,
            "batch_size": 16,  # three steps an epoch
            "max_steps": 8,
            "evaluations": 4,
            "precision": "fp32",
        }
        return TrainSettings(
            model=Model(
                encoder=str(tiny_encoder), injection=injection, max_tokens=64, **(model or {})
            ),
            training=Training(**defaults | training),
        )

    return make


@pytest.fixture
def run(tables, tmp_path):
    """Trains into the folder ``name``; returns the run's folder, its summary, what it logged."""
    questions, knowledge = tables

    def start(settings, name="run", seed=1, log=None):
        logged = []

        def remember(metrics, step):
            logged.append((step, dict(metrics)))
            if log:
                log(metrics, step)

        facts = None if settings.model.injection in ("none", "static") else knowledge
        out = tmp_path / name
        summary = train(
            settings, seed, questions, facts, out, tmp_path / f"{name}-checkpoints", remember
        )
        return SimpleNamespace(out=out, summary=summary, logged=logged)

    return start


def weights(out):
    return load_file(out / "model" / "model.safetensors")


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


def kill_at_validation(step):
    def log(metrics, now):
        if now == step and "validation_accuracy" in metrics:
            raise Killed

    return log


@pytest.fixture
def computed(monkeypatch):
    """What really was computed: the global steps, and the weights after each."""
    steps = {}

    class Recording(Stopwatch):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            steps[state.global_step] = {n: p.clone() for n, p in model.state_dict().items()}
            super().on_step_end(args, state, control, **kwargs)

    monkeypatch.setattr(run_module, "Stopwatch", Recording)
    return steps


# --- what it writes


@pytest.mark.parametrize("injection", ["none", "concat", "attention", "ffn", "static"])
def test_a_run_leaves_a_model_and_its_measurements(injection, settings, run, tmp_path):
    done = run(settings(injection, max_steps=4, evaluations=2))
    written = json.loads((done.out / "training.json").read_text())
    assert set(written) == KEYS
    assert written.items() >= done.summary.items()
    assert written["steps"] == 4 and written["best_step"] in (2, 4)
    assert (written["seed"], written["precision"], written["device"]) == (1, "fp32", "cpu")
    assert (written["train_questions"], written["inputs_cut"]) == (48, 0)
    assert written["seconds_per_step"] > 0 and written["train_seconds"] > 0
    assert (written["added_parameters"] > 0) == (injection in ("attention", "ffn", "static"))
    assert sorted(path.name for path in done.out.iterdir()) == ["model", "training.json"]
    assert not (tmp_path / "run-checkpoints").exists()

    model = KformerForMultipleChoice.from_pretrained(done.out / "model")
    processor = KformerProcessor.from_pretrained(done.out / "model")
    assert model.config.injection == processor.config.injection == injection
    assert sum(p.numel() for p in model.parameters()) == written["parameters"]


def test_metrics_are_logged_with_their_steps_while_training(settings, run):
    done = run(settings(max_steps=4, evaluations=2))
    names = {step: set() for step, _ in done.logged}
    for step, metrics in done.logged:
        names[step] |= set(metrics)
        assert all(math.isfinite(value) for value in metrics.values())
    assert list(names) == [1, 2, 3, 4]
    assert all(names[step] >= {"train_loss", "learning_rate"} for step in names)
    assert all(
        ({"validation_accuracy", "validation_loss"} <= names[step]) == (step in (2, 4))
        for step in names
    )


def test_the_kept_model_is_the_best_on_validation(settings, run):
    done = run(settings(learning_rate=0.03, warmup_steps=0))
    measured = {
        step: metrics["validation_accuracy"]
        for step, metrics in done.logged
        if "validation_accuracy" in metrics
    }
    assert list(measured) == [2, 4, 6, 8]
    assert done.summary["validation_accuracy"] == max(measured.values())
    assert measured[done.summary["best_step"]] == max(measured.values())


def test_the_measured_time_is_that_of_training_steps(monkeypatch):
    clock = iter([0.0, 1.0, 10.0, 12.0, 20.0, 120.0])
    monkeypatch.setattr(run_module.time, "perf_counter", lambda: next(clock))
    stopwatch = Stopwatch()
    assert stopwatch.seconds_per_step is None
    for _ in range(3):
        stopwatch.on_step_begin()
        stopwatch.on_step_end()
    assert stopwatch.seconds_per_step == 2.0


def test_training_only_the_rows_of_facts_is_training_the_whole_table(settings, run, monkeypatch):
    """Weight decay aside, which alone moves a row that no fact uses."""
    chosen = []
    train_only = FactEmbeddings.train_only
    monkeypatch.setattr(
        FactEmbeddings, "train_only", lambda self, t: chosen.append(t) or train_only(self, t)
    )
    some = run(settings(max_steps=6, weight_decay=0.0), "some")
    assert len(chosen) == 1 and chosen[0]
    monkeypatch.setattr(FactEmbeddings, "train_only", lambda self, tokens: None)
    whole = run(settings(max_steps=6, weight_decay=0.0), "whole")
    expected = weights(whole.out)
    assert weights(some.out).keys() == expected.keys()
    for name, value in weights(some.out).items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)
    start = build_model(settings().model).fact_embeddings.weight
    moved = (expected["fact_embeddings.weight"] - start).abs().amax(-1) > 0
    assert 0 < moved.sum() < len(moved)


def test_added_parameters_are_those_of_the_injection(settings):
    plain = parameter_counts(build_model(settings("none").model))
    counts = parameter_counts(build_model(settings("ffn", {"layers": (2, 4)}).model))
    width, words = 32, build_model(settings("none").model).config.encoder.vocab_size
    assert plain["added_parameters"] == 0
    assert counts["added_parameters"] == 2 * 2 * (width * width + width) + words * width
    assert counts["parameters"] == plain["parameters"] + counts["added_parameters"]


def test_one_of_several_processes_is_refused(settings, run, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(KformerError, match="WORLD_SIZE"):
        run(settings())


def test_layers_out_of_range_stop_a_run_before_it_trains(settings, run, tmp_path):
    with pytest.raises(KformerError, match="the encoder has 4 layers"):
        run(settings("ffn", {"layers": (9, 12)}))
    assert not (tmp_path / "run").exists()


# --- seeds


@pytest.mark.slow
@pytest.mark.parametrize("injection", ["none", "ffn"])
def test_the_same_seed_gives_the_same_model_and_another_seed_another(injection, settings, run):
    first, again, other = (
        run(settings(injection, max_steps=4), name, seed)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert_same_weights(weights(first.out), weights(again.out))
    losses = [[m["train_loss"] for _, m in r.logged if "train_loss" in m] for r in (first, again)]
    assert losses[0] == losses[1]
    assert not torch.equal(
        weights(first.out)["head.dense.weight"], weights(other.out)["head.dense.weight"]
    )


def test_every_seed_trains_on_the_same_drawn_questions(settings, run, monkeypatch):
    drawn = []
    original = run_module.load_examples

    def spy(processor, questions, facts, split, limit=None):
        examples = original(processor, questions, facts, split, limit)
        if split == "train":
            drawn.append([each.question_id for each in examples.examples])
        return examples

    monkeypatch.setattr(run_module, "load_examples", spy)
    for seed in (1, 2):
        done = run(settings(max_steps=1, evaluations=1, max_train_questions=20), f"r{seed}", seed)
        assert done.summary["train_questions"] == 20
    assert drawn[0] == drawn[1]


def epochs_of(sampler, epochs):
    orders = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    return orders


def test_an_epoch_has_every_question_once_in_an_order_of_its_own():
    lengths = torch.randint(5, 60, (101,), generator=torch.Generator().manual_seed(0)).tolist()
    orders = epochs_of(_LengthGroupedSampler(lengths, 4, seed=3), 3)
    assert all(sorted(order) == list(range(101)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    torch.manual_seed(99)  # the order must not hang on the global state
    assert epochs_of(_LengthGroupedSampler(lengths, 4, seed=3), 3) == orders
    assert epochs_of(_LengthGroupedSampler(lengths, 4, seed=4), 3) != orders
    assert len(_LengthGroupedSampler(lengths, 4, seed=3)) == 101


def test_a_batch_has_questions_of_similar_length():
    lengths = [5, 50] * 200
    (order,) = epochs_of(_LengthGroupedSampler(lengths, 8, seed=0), 1)
    batches = [order[i : i + 8] for i in range(0, 400, 8)]
    mixed = sum(len({lengths[i] for i in batch}) > 1 for batch in batches)
    assert mixed <= len(batches) // 4


def test_each_epoch_of_a_run_has_an_order_of_its_own(settings, run, monkeypatch):
    seen = []
    original = run_module.collate

    def spy(processor, batch):
        if batch[0].split == "train":
            seen.append([each.question_id for each in batch])
        return original(processor, batch)

    monkeypatch.setattr(run_module, "collate", spy)
    run(settings(max_steps=6, evaluations=1))
    epochs = [[*seen[i], *seen[i + 1], *seen[i + 2]] for i in (0, 3)]
    assert len(set(epochs[0])) == len(set(epochs[1])) == 48
    assert epochs[0] != epochs[1]


# --- how long


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_steps": 4, "epochs": 5.0}, 4),
        ({"max_steps": 99, "epochs": 2.0}, 6),
        ({"max_steps": 99, "epochs": 0.5}, 2),
        ({"max_steps": 4, "epochs": None}, 4),
        ({"max_steps": 99, "epochs": 1.0, "max_train_questions": 17}, 2),
        ({"max_steps": 2, "epochs": 0.01}, 1),
    ],
)
def test_training_ends_after_max_steps_or_epochs_whichever_comes_first(
    limits, steps, settings, run, computed
):
    done = run(settings("none", evaluations=1, **limits))
    assert done.summary["steps"] == steps
    assert list(computed) == list(range(1, steps + 1))


def test_the_last_step_is_always_measured_and_may_be_the_best(settings, run):
    """Seven steps in four evaluations: every second step, and the one that is left."""
    done = run(settings("none", max_steps=7, evaluations=4))
    measured = [step for step, metrics in done.logged if "validation_accuracy" in metrics]
    assert measured == [2, 4, 6, 7]


# --- going on after being killed


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [4, 6, 8])
@pytest.mark.parametrize("injection", ["none", "ffn"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    injection, killed_at, settings, run, computed, tmp_path
):
    whole = run(settings(injection), "whole")
    expected = dict(computed)
    assert list(expected) == list(range(1, 9))
    with pytest.raises(Killed):
        run(settings(injection), "killed", log=kill_at_validation(killed_at))
    assert not (tmp_path / "killed").exists()
    computed.clear()
    resumed = run(settings(injection), "killed")
    assert list(computed) == list(range(killed_at - 1, 9))  # from the last checkpoint on
    for step in computed:
        assert_same_weights(computed[step], expected[step])
    assert_same_weights(weights(resumed.out), weights(whole.out))
    for key in ("steps", "validation_accuracy", "best_step"):
        assert resumed.summary[key] == whole.summary[key]
    after = [entry for entry in whole.logged if entry[0] >= killed_at - 1]
    assert comparable(resumed.logged) == comparable(after)
    assert not (tmp_path / "killed-checkpoints").exists()


def comparable(logged):
    """Validation results per step; what the trainer sums up between two lines starts anew."""
    names = ("validation_accuracy", "validation_loss", "learning_rate")
    return [
        (step, {name: metrics[name] for name in names if name in metrics})
        for step, metrics in logged
    ]


@pytest.mark.slow
@pytest.mark.parametrize("best_step", [2, 8])
def test_a_run_killed_after_its_last_step_only_saves_its_model(
    best_step, settings, run, computed, monkeypatch
):
    def made_up(evaluated):
        """An accuracy whose best step is known: the last, or the first of equals."""
        return {"accuracy": max(computed) / 8 if best_step == 8 else 0.5}

    def killed(*_):
        raise Killed

    monkeypatch.setattr(run_module, "accuracy", made_up)
    whole = run(settings(), "whole")
    computed.clear()
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "replacing", killed)
        with pytest.raises(Killed):
            run(settings(), "killed")
    computed.clear()
    resumed = run(settings(), "killed")
    assert not computed
    assert (resumed.summary["steps"], resumed.summary["best_step"]) == (8, best_step)
    assert whole.summary["best_step"] == best_step
    assert resumed.summary["validation_accuracy"] == whole.summary["validation_accuracy"]
    assert resumed.summary["seconds_per_step"] is None
    assert_same_weights(weights(resumed.out), weights(whole.out))


@pytest.mark.slow
def test_an_incomplete_checkpoint_is_passed_over(settings, run, computed, tmp_path):
    whole = run(settings(), "whole")
    with pytest.raises(Killed):
        run(settings(), "killed", log=kill_at_validation(4))
    broken = tmp_path / "killed-checkpoints" / "checkpoint-4"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"half")
    computed.clear()
    resumed = run(settings(), "killed")
    assert list(computed) == list(range(3, 9))
    assert_same_weights(weights(resumed.out), weights(whole.out))


@pytest.mark.slow
def test_a_checkpoint_of_another_run_is_not_gone_on_from(settings, run, computed):
    def killed_before(change):
        with pytest.raises(Killed):
            run(settings(), "same", log=kill_at_validation(4))
        computed.clear()
        run(**{"settings": settings(), "name": "same"} | change)
        return list(computed) == list(range(1, 9))

    assert not killed_before({})
    assert killed_before({"seed": 2})
    assert killed_before({"settings": settings(learning_rate=2e-3)})
    assert killed_before({"settings": settings("ffn", {"facts": 2})})


IDENTITY = {"seed": 1, "layers": (1, 3)}


def checkpoint(folder, step, complete=True):
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"")
    if complete:
        (path / "trainer_state.json").write_text(json.dumps({"best_global_step": step}))
    return path


def test_a_checkpoint_whose_best_one_is_gone_is_incomplete(tmp_path):
    last_checkpoint(tmp_path, IDENTITY)
    (checkpoint(tmp_path, 80) / "trainer_state.json").write_text('{"best_global_step": 40}')
    assert last_checkpoint(tmp_path, IDENTITY) is None
    assert not (tmp_path / "checkpoint-80").exists()


def test_a_checkpoint_with_a_damaged_state_is_incomplete(tmp_path):
    last_checkpoint(tmp_path, IDENTITY)
    (checkpoint(tmp_path, 80) / "trainer_state.json").write_text("")
    assert last_checkpoint(tmp_path, IDENTITY) is None


def test_what_is_no_checkpoint_is_left_alone(tmp_path):
    (tmp_path / "thesis").write_text("precious")
    checkpoint(tmp_path, 80)
    assert last_checkpoint(tmp_path, IDENTITY) is None
    assert (tmp_path / "thesis").read_text() == "precious"


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(tmp_path):
    folder = tmp_path / "checkpoints"
    assert last_checkpoint(folder, IDENTITY) is None
    assert [path.name for path in folder.iterdir()] == ["identity.json"]
    assert last_checkpoint(folder, IDENTITY) is None


def test_the_newest_complete_checkpoint_counts_by_number(tmp_path):
    last_checkpoint(tmp_path, IDENTITY)
    for step in (90, 1000, 500):
        checkpoint(tmp_path, step)
    incomplete = checkpoint(tmp_path, 2000, complete=False)
    assert last_checkpoint(tmp_path, IDENTITY) == tmp_path / "checkpoint-1000"
    assert not incomplete.exists()
    assert (tmp_path / "checkpoint-90").exists()  # it may be the best so far


def test_only_incomplete_checkpoints_are_as_good_as_none(tmp_path):
    last_checkpoint(tmp_path, IDENTITY)
    checkpoint(tmp_path, 3, complete=False)
    assert last_checkpoint(tmp_path, IDENTITY) is None
    assert [path.name for path in tmp_path.iterdir()] == ["identity.json"]


@pytest.mark.parametrize("other", [{"seed": 2}, {"layers": (0, 3)}, {"inputs": ["abc"]}])
def test_checkpoints_of_other_settings_are_removed(other, tmp_path):
    last_checkpoint(tmp_path, IDENTITY)
    checkpoint(tmp_path, 10)
    assert last_checkpoint(tmp_path, IDENTITY | other) is None
    assert not (tmp_path / "checkpoint-10").exists()
    assert last_checkpoint(tmp_path, IDENTITY) is None  # now it is the other run's folder


def test_checkpoints_of_unknown_origin_are_removed(tmp_path):
    checkpoint(tmp_path, 10)
    assert last_checkpoint(tmp_path, IDENTITY) is None
    assert not (tmp_path / "checkpoint-10").exists()


# --- small parts


@pytest.mark.parametrize(("precision", "expected"), [("fp32", False), ("bf16", True)])
def test_a_given_precision_is_obeyed(precision, expected):
    assert computes_in_bf16(precision) is expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx2": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)],
)
def test_auto_precision_asks_the_hardware(capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert computes_in_bf16("auto") is expected
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for supported in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda answer=supported, **_: answer)
        assert computes_in_bf16("auto") is supported


def test_bf16_is_written_down_and_keeps_weights_in_full_precision(settings, run):
    done = run(settings(max_steps=2, evaluations=1, precision="bf16"))
    assert json.loads((done.out / "training.json").read_text())["precision"] == "bf16"
    assert {value.dtype for value in weights(done.out).values()} == {torch.float32}


@pytest.mark.slow
def test_gradient_checkpointing_trains_the_same_model(settings, run):
    plain = run(settings(max_steps=3, evaluations=1), "plain")
    saving = run(settings(max_steps=3, evaluations=1, gradient_checkpointing=True), "saving")
    one, other = weights(plain.out), weights(saving.out)
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-4)


def test_accuracy_is_the_share_of_right_choices():
    lowest = np.finfo(np.float32).min  # a choice that is none
    logits = np.array([[1.0, 2.0, lowest], [3.0, -4.0, 0.0], [0.0, 1.0, 2.0], [0.1, 0.0, lowest]])
    labels = np.array([1, 0, 0, 0])
    assert accuracy(EvalPrediction(logits, labels)) == {"accuracy": 0.75}
