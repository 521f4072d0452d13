"""One training run: what it leaves, that a seed decides everything, that it may be killed."""

import itertools
import json
import math
import shutil

import pytest
import torch

from kformer.errors import KformerError
from kformer.io.tables import read_rows, write_table
from kformer.io.training_summary import TrainingSummary
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.question_features import TokenisedQuestions
from kformer.training import preparation, resumable_trainer
from kformer.training import run as run_module
from kformer.training.preparation import build_model, parameter_counts

from .conftest import Killed, assert_same_weights, of_steps, weights


def kill(*_, **__):
    raise Killed


def kill_at_validation(step):
    def log(metrics, now):
        if now == step and "validation_accuracy" in metrics:
            raise Killed

    return log


# --- what it writes


@pytest.mark.parametrize("injection", ["none", "concat", "attention", "ffn", "static"])
def test_a_run_leaves_a_model_and_its_measurements(injection, whole_run):
    done = whole_run(injection)
    written = json.loads((done.out / "training.json").read_text())
    assert TrainingSummary.read(done.out / "training.json").measured == done.summary
    assert written["steps"] == 8 and written["best_step"] in (2, 4, 6, 8)
    assert (written["seed"], written["version"]) == (1, "1")
    assert written["precision"] == "fp32"
    assert written["device"] == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert (written["train_questions"], written["inputs_cut"]) == (48, 0)
    for name in ("seconds_per_step", "train_seconds", "peak_memory_mb"):
        assert written[name] > 0
    assert written["tokens_per_second"] > written["questions_per_second"] > 0
    assert 0 <= written["padding_share"] < 0.5
    assert (written["skipped_batches"], written["tokens_per_pass"]) == (0, None)
    assert (written["added_parameters"] > 0) == (injection in ("attention", "ffn", "static"))
    assert sorted(path.name for path in done.out.iterdir()) == [
        ".finished",
        "model",
        "training.json",
    ]
    assert not done.out.with_name(f"{done.out.name}-checkpoints").exists()

    model = KformerForMultipleChoice.from_pretrained(done.out / "model")
    processor = KformerProcessor.from_pretrained(done.out / "model")
    assert model.config.injection == processor.config.injection == injection
    assert sum(p.numel() for p in model.parameters()) == written["parameters"]


def test_the_extra_test_plays_no_part_in_training(whole_run, settings, run, tiny_tables, tokenise):
    questions = list(read_rows(tiny_tables / "questions.parquet", "questions"))
    extra = [each | {"question_id": f"{each['question_id']}-x"} for each in questions]
    extra = [each | {"split": "test_extra"} for each in extra]
    write_table(tiny_tables / "more.parquet", "questions", [*extra, *questions])
    more = run(settings("none"), questions=tokenise(tiny_tables / "more.parquet"))
    assert more.summary["train_questions"] == 48
    assert_same_weights(weights(more.out), weights(whole_run("none").out))


def test_metrics_are_logged_with_their_steps_while_training(settings, run):
    done = run(settings("none", max_steps=7))  # whose last step is no multiple of two
    assert all(math.isfinite(value) for _, metrics in done.logged for value in metrics.values())
    for metric in ("train_loss", "learning_rate"):
        assert list(of_steps(done.logged, metric)) == [1, 2, 3, 4, 5, 6, 7]
    for metric in ("validation_accuracy", "validation_loss"):
        assert list(of_steps(done.logged, metric)) == [2, 4, 6, 7]


def test_the_kept_model_is_the_best_on_validation(settings, run):
    done = run(settings(learning_rate=0.03, warmup_steps=0))
    measured = of_steps(done.logged, "validation_accuracy")
    assert done.summary["best_validation_accuracy"] == max(measured.values())
    assert measured[done.summary["best_step"]] == max(measured.values())


def test_of_the_fact_table_the_rows_of_training_facts_are_trained(
    settings, whole_run, tiny_tables, tiny_tokens
):
    done = whole_run()
    processor = KformerProcessor.from_pretrained(done.out / "model")
    asked, facts = tiny_tokens
    knowledge = (facts, tiny_tables / "question.parquet")
    questions = TokenisedQuestions(processor, asked, knowledge).split("train")
    start = build_model(settings().model).fact_embeddings.weight
    moved = (weights(done.out)["fact_embeddings.weight"] != start).any(-1)
    assert set(moved.nonzero().flatten().tolist()) == questions.fact_tokens
    assert not moved.all()


def test_added_parameters_are_those_of_the_injection(settings):
    plain = build_model(settings("none").model)
    counts = parameter_counts(build_model(settings("ffn", {"layers": (2, 4)}).model))
    width, words = 32, plain.config.encoder.vocab_size
    assert parameter_counts(plain)["added_parameters"] == 0
    assert counts["added_parameters"] == 2 * 2 * (width * width + width) + words * width
    total = parameter_counts(plain)["parameters"]
    assert counts["parameters"] - counts["added_parameters"] == total


