"""Kernel locks on files and folders that are being written, which say who holds them.

The kernel releases a lock however its process ends. The lock of ``folder/name`` is that of the file
``folder/.name.writing.lock``, which is there only while something is written, or after a kill.
Locks for other work on the same path, such as a download, have other names and do not exclude it.
"""

import contextlib
import errno
import fcntl
import os
import socket
import sys
import time
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Self

from kformer.errors import KformerError

_SECONDS_BETWEEN_TRIES = 0.2
_SECONDS_BETWEEN_LINES = 60.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Lock:
    """A lock on one or several paths, held inside its ``with`` block.

    Whoever comes second waits for the first, and says on stderr for whom.
    """

    def __init__(self, *paths: Path, work: str = "writing") -> None:
        """Prepares the lock; nothing is held yet.

        Args:
            paths: what is going to be written; they need not exist. Where a link stands for what
                it points to, resolve it: there is one lock for each path as it is given.
            work: what is done to them, for messages and the lock's name.
        """
        # In one order everywhere, so that two processes never wait for each other.
        self._paths = sorted({path.absolute() for path in paths})
        self._work = work
        self._held: dict[Path, int] = {}  # file descriptors

    def __enter__(self) -> Self:
        try:
            for path in self._paths:
                self._held[path] = self._acquired(path)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def check(self) -> None:
        """Raises KformerError if a lock was deleted: another process may write there now."""
        for path, lock in self._held.items():
            if not _lies_at(lock, self._lock_file(path)):
                raise KformerError(
                    f"{self._lock_file(path)}: was deleted while {path} was being written, where "
                    "another process may be writing now; stopped, start the same command again"
                )

    def _release(self) -> None:
        for path, lock in self._held.items():
            if _lies_at(lock, self._lock_file(path)):
                self._lock_file(path).unlink(missing_ok=True)
            os.close(lock)
        self._held.clear()

    def _lock_file(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.{self._work}.lock")

    def _acquired(self, path: Path) -> int:
        """A file descriptor that holds the lock of a path, as soon as nobody else does."""
        last_line = -_SECONDS_BETWEEN_LINES
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._lock_file(path), os.O_RDWR | os.O_CREAT, 0o666)
            try:
                is_held = locked(lock, self._lock_file(path))
                # Its holder deletes it in the end: then another file is the lock.
                if is_held and _lies_at(lock, self._lock_file(path)):
                    _note_holder(lock)
                    return lock
                if not is_held and time.monotonic() - last_line >= _SECONDS_BETWEEN_LINES:
                    last_line = time.monotonic()
                    line = f"{path}: {_holder(lock)} is {self._work} it; waiting until that ends"
                    print(line, file=sys.stderr)
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)
            if not is_held:
                time.sleep(_SECONDS_BETWEEN_TRIES)


def locked(file: int, path: Path, shared: bool = False) -> bool:
    """Locks an open file, unless a process holds it that does not share it.

    Where a file system has no locks, this is said once for each folder, and work goes on.

    Args:
        file: its descriptor, open for reading and writing, as locks on NFS need it.
        path: what it is called, for messages.
        shared: whether others may hold it at the same time, if they share it too.

    Returns:
        False if another process holds it.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OSError(error.errno, error.strerror, str(path)) from None
        _say_that_there_are_no_locks(path.parent)
    return True


@cache
def _say_that_there_are_no_locks(folder: Path) -> None:
    print(
        f"{folder}: this file system has no locks; make sure yourself that no second run uses it",
        file=sys.stderr,
    )


def _holder(lock: int) -> str:
    """Who holds a lock, as `_note_holder` wrote it."""
    noted = os.pread(lock, 200, 0).decode("utf-8", "replace")
    return " ".join(noted.split()) or "another process"


def _note_holder(lock: int) -> None:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    holder = f"process {os.getpid()} on {socket.gethostname()}, started {since},"
    with contextlib.suppress(OSError):  # the lock holds without it, such as on a full disk
        os.ftruncate(lock, 0)
        os.pwrite(lock, holder.encode(), 0)


def _lies_at(lock: int, path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False
