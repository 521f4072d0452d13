"""The store before the first job: created, usable, and with its artifacts where they are."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from kformer.errors import KformerError
from kformer.tracking import prepare_store, tracked


@pytest.mark.slow  # for the store
class TestPrepareStore:
    def test_the_experiment_knows_where_artifacts_go(self, store):
        experiment = store.client.get_experiment_by_name("study")
        assert experiment.artifact_location == store.artifacts.resolve().as_uri()

    def test_a_second_time_changes_nothing(self, store, tmp_path, capsys):
        before = store.client.get_experiment_by_name("study")
        prepare_store(store.uri, "study", store.artifacts)
        assert dict(store.client.get_experiment_by_name("study")) == dict(before)
        assert capsys.readouterr() == ("", "")

    def test_artifacts_that_go_elsewhere_are_told(self, store, tmp_path, capsys):
        prepare_store(store.uri, "study", tmp_path / "elsewhere")
        said = capsys.readouterr().err
        assert said == (
            "tracking: the store says that artifacts of study go to "
            f"{store.artifacts.resolve().as_uri()}\n"
        )

    def test_a_deleted_experiment_is_one_line_that_says_how_to_restore_it(self, store, tmp_path):
        prepare_store(store.uri, "deleted", tmp_path)
        number = store.client.get_experiment_by_name("deleted").experiment_id
        store.client.delete_experiment(number)
        with pytest.raises(KformerError, match="the MLflow experiment deleted was deleted") as told:
            prepare_store(store.uri, "deleted", tmp_path)
        restore = f"MLFLOW_TRACKING_URI={store.uri} mlflow experiments restore --experiment-id"
        assert f"({restore} {number}), or choose another name as experiment" in str(told.value)
        assert "\n" not in str(told.value)


@pytest.mark.slow  # for the store
def test_the_command_says_where_runs_go(store, kformer, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
    done = kformer("prepare-tracking", "--artifacts", store.artifacts)
    assert done == (0, "", f"tracking: experiment study in {store.uri}\n")


class TestAddresses:
    @pytest.mark.parametrize(
        "why",
        ["no database", "no folder", "no driver", "unknown kind", "a folder"],
    )
    def test_one_that_cannot_be_used_is_one_line(self, why, unusable, tmp_path):
        with pytest.raises(KformerError, match=r"^tracking\.uri: .* cannot be used") as caught:
            prepare_store(unusable[why], "study", tmp_path)
        assert unusable[why].replace("me:secret", "…") in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_server_that_does_not_answer_is_told_and_the_study_goes_on(
        self, unusable, tmp_path, capsys
    ):
        address = unusable["nobody answers"]
        assert not prepare_store(address, "study", tmp_path)
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"tracking: {address} does not answer (Connection refused); the study runs without it, "
            "and what is measured is kept, and sent when it answers"
        )

    @pytest.mark.parametrize(
        "uri",
        [
            "http://alice:s3cret@127.0.0.1:9",
            "http://alice:s3c/ret@127.0.0.1:9",
            "http://alice:s3%40cret@127.0.0.1:9",
            "http://127.0.0.1:9/?token=s3cret",
            "postgresql://alice:s3cret@127.0.0.1:9/mlflow",
            "carrier-pigeon://alice:s3cret@loft?token=s3cret",
        ],
    )
    def test_no_message_has_a_password(self, uri, tmp_path, monkeypatch, capfd):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        said = ""
        try:
            prepare_store(uri, "study", tmp_path)
        except KformerError as error:
            said = str(error)
        with tracked("run", tmp_path / "memory", {}, {}):
            pass
        said += "".join(capfd.readouterr()) + (tmp_path / "memory.jsonl").read_text()
        for part in ("s3c", "cret", "alice"):
            assert part not in said

    def test_a_question_mark_in_a_path_is_told(self, tmp_path):
        with pytest.raises(KformerError, match="an address ends at a \\?; rename the folder"):
            prepare_store(f"sqlite:///{tmp_path}/a?b/mlflow.db", "study", tmp_path)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "uri",
        [
            "sqlite://",
            "sqlite:///",
            "sqlite+pysqlite:///",
            "sqlite:///?timeout=5",
            "sqlite:///:memory:",
            "sqlite:///file::memory:?cache=shared&uri=true",
            "sqlite:///file:a?cache=shared&mode=memory&uri=true",
            "sqlite:///a.db?mode=memory",
            "sqlite:///file:/a?vfs=memdb&uri=true",
        ],
    )
    def test_a_store_in_memory_is_refused(self, uri, tmp_path):
        with pytest.raises(
            KformerError, match=r"this names no file, .* no other would see"
        ) as told:
            prepare_store(uri, "study", tmp_path)
        assert "\n" not in str(told.value)

    @pytest.mark.parametrize("target", ["absent/mlflow.db", "mlflow.db"])
    def test_a_link_to_nothing_or_to_itself_is_told_and_stays(self, target, tmp_path):
        link = tmp_path / "mlflow.db"
        link.symlink_to(target)
        with pytest.raises(
            KformerError, match=f"is a link to {target}, which is not there"
        ) as told:
            prepare_store(f"sqlite:///{link}", "study", tmp_path)
        assert "\n" not in str(told.value)
        assert list(tmp_path.iterdir()) == [link] and link.is_symlink()

    def test_a_blank_address_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(KformerError, match="it is blank"):
            prepare_store("  ", "study", tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def project(tmp_path, store):
    """A project with a store of its own, in which a stage of two experiments was tracked."""

    def opened(folder):
        results = folder / "results"
        return SimpleNamespace(
            folder=folder,
            uri=f"sqlite:///{results / 'mlflow.db'}",
            database=results / "mlflow.db",
            artifacts=lambda name: results / name / "mlflow-artifacts",
            opened=opened,
        )

    return opened(tmp_path / "a")


def track(project, name, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", project.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    prepare_store(project.uri, name, project.artifacts(name))
    with tracked("run", project.folder / f"{name}.json", {"a": 1}, {}, "always") as run:
        run.log_json({}, "more.json")


def locations(project):
    with closing(sqlite3.connect(project.database)) as opened:
        rows = opened.execute("SELECT artifact_location FROM experiments WHERE name != 'Default'")
        rows = [*rows, *opened.execute("SELECT artifact_uri FROM runs")]
    return [location for (location,) in rows]


@pytest.mark.slow  # for the store
@pytest.mark.parametrize("name", ["b", "b ?&#%20 ü"])
def test_a_project_that_was_copied_keeps_its_artifacts_with_it(
    project, monkeypatch, capsys, name, tmp_path
):
    track(project, "one", monkeypatch)
    track(project, "two", monkeypatch)
    before = sorted(path for path in project.folder.rglob("*") if path.is_file())
    copied = project.opened(tmp_path / name)
    shutil.copytree(project.folder, copied.folder)
    if "?" in name:
        monkeypatch.chdir(copied.folder)
        copied.uri, copied.database = "sqlite:///results/mlflow.db", Path("results/mlflow.db")
    capsys.readouterr()

    track(copied, "one", monkeypatch)

    assert capsys.readouterr().err.count("was moved here with its artifacts") == 1
    here = (copied.folder / "results").resolve().as_uri()
    assert len(locations(copied)) == 4
    assert all(location.startswith(f"{here}/") for location in locations(copied))
    assert len(list(copied.folder.rglob("more.json"))) == 2
    assert sorted(path for path in project.folder.rglob("*") if path.is_file()) == before
    there = (project.folder / "results").resolve().as_uri()
    assert all(location.startswith(f"{there}/") for location in locations(project))

    track(copied, "two", monkeypatch)
    assert capsys.readouterr().err == ""
