"""Where MLflow's UI shows a study."""

import json
import shutil
import socket
import subprocess
import sys

import pytest

from kformer.errors import KformerError
from kformer.tracking import tracked, ui
from kformer.tracking.views import views

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""


@pytest.mark.slow  # for the store
def test_views_are_states_of_a_page_that_the_experiment_carries(client, store, memory, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "seen")
    with tracked("kformer seed-1", memory, {}, {"stage": "run"}) as run:
        run.log_summary({"test_accuracy": 0.5})
    (seen,) = (each for each in views(store.uri) if each.experiment == "seen")
    experiment = client.get_experiment_by_name("seen")
    page = f"/#/experiments/{experiment.experiment_id}/runs?"
    assert seen.runs.startswith(page) and seen.runs.endswith("&viewStateShareKey=runs")
    assert seen.conditions.startswith(page)
    assert seen.conditions.endswith("&viewStateShareKey=conditions&compareRunsMode=CHART")
    state = json.loads(experiment.tags["mlflow.sharedViewState.runs"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`test_accuracy`", False)
    assert {"metrics.`test_accuracy`", "params.`condition`", "params.`seed`"} < {
        *state["selectedColumns"]
    }


@pytest.mark.slow  # for the store
def test_an_experiment_without_trainings_has_no_views(client, store, memory, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "data alone")
    with tracked("facts", memory, {}, {"stage": "facts"}):
        pass
    assert "data alone" not in {each.experiment for each in views(store.uri)}


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no chromium is installed")
def test_a_browser_shows_the_runs_by_accuracy_and_the_conditions_compared(
    client, store, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "looked at")
    for condition, accuracy in (("plain", 0.25), ("reader", 0.75), ("other", 0.5)):
        tags = {"stage": "run", "condition": condition, "seed": "1"}
        with tracked(f"{condition} seed-1", tmp_path / condition, {}, tags) as run:
            run.log({"train_loss": accuracy}, 1)
            run.log_summary({"test_accuracy": accuracy, "cpu_seconds": 100 * accuracy})
    (seen,) = (each for each in views(store.uri) if each.experiment == "looked at")

    def page(address):
        """What the browser has made of a page, with a profile that was never used."""
        browser = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        browser += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1600,1000"]
        done = subprocess.run(
            [*browser, "--virtual-time-budget=60000", address], capture_output=True, text=True
        )
        return done.stdout

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ui.serving(store.uri, port) as (address, _):
        table, charts = page(address + seen.runs), page(address + seen.conditions)
    assert "Error loading shared view" not in table + charts
    places = [table.index(f"{name} seed-1") for name in ("reader", "other", "plain")]
    assert places == sorted(places)
    assert all(column in table for column in ("test_accuracy", "cpu_seconds", "condition", "seed"))
    assert all(f"Group: {name}" in charts for name in ("reader", "other", "plain"))
    assert all(chart in charts for chart in ("test_accuracy", "cpu_seconds", "train_loss"))


def test_a_server_that_does_not_answer_is_one_line(unusable, kformer, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unusable["nobody answers"])
    status, out, err = kformer("ui")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "cannot be used (Connection refused); start the server" in err


class TestServing:
    def test_a_store_that_is_not_there_is_told(self, tmp_path, kformer, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        status, out, err = kformer("ui", tmp_path)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert f"{tmp_path}/mlflow.db: there are no runs yet; run a study first" in err

    def test_a_port_that_is_taken_is_told(self, tmp_path):
        (tmp_path / "mlflow.db").touch()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with (
                pytest.raises(KformerError, match=rf"--port: {port} cannot be used .*another one"),
                ui.serving(f"sqlite:///{tmp_path / 'mlflow.db'}", port),
            ):
                pass

    def test_a_server_that_ends_at_once_is_told(self, tmp_path, monkeypatch):
        (tmp_path / "mlflow.db").touch()
        started = subprocess.Popen
        monkeypatch.setattr(
            ui.subprocess, "Popen", lambda *_, **__: started([sys.executable, "-c", "exit(3)"])
        )
        with (
            pytest.raises(KformerError, match="ended at once, with status 3"),
            ui.serving(f"sqlite:///{tmp_path / 'mlflow.db'}", 5999),
        ):
            pass

    @pytest.mark.parametrize("display", ["", ":0"])
    def test_a_browser_is_opened_just_where_there_is_a_screen(self, display, monkeypatch):
        opened = []
        monkeypatch.setattr(ui.webbrowser, "open", opened.append)
        monkeypatch.setattr(ui.sys, "platform", "linux")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.setenv("DISPLAY", display)
        ui.open_in_browser("http://127.0.0.1:5000")
        assert opened == (["http://127.0.0.1:5000"] if display else [])
