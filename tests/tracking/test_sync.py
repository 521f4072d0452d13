"""Nothing that was measured is lost, and nothing is sent twice, whatever becomes of the server."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from kformer.tracking import Sync, begin_run, end_run, sender, tracked
from kformer.tracking.database import create_if_missing
from kformer.tracking.journal import Journal

pytestmark = pytest.mark.slow  # for the store, and servers of MLflow

TAGS = {"stage": "run", "condition": "kformer"}
SETTINGS = {"model": {"injection": "ffn"}}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Killed(BaseException):
    """No handler of errors hears of it."""


class Server:
    """A server of MLflow in a process of its own, which can be killed and started again."""

    def __init__(self, folder):
        self._folder, self._port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        create_if_missing(folder / "mlflow.db")
        self.start()

    def start(self):
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"),
            *("--artifacts-destination", self._folder / "artifacts"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=self._folder
            )
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            with suppress(URLError, ConnectionError), urlopen(f"{self.uri}/health"):
                return
            time.sleep(0.1)

    def kill(self):
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def server(tmp_path):
    (tmp_path / "server").mkdir()
    started = Server(tmp_path / "server")
    yield started
    started.kill()


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(sender, "_PAUSE", 0)


@contextmanager
def silent_server():
    """A server that takes connections and never answers; yields its address and those it took."""
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take():
            with suppress(OSError):
                while True:
                    taken.append(listening.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", taken
        listening.shutdown(socket.SHUT_RDWR)
    for each in taken:
        each.close()


def stage(memory, steps=range(1, 11), resume="unfinished", between=lambda step: None):
    """A stage that logs a point at each step."""
    with tracked("kformer seed-1", memory, SETTINGS, TAGS, resume) as run:
        for step in steps:
            run.log({"loss": 1 / step}, step)
            run.flush()
            between(step)
        run.log_summary({"accuracy": 0.5})


def runs_of(client, name="study"):
    return client.search_runs([client.get_experiment_by_name(name).experiment_id])


def points(client, run, metric):
    found = client.get_metric_history(run.info.run_id, metric)
    return sorted((each.step, each.value) for each in found)


def is_there_once(client, run, steps=range(1, 11)):
    assert points(client, run, "loss") == [(step, 1 / step) for step in steps]
    assert points(client, run, "accuracy") == [(0, 0.5)]
    assert run.info.status == "FINISHED"
    assert run.data.params["model.injection"] == "ffn"
    artifacts = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert artifacts == {"settings.json", "summary.json"}
    return True


@pytest.fixture
def only_run(client):
    """The one run of this test, in a store that others share."""
    before = {run.info.run_id for run in runs_of(client)}

    def found():
        (run,) = (run for run in runs_of(client) if run.info.run_id not in before)
        return run

    return found


def test_a_server_that_dies_in_a_training_and_comes_back(
    server, tmp_path, monkeypatch, no_pauses, capsys
):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
    at = {3: server.kill, 7: server.start}
    stage(tmp_path / "run.json", between=lambda step: at.get(step, lambda: None)())
    client = MlflowClient(server.uri)
    (run,) = runs_of(client)
    assert is_there_once(client, run)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tracking: not sent to MLflow (")


def test_one_that_hangs_is_asked_seldom_and_what_was_measured_is_sent_later(
    client, store, only_run, tmp_path, monkeypatch, capsys, kformer
):
    with silent_server() as (address, taken), monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", address)
        patched.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        stage(tmp_path / ".run.mlflow_run.json", range(1, 6))
        stage(tmp_path / ".run.mlflow_run.json", range(1, 11), resume="always")
        assert len(taken) <= 2  # one for each stage, however often they flush
    assert capsys.readouterr().err == (
        "tracking: not sent to MLflow (timed out); it is kept, and the next stage of the run or "
        "`kformer sync` sends it; results are not affected\n"
    )
    for _ in range(2):
        status, _, said = kformer("sync", tmp_path)
        assert (status, said) == (0, "all that was measured is in MLflow\n")
    assert is_there_once(client, only_run())


def test_a_sender_that_is_killed_after_any_entry_sends_none_twice(
    client, only_run, tmp_path, monkeypatch, no_pauses
):
    with monkeypatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        stage(tmp_path / ".mlflow_run.json")
    remember, left = Journal.remember, [0]

    def killed(self, position):
        """What was sent is not noted any more."""
        if not left[0]:
            raise Killed
        left[0] -= 1
        remember(self, position)

    monkeypatch.setattr(Journal, "remember", killed)
    for notes in range(12):
        left[0] = notes
        done = False
        with suppress(Killed):
            done = not Sync([tmp_path], os.environ["MLFLOW_TRACKING_URI"]).send()
        if notes % 3 == 0:
            (tmp_path / ".mlflow_run.json").unlink(missing_ok=True)
    assert done
    assert is_there_once(client, only_run())


def test_a_store_that_was_replaced_gets_all_of_a_run(client, tmp_path, monkeypatch, no_pauses):
    stage(tmp_path / "run.json", range(1, 6))
    elsewhere = f"sqlite:///{tmp_path / 'new.db'}"
    create_if_missing(tmp_path / "new.db")
    from mlflow import MlflowClient

    other = MlflowClient(elsewhere)
    other.create_experiment("study", artifact_location=(tmp_path / "artifacts").as_uri())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    stage(tmp_path / "run.json", range(6, 11), resume="always")
    (run,) = runs_of(other)
    assert is_there_once(other, run)


def test_eight_processes_at_once_on_a_fresh_store(store, tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)  # where artifacts go
    # Forked, they need not import MLflow again.
    started = [
        get_context("fork").Process(target=stage, args=(tmp_path / name / ".mlflow_run.json",))
        for name in "abcdefgh"
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    Sync([tmp_path], uri).send()  # where one has waited for the others for too long
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    runs = runs_of(client, "kformer")
    assert len(runs) == 8
    assert all(is_there_once(client, run) for run in runs)


class TestFollow:
    def test_stages_are_seen_while_they_run_and_are_nested_in_the_study(
        self, client, store, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("kformer.tracking.sync._SECONDS_BETWEEN_PASSES", 0.05)
        monkeypatch.setenv("KFORMER_TRACKING_IS_SENT", "1")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "followed")
        client.create_experiment("followed", artifact_location=(tmp_path / "artifacts").as_uri())
        is_over = threading.Event()
        study = tmp_path / ".study.mlflow_run.json"
        begin_run(store.uri, "study", study, {"stage": "study"})
        left = []
        following = threading.Thread(
            target=lambda: left.append(
                Sync([tmp_path], store.uri).follow(is_over, lambda: end_run(study, "FAILED"))
            )
        )
        following.start()
        with tracked("run", tmp_path / "a" / ".mlflow_run.json", SETTINGS, TAGS) as run:
            run.log({"loss": 1.0}, 1)
            run.flush()
            while len(runs_of(client, "followed")) < 2:
                time.sleep(0.05)
        is_over.set()
        following.join()
        assert left == [[]]
        runs = {run.data.tags["stage"]: run for run in runs_of(client, "followed")}
        assert runs["run"].data.tags["mlflow.parentRunId"] == runs["study"].info.run_id
        assert "mlflow.parentRunId" not in runs["study"].data.tags
        statuses = {stage: run.info.status for stage, run in runs.items()}
        assert statuses == {"run": "FINISHED", "study": "FAILED"}


class TestTheCommand:
    def test_what_cannot_be_sent_is_one_line(self, tmp_path, kformer, monkeypatch):
        uri = f"http://127.0.0.1:{free_port()}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        for name in "ab":
            stage(tmp_path / name / ".mlflow_run.json", range(1, 3))
        status, out, err = kformer("sync", tmp_path)
        assert (status, out) == (1, "")
        last = err.splitlines()[-1]
        assert last.startswith("error: 2 runs are not in MLflow as a whole (")
        assert last.endswith(f"; nothing is lost: kformer sync {tmp_path} sends what is missing")

    def test_without_an_address_runs_go_to_their_server(
        self, tmp_path, kformer, monkeypatch, store, client
    ):
        with silent_server() as (address, taken):
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            monkeypatch.setenv("KFORMER_TRACKING_IS_SENT", "1")
            stage(tmp_path / ".mlflow_run.json", range(1, 3))
            monkeypatch.delenv("MLFLOW_TRACKING_URI")
            assert not taken
            assert kformer("sync", tmp_path)[0] == 1
            assert taken

    @pytest.mark.parametrize("name", ["a", "a ü"])
    def test_a_store_that_was_moved_with_its_runs_gets_them(
        self, tmp_path, kformer, monkeypatch, name
    ):
        folder = tmp_path / "before"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        monkeypatch.setenv("KFORMER_TRACKING_IS_SENT", "1")
        monkeypatch.chdir(tmp_path)
        stage(folder / "run" / ".mlflow_run.json", range(1, 3))
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        folder.rename(tmp_path / name)
        assert kformer("sync", name)[0] == 0
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{tmp_path / name / 'mlflow.db'}")
        (run,) = runs_of(client, "kformer")
        assert is_there_once(client, run, range(1, 3))

    def test_a_server_with_a_password_is_asked_for(self, tmp_path, kformer, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cret@127.0.0.1:{free_port()}")
        monkeypatch.setenv("KFORMER_TRACKING_IS_SENT", "1")
        stage(tmp_path / ".mlflow_run.json", range(1, 3))
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        status, _, err = kformer("sync", tmp_path)
        assert status == 1
        assert "not with its password; give it as MLFLOW_TRACKING_URI" in err
        assert "s3cret" not in err + Journal(tmp_path / ".mlflow_run.json").path.read_text()

    def test_a_folder_that_is_not_there_is_told(self, tmp_path, kformer):
        status, _, err = kformer("sync", tmp_path / "absent")
        assert (status, err.count("\n")) == (1, 1)
        assert "there is no such folder; name one that holds runs" in err


class TestJournals:
    def test_a_full_disk_is_one_line_and_what_waits_is_written_when_there_is_room(
        self, client, only_run, tmp_path, monkeypatch, capsys
    ):
        append, full = Journal.append, [True]

        def appended(self, entries):
            if full[0] and any(entry["kind"] == "metrics" for entry in entries):
                raise OSError(28, "No space left on device", "run.jsonl")
            append(self, entries)

        monkeypatch.setattr(Journal, "append", appended)
        stage(tmp_path / "run.json", between=lambda step: full.__setitem__(0, step < 8))
        assert is_there_once(client, only_run())
        assert capsys.readouterr().err.count("No space left on device") == 1

    def test_a_write_that_fails_leaves_no_half_line(self, tmp_path, monkeypatch):
        journal = Journal(tmp_path / "run.json")
        journal.append([{"kind": "begin", "n": 1}])
        before = journal.path.read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
            with pytest.raises(OSError, match="full"):
                journal.append([{"kind": "end", "status": "x"}])
        assert journal.path.read_bytes() == before

    @pytest.mark.parametrize("torn", [b'{"kin', b"\x00\xff\n", b'[{"a": 1}]\n', b"\n"])
    def test_what_a_crash_damaged_is_left_out_and_no_more(self, tmp_path, torn):
        journal = Journal(tmp_path / "run.json")
        journal.append([{"kind": "begin"}])
        with journal.path.open("ab") as file:
            file.write(torn)
        journal.append([{"kind": "end"}])
        assert [entry for _, _, entry in journal.entries()] == [{"kind": "begin"}, {"kind": "end"}]

    @pytest.mark.parametrize("noted", ["", "[]", '{"sent": -1}', '{"sent": 1e9, "postponed": 5}'])
    def test_damaged_notes_of_what_was_sent_send_nothing_twice(
        self, client, only_run, tmp_path, noted, no_pauses
    ):
        stage(tmp_path / "run.json", range(1, 6))
        (tmp_path / "run.json").write_text(noted)
        stage(tmp_path / "run.json", range(6, 11), resume="always")
        assert is_there_once(client, only_run())

    def test_a_file_that_was_deleted_before_it_was_sent_is_told_and_holds_nothing_up(
        self, client, only_run, tmp_path, capsys
    ):
        with tracked("run", tmp_path / ".mlflow_run.json", SETTINGS, TAGS) as run:
            run.log_file(tmp_path / "page.html")
        assert only_run().info.status == "FINISHED"
        assert "page.html: is not there any more" in capsys.readouterr().err
        assert Sync([tmp_path], os.environ["MLFLOW_TRACKING_URI"]).send() == []

    def test_an_artifact_that_cannot_be_sent_holds_nothing_up_and_is_tried_again(
        self, client, only_run, tmp_path, monkeypatch
    ):
        def broken(*_):
            raise OSError(13, "Permission denied", "/mnt/artifacts")

        with monkeypatch.context() as patched:
            patched.setattr(type(client), "log_artifact", broken)
            patched.setattr(type(client), "log_dict", broken)
            stage(tmp_path / ".mlflow_run.json")
        assert points(client, only_run(), "loss") == [(step, 1 / step) for step in range(1, 11)]
        assert Sync([tmp_path], os.environ["MLFLOW_TRACKING_URI"]).send() == []
        assert is_there_once(client, only_run())
