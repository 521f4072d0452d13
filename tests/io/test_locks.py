"""Of two processes that write the same, the second waits for the first."""

import multiprocessing
import os
import re
import signal
import time

import pytest

from kformer.errors import KformerError
from kformer.io.locks import Lock

FORK = multiprocessing.get_context("fork")


def hold(paths, ready):
    with Lock(*paths):
        ready.set()
        time.sleep(600)


@pytest.fixture
def held():
    """Starts a process that holds the lock of some paths until it is killed."""
    processes = []

    def start(*paths):
        ready = FORK.Event()
        process = FORK.Process(target=hold, args=(paths, ready))
        process.start()
        processes.append(process)
        assert ready.wait(30)
        return process

    yield start
    for process in processes:
        process.kill()
        process.join()


def take(path, taken):
    with Lock(path):
        taken.set()


def waits(path):
    """A process that wants a lock, and the event that says that it has it."""
    taken = FORK.Event()
    process = FORK.Process(target=take, args=(path, taken))
    process.start()
    assert not taken.wait(0.5)
    return process, taken


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_second_waits_until_the_first_is_gone_however_it_ends(number, held, tmp_path):
    first = held(tmp_path / "folder")
    second, taken = waits(tmp_path / "folder")
    os.kill(first.pid, number)
    assert taken.wait(30)
    second.join()
    assert list(tmp_path.iterdir()) == []


def test_it_says_once_for_whom_it_waits(held, tmp_path, capfd):
    first = held(tmp_path / "folder")
    second, taken = waits(tmp_path / "folder")
    first.kill()
    assert taken.wait(30)
    second.join()
    (line,) = capfd.readouterr().err.splitlines()
    holder = rf"process {first.pid} on \S+, started \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\S*,"
    assert re.fullmatch(
        rf"{tmp_path}/folder: {holder} is writing it; waiting until that ends", line
    )


def test_the_lock_file_of_a_killed_process_locks_nothing(held, tmp_path):
    first = held(tmp_path / "folder")
    first.kill()
    first.join()
    assert (tmp_path / ".folder.writing.lock").exists()
    with Lock(tmp_path / "folder"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_several_paths_are_locked_together_in_whatever_order(held, tmp_path):
    first = held(tmp_path / "a", tmp_path / "b")
    for name in ("a", "b"):
        second, taken = waits(tmp_path / name)
        second.kill()
        second.join()
    second, taken = waits(tmp_path / "b")
    first.kill()
    assert taken.wait(30)
    second.join()


def test_a_lock_that_was_deleted_is_noticed(tmp_path):
    with Lock(tmp_path / "folder") as lock:
        lock.check()
        (tmp_path / ".folder.writing.lock").unlink()
        with pytest.raises(
            KformerError, match=r"\.folder\.writing\.lock: was deleted while .*folder was"
        ):
            lock.check()
        with Lock(tmp_path / "folder") as other:  # as another process could now
            other.check()
            with pytest.raises(KformerError):
                lock.check()
    with Lock(tmp_path / "folder") as lock:
        lock.check()


def test_without_locks_in_the_file_system_it_is_said_and_the_work_done(
    tmp_path, monkeypatch, capsys
):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("kformer.io.locks.fcntl.flock", unsupported)
    for _ in range(2):
        with Lock(tmp_path / "folder") as lock:
            lock.check()
    assert "has no locks; make sure yourself" in capsys.readouterr().err
