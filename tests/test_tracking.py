"""MLflow: what is logged, which run is resumed, and that work never fails because of it."""

import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kformer import tracking
from kformer.errors import KformerError
from kformer.tracking import prepare_store, tracked

SETTINGS = {"model": {"injection": "ffn", "layers": [1, 3]}, "seed": 1}
TAGS = {"stage": "run", "condition": "kformer"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A SQLite store with one experiment: creating it takes seconds, so all tests share it."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'deep' / 'mlflow.db'}"
    prepare_store(uri, "study", folder / "artifacts")
    from mlflow import MlflowClient

    return SimpleNamespace(uri=uri, client=MlflowClient(uri), artifacts=folder / "artifacts")


@pytest.fixture
def client(store, monkeypatch):
    """Tracking is on, and this client looks at it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
    monkeypatch.delenv("KFORMER_CONFIG", raising=False)
    return store.client


@pytest.fixture(autouse=True)
def nothing_reported_yet(monkeypatch):
    monkeypatch.setattr(tracking, "_reported", set())


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "deep" / "run.json"


def id_in(memory):
    return json.loads(memory.read_text("utf-8"))["run_id"]


def do(memory, settings=SETTINGS, **options):
    """One stage from beginning to end; returns its run's id."""
    with tracked("kformer seed-1", memory, settings, TAGS, **options) as run:
        run.log({"did": 1.0})
    return id_in(memory)


def artifacts_of(client, run_id):
    return {each.path for each in client.list_artifacts(run_id)}


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def unreachable(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    return f"http://127.0.0.1:{closed_port()}"


@pytest.fixture
def no_database(tmp_path):
    path = tmp_path / "no.db"
    path.write_text("this is no database" * 100)
    return f"sqlite:///{path}"


@pytest.fixture
def no_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    return "postgresql://127.0.0.1:9/mlflow"


class TestPrepareStore:
    @pytest.mark.slow  # for the store
    def test_the_experiment_knows_where_artifacts_go(self, store):
        experiment = store.client.get_experiment_by_name("study")
        assert experiment.artifact_location == store.artifacts.resolve().as_uri()

    @pytest.mark.slow  # for the store
    def test_a_second_time_changes_nothing(self, store, tmp_path):
        before = store.client.get_experiment_by_name("study")
        prepare_store(store.uri, "study", tmp_path / "elsewhere")
        after = store.client.get_experiment_by_name("study")
        assert dict(after) == dict(before)

    @pytest.mark.parametrize("address", ["unreachable", "no_database"])
    def test_an_address_that_cannot_be_used_is_one_line(self, request, address, tmp_path):
        uri = request.getfixturevalue(address)
        with pytest.raises(KformerError, match=r"^tracking\.uri: .* cannot be used") as caught:
            prepare_store(uri, "study", tmp_path)
        assert uri in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("uri", ["carrier-pigeon://loft", "./mlruns"])
    def test_so_is_a_kind_of_address_that_mlflow_does_not_know(self, uri, tmp_path):
        with pytest.raises(KformerError, match=r"^tracking\.uri: .* cannot be used") as caught:
            prepare_store(uri, "study", tmp_path)
        assert "\n" not in str(caught.value)

    def test_so_is_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(KformerError, match=r"tracking\.uri"):
            prepare_store(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}", "study", tmp_path)

    def test_so_is_a_database_without_its_driver(self, no_driver, tmp_path):
        with pytest.raises(KformerError, match=r"tracking\.uri"):
            prepare_store(no_driver, "study", tmp_path)


@pytest.mark.slow  # for the store
class TestWhatIsLogged:
    def test_settings_metrics_and_artifacts(self, client, memory):
        with tracked("kformer seed-1", memory, SETTINGS, TAGS) as run:
            run.log({"loss": 2.0, "unknown": None}, 1)
            run.log({"loss": 1.5}, 2)
            running = client.get_run(id_in(memory)).info.status
            run.log_summary({"accuracy": 0.5, "steps": 2, "precision": "bf16", "not": None})
        assert running == "RUNNING"

        logged = client.get_run(id_in(memory))
        assert logged.info.status == "FINISHED"
        assert logged.info.run_name == "kformer seed-1"
        assert logged.data.params == {
            "stage": "run",
            "condition": "kformer",
            "model.injection": "ffn",
            "model.layers": "[1, 3]",
            "seed": "1",
        }
        assert logged.data.metrics == {"loss": 1.5, "accuracy": 0.5, "steps": 2.0}
        assert logged.data.tags.items() >= TAGS.items()
        history = client.get_metric_history(id_in(memory), "loss")
        assert [(each.step, each.value) for each in history] == [(1, 2.0), (2, 1.5)]

    def test_settings_and_summary_are_artifacts_as_they_are(self, client, store, memory):
        summary = {"accuracy": 0.5, "precision": "bf16", "per_type": {"easy": 1.0}}
        with tracked("run", memory, SETTINGS, TAGS) as run:
            run.log_summary(summary)
        folder = store.artifacts / id_in(memory) / "artifacts"
        assert json.loads((folder / "summary.json").read_text()) == summary
        assert json.loads((folder / "settings.json").read_text()) == SETTINGS

    def test_files_and_the_config_of_the_experiment(self, client, memory, tmp_path, monkeypatch):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "figure.svg").write_text("<svg/>")
        monkeypatch.setenv("KFORMER_CONFIG", str(tmp_path / "config.json"))
        with tracked("run", memory, SETTINGS, TAGS) as run:
            run.log_file(tmp_path / "figure.svg")
        assert artifacts_of(client, id_in(memory)) == {"config.json", "figure.svg", "settings.json"}

    def test_metrics_wait_and_go_in_batches(self, client, memory, monkeypatch):
        sent = []
        log_batch = type(client).log_batch

        def watched(self, run_id, metrics=(), **rest):
            sent.append(len(metrics))
            log_batch(self, run_id, metrics=metrics, **rest)

        with tracked("run", memory, SETTINGS, TAGS) as run:
            monkeypatch.setattr(type(client), "log_batch", watched)
            for step in range(50):
                run.log({"loss": 1.0 / (step + 1), "rate": 0.1}, step)
            assert sent == []
            monkeypatch.setattr(tracking, "_SECONDS_BETWEEN_BATCHES", 0.0)
            run.log({"loss": 0.0}, 50)
            assert sent == [101]
        assert len(client.get_metric_history(id_in(memory), "loss")) == 51

    def test_values_longer_than_mlflow_takes_are_cut(self, client, memory):
        run_id = do(memory, {"long": "x" * 10_000})
        assert client.get_run(run_id).data.params["long"] == "x" * 6000

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, KformerError])
    def test_a_stage_that_fails_is_failed_and_its_error_goes_on(self, client, memory, error):
        with pytest.raises(error, match="broken"), tracked("run", memory, SETTINGS, TAGS) as run:
            run.log({"loss": 2.0})
            raise error("broken")
        logged = client.get_run(id_in(memory))
        assert logged.info.status == "FAILED"
        assert logged.data.metrics == {"loss": 2.0}


