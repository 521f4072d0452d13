"""MLflow: what is logged, which run is resumed, and that work never fails because of it."""

import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from kformer.cli.stage import tracked_training
from kformer.errors import KformerError
from kformer.io.output_names import RunFolder
from kformer.tracking import DataSet, tracked
from kformer.tracking import run as stages

SETTINGS = {"model": {"injection": "ffn", "layers": [1, 3]}, "seed": 1}
TAGS = {"stage": "run", "condition": "kformer"}


def id_in(memory):
    return json.loads(memory.read_text("utf-8"))["run_id"]


def do(memory, settings=SETTINGS, **options):
    """One stage from beginning to end; returns its run's id."""
    with tracked("kformer seed-1", memory, settings, TAGS, **options) as run:
        run.log({"did": 1.0})
    return id_in(memory)


@pytest.fixture
def start(memory):
    """Starts a stage that is killed before its end; returns its run's id."""
    killed = []  # kept: a stage that is collected as garbage is one that failed

    def stage():
        killed.append(tracked("run", memory, SETTINGS, TAGS))
        killed[-1].__enter__()
        return id_in(memory)

    return stage


@pytest.mark.slow  # for the store
class TestWhatIsLogged:
    def test_settings_metrics_and_artifacts(self, client, store, memory):
        summary = {"accuracy": 0.5, "steps": 2, "precision": "bf16", "none": None, "per": {"a": 1}}
        with tracked("kformer seed-1", memory, SETTINGS, TAGS) as run:
            run.log({"loss": 2.0, "unknown": None}, 1)
            run.log({"loss": 1.5}, 2)
            running = client.get_run(id_in(memory)).info.status
            run.log_summary(summary)
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

        folder = store.artifacts / id_in(memory) / "artifacts"
        assert json.loads((folder / "summary.json").read_text()) == summary
        assert json.loads((folder / "settings.json").read_text()) == SETTINGS

    @pytest.mark.parametrize("seed", [7, None])
    def test_a_run_is_found_by_its_condition_and_its_seed_if_any(self, client, tmp_path, seed):
        folder = RunFolder.of(tmp_path, "kformer", seed)
        with tracked_training("evaluate", folder, {}):
            pass
        logged = client.get_run(id_in(folder.path / ".mlflow_run.json"))
        assert logged.info.run_name == folder.title
        assert logged.data.tags["condition"] == logged.data.params["condition"] == "kformer"
        expected = None if seed is None else str(seed)
        assert logged.data.tags.get("seed") == logged.data.params.get("seed") == expected

    def test_what_a_condition_has_otherwise_than_the_baseline_is_told(
        self, client, tmp_path, monkeypatch
    ):
        everything = {"model": {"injection": "none", "facts": 5}, "retrieval": {"control": None}}
        changed = {"model": {"injection": "ffn", "facts": 5}, "retrieval": {"control": "shuffle"}}
        conditions = {
            "none": {"read": {"model": {"injection": "none"}}, "all": everything},
            "kformer": {"read": changed, "all": changed},
        }
        content = {"baseline": "none", "conditions": conditions}
        (tmp_path / "conditions.json").write_text(json.dumps(content))
        monkeypatch.setenv("KFORMER_CONFIG", str(tmp_path / "config.json"))

        def parameters(condition):
            folder = RunFolder.of(tmp_path, condition, 1)
            with tracked_training("train", folder, {"model": {"injection": "ffn"}}):
                pass
            return client.get_run(id_in(folder.tracking)).data.params

        kformer = parameters("kformer")
        assert kformer["changes"] == "model.injection: ffn, retrieval.control: shuffle"
        assert kformer["model.facts"] == "5"
        assert kformer["retrieval.control"] == "shuffle"
        assert parameters("none")["changes"] == "none"
        assert "changes" not in parameters("of another study")

    def test_where_it_comes_from(self, client, memory):
        tags = client.get_run(do(memory)).data.tags
        assert tags["mlflow.source.name"].startswith("kformer")
        assert tags["kformer.command"].startswith(tags["mlflow.source.name"])
        commit = subprocess.run(
            ["git", "-C", Path(__file__).parent, "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
        )
        assert tags.get("mlflow.source.git.commit", "") == commit.stdout.strip()

    def test_data_sets_that_were_read_each_once(self, client, memory):
        read = [DataSet("facts", "0123456789abcdef" * 4, "results/facts.parquet")]
        for _ in range(2):
            with tracked("run", memory, SETTINGS, TAGS, "always") as run:
                run.log_inputs(read, "train")
        (found,) = client.get_run(id_in(memory)).inputs.dataset_inputs
        assert (found.dataset.name, found.dataset.digest) == ("facts", "0123456789abcdef")
        assert json.loads(found.dataset.source) == {"uri": "results/facts.parquet"}
        assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "train")]

    def test_files_and_the_config_of_the_experiment(self, client, memory, tmp_path, monkeypatch):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "figure.svg").write_text("<svg/>")
        monkeypatch.setenv("KFORMER_CONFIG", str(tmp_path / "config.json"))
        with tracked("run", memory, SETTINGS, TAGS) as run:
            run.log_file(tmp_path / "figure.svg")
        logged = {each.path for each in client.list_artifacts(id_in(memory))}
        assert logged == {"config.json", "figure.svg", "settings.json"}

    def test_metrics_are_sent_together_every_few_seconds(self, client, memory, monkeypatch):
        def sent():
            return len(client.get_metric_history(id_in(memory), "loss"))

        with tracked("run", memory, SETTINGS, TAGS) as run:
            for step in range(50):
                run.log({"loss": 1.0 / (step + 1)}, step)
            assert sent() == 0
            later = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + 60)
            monkeypatch.setattr(stages, "time", later)
            run.log({"loss": 0.0}, 50)
            assert sent() == 51

    def test_values_longer_than_mlflow_takes_are_cut(self, client, memory):
        run_id = do(memory, {"long": "x" * 10_000})
        assert client.get_run(run_id).data.params["long"] == "x" * 5999 + "…"

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, KformerError])
    def test_a_stage_that_fails_is_failed_and_its_error_is_raised(self, client, memory, error):
        with pytest.raises(error, match="broken"), tracked("run", memory, SETTINGS, TAGS) as run:
            run.log({"loss": 2.0})
            raise error("broken")
        logged = client.get_run(id_in(memory))
        assert logged.info.status == "FAILED"
        assert logged.data.metrics == {"loss": 2.0}


