"""Points of metrics: all of them, each once, in batches that MLflow takes."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from kformer.tracking import sender, tracked

pytestmark = pytest.mark.slow  # for the store

TAGS = {"stage": "run"}


@pytest.fixture
def points(client, tmp_path):
    """All points of a metric of the run that a stage has, as (step, value)."""

    def of(name):
        run_id = json.loads((tmp_path / "memory").read_text())["run_id"]
        return [(each.step, each.value) for each in client.get_metric_history(run_id, name)]

    return of


@pytest.fixture
def stage(tmp_path):
    return lambda resume="unfinished": tracked("run", tmp_path / "memory", {}, TAGS, resume)


def test_the_result_of_a_curve_stands_just_at_its_step(client, stage, points):
    with stage() as run:
        run.log({"validation_accuracy": 0.25}, 4)
        run.log({"validation_accuracy": 0.5}, 8)
        run.log_summary({"validation_accuracy": 0.5, "steps": 8})
    assert points("validation_accuracy") == [(4, 0.25), (8, 0.5)]
    assert points("steps") == [(0, 8.0)]


def test_a_resumed_run_has_every_point_once(client, stage, points):
    with pytest.raises(ValueError, match="x"), stage() as run:
        for step in (1, 2, 3):
            run.log({"loss": 1 / step}, step)
        raise ValueError("x")
    with stage() as run:
        for step in (2, 3, 4):
            run.log({"loss": 1 / step}, step)
        run.log_summary({"loss": 1 / 4})
    assert points("loss") == [(step, 1 / step) for step in (1, 2, 3, 4)]


def test_results_of_a_stage_that_is_done_again_follow_the_former_ones(client, stage, points):
    for accuracy in (0.5, 0.5, 0.75):
        with stage("always") as run:
            run.log_summary({"test_accuracy": accuracy})
    assert points("test_accuracy") == [(0, 0.5), (1, 0.75)]


def test_results_of_a_stage_that_was_killed_in_between_stay(client, stage, points):
    for seconds in (1.0, 2.0):
        with pytest.raises(ValueError, match="x"), stage() as run:
            run.log_summary({"seconds": seconds, "tokens_per_second": 1 / seconds})
            raise ValueError("x")
    assert points("seconds") == points("tokens_per_second") == [(0, 1.0)]


def test_numbers_that_are_none_and_odd_names_are_logged_too(client, stage, points):
    with stage() as run:
        run.log({"nan": math.nan, "inf": math.inf, "Why?": 1.0, "Why!": 2.0, "../x": 3.0}, 1)
        run.log_summary({"huge": 10**400, "yes": True})
    assert math.isnan(points("nan")[0][1])
    assert points("inf")[0][1] > 1e308
    assert (points("Why_x3F_"), points("Why_x21_")) == ([(1, 1.0)], [(1, 2.0)])
    assert points("_x2E_./x") == [(1, 3.0)]
    assert points("huge")[0][1] > 1e308
    assert points("yes") == [(0, 1.0)]


def test_thousands_of_points_and_hundreds_of_parameters_are_sent(client, tmp_path, points, capsys):
    settings = {f"Why {number}?": "x" * 6001 for number in range(250)}
    with tracked("run", tmp_path / "memory", settings, TAGS) as run:
        for step in range(2500):
            run.log({"loss": 1.0}, step)
    assert len(points("loss")) == 2500
    run_id = json.loads((tmp_path / "memory").read_text())["run_id"]
    params = client.get_run(run_id).data.params
    assert len(params) == 251
    assert {value[-2:] for name, value in params.items() if name != "stage"} == {"x…"}
    assert "not logged" not in capsys.readouterr().err


def test_one_refused_point_or_parameter_loses_no_other(client, tmp_path, points, monkeypatch):
    """Rules of another server than this one."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    log_batch = type(client).log_batch

    def strict(self, run_id, metrics=(), params=()):
        if any("odd" in each.key for each in (*metrics, *params)):
            raise MlflowException("odd", INVALID_PARAMETER_VALUE)
        return log_batch(self, run_id, metrics=metrics, params=params)

    monkeypatch.setattr(type(client), "log_batch", strict)
    with tracked("run", tmp_path / "memory", {"odd": 1, "even": 2}, {}) as run:
        run.log({"odd": 1.0, "even": 2.0}, 1)
    assert points("even") == [(1, 2.0)]
    run_id = json.loads((tmp_path / "memory").read_text())["run_id"]
    assert client.get_run(run_id).data.params == {"even": "2"}


def test_points_wait_for_a_server_that_comes_back(client, stage, points, monkeypatch, capsys):
    monkeypatch.setattr(sender, "_PAUSE", 0)
    from mlflow.exceptions import MlflowException

    def away(*_, **__):
        raise MlflowException("nobody answers")

    with stage() as run:
        with monkeypatch.context() as patched:
            patched.setattr(type(client), "log_batch", away)
            run.log({"loss": 1.0}, 1)
            run.flush()
            run.flush()
        run.log({"loss": 0.5}, 2)
    assert points("loss") == [(1, 1.0), (2, 0.5)]
    assert capsys.readouterr().err.count("not sent to MLflow (nobody answers)") == 1


def test_a_training_that_is_killed_and_resumed_has_every_point_once(
    client, store, tiny_tokens, tiny_encoder, tmp_path
):
    settings = {
        "model": {"encoder": str(tiny_encoder), "max_tokens": 64, "injection": "none"},
        "training": {"max_steps": 24, "evaluations": 4, "warmup_steps": 2, "precision": "fp32"},
    }

    def call(out):
        return [
            *(sys.executable, "-m", "kformer", "train", "--seed", "1"),
            *("--question-tokens", tiny_tokens[0], "--out", out),
            *("--checkpoints", tmp_path / "checkpoints" / out.parent.name),
            *("--settings", json.dumps(settings)),
        ]

    environment = dict(os.environ, OMP_NUM_THREADS="1")
    killed, whole = tmp_path / "killed" / "seed-1", tmp_path / "whole" / "seed-1"
    for done in (0, 12):
        process = subprocess.Popen(call(killed), env=environment, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            found = (tmp_path / "checkpoints/killed").glob("checkpoint-*")
            steps = [int(re.sub(r"\D", "", path.name)) for path in found]
            if max(steps, default=0) > done:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (killed / "training.json").exists()
    for out in (killed, whole):
        subprocess.run(call(out), env=environment, check=True, capture_output=True)

    def curves(out):
        run_id = json.loads((out / ".mlflow_run.json").read_text())["run_id"]
        names = client.get_run(run_id).data.metrics
        names = [name for name in names if not name.startswith("system/")]
        history = {name: client.get_metric_history(run_id, name) for name in names}
        steps = {name: [each.step for each in points] for name, points in history.items()}
        losses = sorted((each.step, each.value) for each in history["train_loss"])
        return {name: sorted(each) for name, each in steps.items()}, losses

    assert curves(killed) == curves(whole)
    steps, losses = curves(whole)
    assert [step for step, _ in losses] == list(range(1, 25))
    assert steps["validation_accuracy"] == [6, 12, 18, 24]
