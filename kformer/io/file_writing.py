"""Writing files so that a killed job never leaves half of one, and their checksums."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kformer.errors import KformerError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to ``path``, which is renamed to ``path`` on success.

    The parent folder is made. The caller writes a file, or makes a folder, at the temporary path.
    When the block raises, the temporary path is removed and ``path`` stays as it was; what a
    killed process left behind is removed by the next one.

    Raises:
        KformerError: ``path`` is a folder that is not empty, or neither file nor folder. Such
            are never deleted here: they may be anybody's.
    """
    path = path.absolute()
    if path.is_dir() and any(path.iterdir()):
        raise KformerError(f"{path}: this folder is there already; delete it or name another one")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise KformerError(f"{path}: this is neither a file nor a folder; name another one")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    try:
        yield partial
        partial.replace(path)
    finally:
        _remove(partial)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes indented JSON, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
