"""Checksums of what was written, kept beside it or in it, so that damage is noticed on reading."""

import hashlib
import json
import stat
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of, synced, write_json
from kformer.io.visible_files import visible_files

CHECKSUMS = "checksums.json"
"""In a folder whose files belong together: the SHA-256 of each of them. It is written last."""

_CHECKSUM = "checksum"


def write_checksums(folder: Path, **notes: str) -> None:
    """Notes the checksums of all files in a folder, and waits until all of them are on the disk.

    All files get the permissions that a new file has, also those that a library made private.

    Args:
        folder: complete but for this.
        notes: what else is to be known of the folder, see `read_notes`.
    """
    files = {name: sha256_of(folder / name) for name in _names_in(folder)}
    write_json(folder / CHECKSUMS, {**notes, "files": files})
    usual = stat.S_IMODE((folder / CHECKSUMS).stat().st_mode)
    for name in files:
        (folder / name).chmod(usual)
        synced(folder / name)
    synced(folder)


def read_notes(folder: Path) -> Mapping[str, Any]:
    """What `write_checksums` noted of a folder; nothing if that is missing or damaged."""
    if not (folder / CHECKSUMS).is_file():
        return {}
    try:
        content = json.loads((folder / CHECKSUMS).read_text("utf-8"))
    except (ValueError, RecursionError):
        return {}
    is_whole = isinstance(content, dict) and isinstance(content.get("files"), dict)
    return content if is_whole else {}


def damage_in(folder: Path) -> str | None:
    """What is wrong with a folder that has checksums, such as ``config.json is missing``.

    Hidden files do not count: file managers and file systems leave them.

    Returns:
        the first problem, in words; None if all files are what was written.
    """
    notes = read_notes(folder)
    if not notes:
        return f"{CHECKSUMS} is missing or damaged"
    found = set(_names_in(folder))
    for name, checksum in sorted(notes["files"].items()):
        if name not in found:
            return f"{name} is missing"
        if _sha256_of(folder / name) != checksum:
            return f"{name} is not what was written (its checksum differs)"
    if added := sorted(found - notes["files"].keys()):
        return f"{added[0]} was added to it"
    return None


def check_saved(folder: str | Path) -> None:
    """Raises KformerError if a folder has checksums, as a run's model has, and is damaged."""
    if (Path(folder) / CHECKSUMS).is_file() and (damage := damage_in(Path(folder))):
        raise KformerError(f"{folder}: damaged ({damage}); delete it and make it again")


def _sha256_of(path: Path) -> str:
    state = path.stat()
    return _cached_sha256(path.absolute(), state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)  # model and tokenizer are read from one folder
def _cached_sha256(path: Path, inode: int, size: int, mtime_ns: int) -> str:
    return sha256_of(path)


def _names_in(folder: Path) -> list[str]:
    """The files of a folder, relative to it; neither hidden ones nor the checksums."""
    names = {file.relative_to(folder).as_posix() for file in visible_files(folder)}
    return sorted(names - {CHECKSUMS})


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a JSON file with its own checksum as the last entry."""
    return {**content, _CHECKSUM: checksum_of(content)}


def is_sealed(content: Mapping[str, Any]) -> bool:
    """Whether the content of a JSON file is what `sealed` made."""
    rest = {key: value for key, value in content.items() if key != _CHECKSUM}
    return content.get(_CHECKSUM) == checksum_of(rest)


def checksum_of(content: Mapping[str, Any]) -> str:
    """The SHA-256 of JSON content, whatever the order of its keys."""
    canonical = json.dumps(content, sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
