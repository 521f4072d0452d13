"""The lock of a run, with real processes that hold it and are really killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.study.run_lock import JOBS_LOCK_VARIABLE, lock_run, marked_as_job

HOLD_RUN = """
import sys, time
from pathlib import Path
from kformer.study.run_lock import lock_run
lock = lock_run(Path(sys.argv[1]), Path(sys.argv[2]))
print("locked", flush=True)
time.sleep(60)
"""
WORK_AS_JOB = """
import sys
from kformer.study.run_lock import marked_as_job
with marked_as_job():
    print("working", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def locks(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "results" / ".lock", tmp_path / "results" / ".jobs"


@contextmanager
def process(code: str, *arguments: object, **environment: str) -> Iterator[subprocess.Popen]:
    """A Python process that has printed its first line, killed at the end."""
    call = [sys.executable, "-c", code, *map(str, arguments)]
    started = subprocess.Popen(
        call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    try:
        started.stdout.readline()
        yield started
    finally:
        started.kill()
        started.wait()


def test_a_second_run_is_refused_and_hears_who_holds_the_folder(locks):
    with process(HOLD_RUN, *locks) as first, pytest.raises(KformerError) as refused:
        lock_run(*locks)
    assert "another run is using this folder" in str(refused.value)
    assert f"process {first.pid} on " in str(refused.value)


def test_the_lock_of_a_killed_run_is_free_at_once(locks):
    with process(HOLD_RUN, *locks) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        lock_run(*locks)


def test_the_lock_is_held_for_as_long_as_it_lives(locks):
    lock = lock_run(*locks)
    with pytest.raises(KformerError, match="another run"):
        lock_run(*locks)
    lock.close()
    lock_run(*locks)


DAMAGED = [b"", b" ", b"x kformer train", b"7", b"\x00\xff 1", b"9" * 30 + b" kformer", b"-1 x"]


@pytest.mark.parametrize("damaged", [[], DAMAGED])
def test_a_run_waits_for_jobs_of_a_killed_one_and_names_them(damaged, locks):
    locks[1].parent.mkdir()
    locks[1].write_bytes(b"".join(line + b"\n" for line in damaged))
    with process(WORK_AS_JOB, "train", **{JOBS_LOCK_VARIABLE: str(locks[1])}) as job:
        run = subprocess.Popen(
            [sys.executable, "-c", HOLD_RUN, *map(str, locks)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            line = run.stderr.readline()
            assert "waiting" in line and f" left: kformer train (process {job.pid}); 0 s" in line
            job.stdin.close()  # its work is done
            assert run.stdout.readline() == "locked\n"
        finally:
            run.kill()
            run.wait()


def test_jobs_of_one_run_do_not_wait_for_each_other(locks, monkeypatch):
    locks[1].parent.mkdir()
    monkeypatch.setenv(JOBS_LOCK_VARIABLE, str(locks[1]))
    with process(WORK_AS_JOB), marked_as_job():
        pass


def test_a_command_that_no_run_started_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.delenv(JOBS_LOCK_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with marked_as_job():
        assert list(tmp_path.iterdir()) == []