@pytest.mark.slow  # for the store
class TestWhichRunGoesOn:
    def test_a_rerun_of_what_was_finished_is_a_new_run_that_supersedes_it(self, client, memory):
        first, second = do(memory), do(memory)
        assert first != second
        assert client.get_run(first).data.tags["superseded_by"] == second
        assert client.get_run(first).info.status == "FINISHED"
        assert "superseded_by" not in client.get_run(second).data.tags

    def test_a_killed_run_goes_on(self, client, memory):
        killed = tracked("run", memory, SETTINGS, TAGS)
        killed.__enter__().flush()
        first = id_in(memory)
        assert client.get_run(first).info.status == "RUNNING"
        assert do(memory) == first
        assert client.get_run(first).info.status == "FINISHED"

    def test_a_failed_run_goes_on(self, client, memory):
        with pytest.raises(ValueError, match="x"), tracked("run", memory, SETTINGS, TAGS):
            raise ValueError("x")
        first = id_in(memory)
        with tracked("run", memory, SETTINGS, TAGS):
            assert client.get_run(first).info.status == "RUNNING"
        assert id_in(memory) == first
        assert client.get_run(first).info.status == "FINISHED"

    def test_a_killed_run_with_other_settings_is_superseded(self, client, memory):
        killed = tracked("run", memory, SETTINGS, TAGS)
        killed.__enter__()
        first = id_in(memory)
        second = do(memory, {**SETTINGS, "seed": 2})
        assert second != first
        assert client.get_run(first).data.tags["superseded_by"] == second

    def test_evaluation_joins_the_finished_run_of_training(self, client, memory):
        first = do(memory)
        with tracked("evaluate", memory, {}, TAGS, resume=True) as run:
            run.log_summary({"test_accuracy": 0.75})
        assert id_in(memory) == first
        logged = client.get_run(first)
        assert logged.info.status == "FINISHED"
        assert logged.data.metrics == {"did": 1.0, "test_accuracy": 0.75}
        assert logged.data.params["model.injection"] == "ffn"
        assert do(memory) != first  # the settings of training are still remembered: it is a rerun

    def test_evaluation_without_a_run_of_training_is_a_run(self, client, memory):
        assert client.get_run(do(memory, {}, resume=True)).info.status == "FINISHED"

    @pytest.mark.parametrize("resume", [False, True])
    def test_a_deleted_run_is_replaced(self, client, memory, resume):
        first = do(memory)
        client.delete_run(first)
        second = do(memory, resume=resume)
        assert second != first
        assert client.get_run(second).info.status == "FINISHED"

    def test_a_run_that_the_store_never_had_is_replaced(self, client, store, memory):
        memory.parent.mkdir(parents=True)
        memory.write_text(json.dumps({"uri": store.uri, "run_id": "0" * 32, "settings": SETTINGS}))
        assert client.get_run(do(memory)).info.status == "FINISHED"

    def test_a_run_in_another_store_is_left_alone(self, client, memory):
        memory.parent.mkdir(parents=True)
        elsewhere = {"uri": "http://elsewhere", "run_id": "abc", "settings": SETTINGS}
        memory.write_text(json.dumps(elsewhere))
        assert client.get_run(do(memory)).info.status == "FINISHED"

    @pytest.mark.parametrize("content", ["", "[]", '{"uri": '])
    def test_a_damaged_memory_is_replaced(self, client, memory, content):
        memory.parent.mkdir(parents=True)
        memory.write_text(content)
        assert client.get_run(do(memory)).info.status == "FINISHED"


