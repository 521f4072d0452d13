"""Where MLflow's UI shows a study."""

import json
import socket
import subprocess
import sys

import pytest

from kformer.errors import KformerError
from kformer.tracking import tracked, ui
from kformer.tracking.views import views


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
