"""One run at a time in a folder, and no job of a killed run beside it.

All locks are the kernel's: they are released however a process ends, so there is never anything to
clean up by hand. A run that was killed alone leaves its jobs behind; they finish, and the next run
waits for them.
"""

import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kformer.errors import KformerError
from kformer.io.locks import locked
from kformer.progress import SECONDS_BETWEEN_LINES

_SECONDS_BETWEEN_TRIES = 0.2
_JOB = re.compile(r"(?P<process>[1-9][0-9]{0,8}) (?P<what>.*\S)\s*")  # a line of a file of jobs

JOBS_LOCK_VARIABLE = "KFORMER_JOBS_LOCK"
"""Names, for every job of a run, the file that the job locks for as long as it lives."""


def lock_run(run_lock: Path, jobs_lock: Path) -> IO[str]:
    """Locks a folder for a run, and waits for jobs that a killed run has left behind.

    Returns:
        the lock: the folder is locked for as long as this lives.

    Raises:
        KformerError: another run is using the folder.
    """
    run_lock.parent.mkdir(parents=True, exist_ok=True)
    lock = run_lock.open("a+")
    if not locked(lock.fileno(), run_lock):
        raise _is_running(run_lock)
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.ctime()}")
    lock.flush()
    _wait_for_jobs(jobs_lock)
    return lock


def refuse_running(run_lock: Path) -> None:
    """Raises KformerError if a run is using a folder."""
    if run_lock.is_file():
        with run_lock.open("a+") as lock:
            if not locked(lock.fileno(), run_lock):
                raise _is_running(run_lock)


def _is_running(run_lock: Path) -> KformerError:
    return KformerError(
        f"{run_lock}: another run is using this folder ({_owner(run_lock)}); wait until it ends, "
        "or work in another folder"
    )


@contextmanager
def marked_as_job() -> Iterator[None]:
    """While the block runs, this process counts as a job of the run that started it, if any."""
    name = os.environ.get(JOBS_LOCK_VARIABLE)
    if name is None:
        yield
        return
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        while not locked(file.fileno(), path, shared=True):
            time.sleep(_SECONDS_BETWEEN_TRIES)  # while a new run makes sure that it is alone
        file.write(f"{os.getpid()} kformer {' '.join(sys.argv[1:2])}\n")
        file.flush()
        yield


def _wait_for_jobs(jobs_lock: Path) -> None:
    with jobs_lock.open("a+", errors="replace") as file:
        began = time.monotonic()
        next_line = began
        while not locked(file.fileno(), jobs_lock):
            if time.monotonic() >= next_line:
                next_line += SECONDS_BETWEEN_LINES
                waited = f"{time.monotonic() - began:.0f} s"
                line = f"waiting for jobs that a killed run has left: {_alive(file)}; {waited}"
                print(line, file=sys.stderr, flush=True)
            time.sleep(_SECONDS_BETWEEN_TRIES)
        file.truncate(0)


def _alive(file: IO[str]) -> str:
    """The jobs in a file of jobs that still run, for a person."""
    file.seek(0)
    # A crash or a full disk may have damaged lines.
    jobs = filter(None, map(_JOB.fullmatch, file.read().splitlines()))
    running = (job for job in jobs if _runs(int(job["process"])))
    alive = [f"{job['what']} (process {job['process']})" for job in running]
    return ", ".join(alive) or "on another machine"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _owner(lock: Path) -> str:
    return lock.read_text("utf-8", errors="replace").strip() or "which is just starting"