def test_one_of_several_processes_is_refused(settings, run, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(KformerError, match="WORLD_SIZE"):
        run(settings())


def test_bf16_is_noted_and_keeps_weights_in_full_precision(settings, run):
    done = run(settings(max_steps=2, evaluations=1, precision="bf16"))
    assert json.loads((done.out / "training.json").read_text())["precision"] == "bf16"
    assert {value.dtype for value in weights(done.out).values()} == {torch.float32}


def test_gradient_checkpointing_trains_the_same_model(settings, run, whole_run):
    saving = weights(run(settings(gradient_checkpointing=True)).out)
    for name, expected in weights(whole_run().out).items():
        torch.testing.assert_close(saving[name], expected, atol=1e-5, rtol=1e-4)


# --- seeds


def test_the_same_seed_gives_the_same_model_and_another_seed_another(settings, run, whole_run):
    first, again, other = whole_run(), run(settings(), "again"), run(settings(), "other", seed=2)
    assert_same_weights(weights(first.out), weights(again.out))
    assert of_steps(first.logged, "train_loss") == of_steps(again.logged, "train_loss")
    name = "head.dense.weight"
    assert not torch.equal(weights(first.out)[name], weights(other.out)[name])


def test_each_epoch_has_an_order_of_its_own_and_every_seed_the_same_questions(
    settings, run, monkeypatch
):
    batches = []
    original = preparation.collate

    def collate(processor, batch, kept):
        if batch[0].split == "train":
            batches.append([each.question_id for each in batch])
        return original(processor, batch)

    monkeypatch.setattr(preparation, "collate", collate)
    limited = settings("none", max_steps=4, evaluations=1, max_train_questions=32)
    assert run(limited).summary["train_questions"] == 32
    run(limited, "other", seed=2)
    epochs = [[*batches[i], *batches[i + 1]] for i in (0, 2, 4, 6)]
    assert len({frozenset(epoch) for epoch in epochs}) == 1 and len(set(epochs[0])) == 32
    assert len({tuple(epoch) for epoch in epochs}) == 4


# --- resuming after being killed


@pytest.mark.parametrize(("injection", "killed_at"), [("none", 6), ("ffn", 4), ("ffn", 8)])
def test_a_killed_run_resumes_as_if_nothing_had_happened(
    injection, killed_at, settings, run, whole_run, tmp_path
):
    whole = whole_run(injection)
    with pytest.raises(Killed):
        run(settings(injection), "killed", log=kill_at_validation(killed_at))
    assert not (tmp_path / "killed").exists()
    resumed = run(settings(injection), "killed")
    saved = killed_at - 2  # the last checkpoint
    for metric in ("train_loss", "learning_rate", "validation_accuracy", "validation_loss"):
        expected = of_steps(whole.logged, metric)
        assert of_steps(resumed.logged, metric) == {
            step: value for step, value in expected.items() if step > saved
        }
    assert_same_weights(weights(resumed.out), weights(whole.out))
    for key in ("steps", "best_validation_accuracy", "best_step"):
        assert resumed.summary[key] == whole.summary[key]
    assert not (tmp_path / "killed-checkpoints").exists()


@pytest.mark.parametrize("best_step", [2, 8])
def test_a_run_killed_after_its_last_step_only_saves_its_model(
    best_step, settings, run, monkeypatch, tmp_path
):
    def increasing():
        evaluations = itertools.count(1)
        return lambda evaluated: {"accuracy": next(evaluations) / 4 if best_step == 8 else 0.5}

    monkeypatch.setattr(resumable_trainer, "accuracy", increasing())
    whole = run(settings(), "whole")
    assert whole.summary["best_step"] == best_step
    monkeypatch.setattr(resumable_trainer, "accuracy", increasing())
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(run_module, "finish", kill)
        run(settings(), "killed")
    resumed = run(settings(), "killed")
    assert not resumed.logged
    assert (resumed.summary["steps"], resumed.summary["best_step"]) == (8, best_step)
    assert resumed.summary["best_validation_accuracy"] == whole.summary["best_validation_accuracy"]
    assert resumed.summary["seconds_per_step"] > 0  # from before the kill
    assert_same_weights(weights(resumed.out), weights(whole.out))


def test_a_checkpoint_of_another_run_is_not_resumed(settings, run, tmp_path):
    short = {"max_steps": 4, "evaluations": 2}

    def first_step_after(seed=1, version="1", **changed):
        shutil.rmtree(tmp_path / "same", ignore_errors=True)  # what is finished already
        with pytest.raises(Killed):
            run(settings("none", **short), "same", log=kill_at_validation(4))
        again = settings("none", **short | changed)
        resumed = run(again, "same", seed=seed, version=version)
        return min(of_steps(resumed.logged, "train_loss"))

    assert first_step_after() == 3
    assert first_step_after(seed=2) == 1
    assert first_step_after(version="1 outside 1.0 0123456789") == 1
    assert first_step_after(learning_rate=2e-3) == 1
    assert first_step_after(precision="bf16") == 1
    assert first_step_after(checkpoint_minutes=5) == 3


def test_a_path_that_is_no_folder_is_said_before_training(settings, run, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(KformerError, match="file: this is no folder; name another one"):
        run(settings(), "file")
    assert (tmp_path / "file").read_text() == "precious"