class TestWithoutMlflow:
    def test_without_an_address_nothing_is_written(self, memory, monkeypatch, tmp_path, capsys):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.chdir(tmp_path)
        with tracked("run", memory, SETTINGS, TAGS) as run:
            run.log({"loss": 1.0}, 1)
            run.log_summary({"accuracy": 0.5})
            run.log_json({}, "x.json")
            run.log_file(Path("nowhere"))
        assert list(tmp_path.iterdir()) == []
        assert capsys.readouterr() == ("", "")

    def test_an_error_goes_on_all_the_same(self, memory, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with (
            pytest.raises(KeyboardInterrupt),
            tracked("run", memory, SETTINGS, TAGS),
        ):
            raise KeyboardInterrupt

    @pytest.mark.parametrize("address", ["unreachable", "no_database"])
    def test_a_store_that_cannot_be_used_is_said_once_and_work_goes_on(
        self, request, address, memory, monkeypatch, capsys
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue(address))
        results = []
        for _ in range(2):
            with tracked("run", memory, SETTINGS, TAGS) as run:
                run.log({"loss": 1.0}, 1)
                run.log_summary({"accuracy": 0.5})
                results.append("written")
        assert results == ["written"] * 2
        assert not memory.exists()
        lines = [line for line in capsys.readouterr().err.splitlines() if "tracking:" in line]
        assert len(lines) == 1
        assert lines[0].startswith("tracking: not logged (")
        assert lines[0].endswith("; results are not affected")

    @pytest.mark.slow  # for the store
    def test_a_store_that_breaks_during_the_work_is_said_and_work_goes_on(
        self, client, memory, monkeypatch, capsys
    ):
        from mlflow.exceptions import MlflowException

        def broken(*_, **__):
            raise MlflowException("the disk is full\nand more")

        with tracked("run", memory, SETTINGS, TAGS) as run:
            for method in ("log_batch", "log_dict", "log_artifact", "set_terminated"):
                monkeypatch.setattr(type(client), method, broken)
            run.log({"loss": 1.0}, 1)
            run.log_summary({"accuracy": 0.5})
            run.log_file(Path("nowhere"))
        reported = capsys.readouterr().err
        assert reported.count("tracking: not logged (the disk is full); results") == 1
        assert "and more" not in reported

    def test_a_database_without_its_driver_does_not_stop_work(self, no_driver, memory, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", no_driver)
        with tracked("run", memory, SETTINGS, TAGS) as run:
            run.log({"loss": 1.0})