@pytest.mark.slow  # for the store
class TestWhichRunIsResumed:
    def test_a_rerun_of_what_was_finished_is_a_new_run_that_supersedes_it(self, client, memory):
        first, second = do(memory), do(memory)
        assert first != second
        assert client.get_run(first).data.tags["superseded_by"] == second
        assert client.get_run(first).info.status == "FINISHED"
        assert "superseded_by" not in client.get_run(second).data.tags

    def test_a_killed_or_failed_run_is_resumed(self, client, memory, start):
        first = start()
        assert client.get_run(first).info.status == "RUNNING"
        with pytest.raises(ValueError, match="x"), tracked("run", memory, SETTINGS, TAGS):
            raise ValueError("x")
        assert client.get_run(first).info.status == "FAILED"
        assert start() == first
        assert client.get_run(first).info.status == "RUNNING"
        assert do(memory) == first
        assert client.get_run(first).info.status == "FINISHED"

    def test_a_killed_run_with_other_settings_is_superseded(self, client, memory, start):
        first = start()
        second = do(memory, {**SETTINGS, "seed": 2})
        assert second != first
        assert client.get_run(first).data.tags["superseded_by"] == second

    def test_evaluation_joins_the_finished_run_of_training(self, client, memory):
        first = do(memory)
        with tracked("evaluate", memory, {}, TAGS, resume="always") as run:
            run.log_summary({"test_accuracy": 0.75})
        assert id_in(memory) == first
        logged = client.get_run(first)
        assert logged.info.status == "FINISHED"
        assert logged.data.metrics == {"did": 1.0, "test_accuracy": 0.75}
        assert logged.data.params["model.injection"] == "ffn"
        assert do(memory) != first  # the settings of training are still remembered: it is a rerun

    def test_evaluation_without_a_run_of_training_is_a_run(self, client, memory):
        assert client.get_run(do(memory, {}, resume="always")).info.status == "FINISHED"

    @pytest.mark.parametrize("resume", ["unfinished", "always"])
    def test_a_deleted_run_is_replaced(self, client, memory, resume):
        first = do(memory)
        client.delete_run(first)
        second = do(memory, resume=resume)
        assert second != first
        assert client.get_run(second).info.status == "FINISHED"

    def test_a_run_that_this_store_does_not_have_is_found_by_its_own_id(
        self, client, memory, start, capsys
    ):
        first = start()
        memory.write_text(json.dumps(json.loads(memory.read_text()) | {"run_id": "0" * 32}))
        assert do(memory) == first
        assert client.get_run(first).info.status == "FINISHED"
        assert "not logged" not in capsys.readouterr().err

    def test_the_finished_run_of_the_same_settings_is_resumed_where_work_goes_on(
        self, client, memory
    ):
        first = do(memory)
        assert do(memory, resume="same settings") == first
        assert do(memory, {**SETTINGS, "seed": 2}, resume="same settings") != first

    @pytest.mark.parametrize(
        "content",
        [
            *("", "[]", '{"run_id": ', "[" * 9999, "\x00"),
            *(json.dumps({"run_id": wrong, "settings": SETTINGS}) for wrong in (5, None, [], {})),
            *(json.dumps({"run_id": wrong}) for wrong in ("", "../x", "a b", "x" * 999, "\ud800")),
        ],
    )
    def test_a_damaged_memory_is_replaced(self, client, memory, content, capsys):
        memory.parent.mkdir(parents=True)
        memory.write_text(content)
        assert client.get_run(do(memory)).info.status == "FINISHED"
        assert client.get_run(do(memory)).info.status == "FINISHED"
        assert "not logged" not in capsys.readouterr().err

    def test_a_stage_that_cannot_be_remembered_is_tracked_all_the_same(
        self, client, memory, capsys
    ):
        (memory / "a folder").mkdir(parents=True)
        with tracked("unremembered", memory, SETTINGS, TAGS) as at_work:
            at_work.log({"did": 2.0})
        found = client.search_runs(["1"], "attributes.run_name = 'unremembered'")
        assert found[0].data.metrics == {"did": 2.0}
        assert "this folder is there already" in capsys.readouterr().err


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

    def test_an_error_is_raised_all_the_same(self, memory, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with pytest.raises(KeyboardInterrupt), tracked("run", memory, SETTINGS, TAGS):
            raise KeyboardInterrupt

    @pytest.mark.parametrize("why", ["nobody answers", "no database", "no driver"])
    def test_a_store_that_cannot_be_used_is_reported_once_and_does_not_stop_work(
        self, why, unusable, memory, monkeypatch, capsys
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", unusable[why])
        for _ in range(2):
            with tracked("run", memory, SETTINGS, TAGS) as run:
                run.log({"loss": 1.0}, 1)
                run.log_summary({"accuracy": 0.5})
        assert not memory.exists()
        (line,) = (line for line in capsys.readouterr().err.splitlines() if "tracking:" in line)
        assert line.startswith("tracking: not sent to MLflow (")
        assert line.endswith("; results are not affected")

    @pytest.mark.slow  # for the store
    def test_a_store_that_breaks_is_reported_and_does_not_stop_work(
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
        assert reported.count("(artifacts: the disk is full); it is kept") == 1
        assert "and more" not in reported
