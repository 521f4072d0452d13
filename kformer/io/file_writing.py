"""Writing files so that a killed job never leaves half of one, and their checksums."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.io.locks import Lock

# What writing fails with where there is no room, or a bad disk.
_FAILED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to ``path``, which is renamed to ``path`` on success.

    The parent folder is made. The caller writes a file, or makes a folder, at the temporary path.
    When the block raises, the temporary path is removed and ``path`` stays as it was; what a
    killed process left behind is removed by the next one. A process that is writing the same
    ``path`` is waited for.

    Raises:
        KformerError: ``path`` is a folder that is not empty, or neither file nor folder. Such
            are never deleted here: they may be anybody's.
        OSError: with the name of ``path`` where the block could not write for lack of room,
            whatever it raised.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with Lock(path.parent.resolve() / path.name):
        if path.is_dir() and any(path.iterdir()):
            raise KformerError(
                f"{path}: this folder is there already; delete it or name another one"
            )
        if path.exists() and not path.is_file() and not path.is_dir():
            raise KformerError(f"{path}: this is neither a file nor a folder; name another one")
        remove(partial)
        try:
            yield partial
            if partial.is_file():
                synced(partial)
            partial.replace(path)
            synced(path.parent)
        except Exception as error:
            if failure := _failed_write(error):
                raise OSError(failure.errno, failure.strerror, str(path)) from error
            raise
        finally:
            remove(partial)


def remove_leftovers(path: Path) -> None:
    """Removes what a killed process left while it replaced a path that nobody writes now."""
    for kind in ("partial", "writing.lock"):
        remove(path.with_name(f".{path.name}.{kind}"))


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """A hard link with the current time, or a copy where the file system has no such links."""
    try:
        os.link(source, target)
        os.utime(target)
    except OSError:
        shutil.copyfile(source, target)


def _failed_write(error: BaseException) -> OSError | None:
    """The failed write that an exception is owed to, if it is; libraries have types of their own.

    numpy raises an OSError without a number, torch a RuntimeError in the context of the OSError,
    and libraries in Rust end their message with the number.
    """
    if isinstance(error, KformerError):
        return None
    if isinstance(error, OSError):
        if type(error) is OSError and error.errno is None and " requested and " in str(error):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return error if error.errno in _FAILED_WRITES else None
    number = re.search(r"\(os error (\d+)\)", str(error))
    if number and int(number[1]) in _FAILED_WRITES:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    return _failed_write(error.__context__) if error.__context__ else None


def synced(path: Path) -> None:
    """Waits until a file or the names in a folder are on the disk, where they survive a crash."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF)):
            raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(opened)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes indented JSON, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_memory(path: Path) -> dict[str, Any]:
    """What `write_json` wrote to remember; nothing where it is missing or damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Deletes a file, a link or a folder, if it is there; no link is followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
