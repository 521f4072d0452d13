"""A checksum of a whole Parquet file, in the file itself.

Parquet's own checksums cover the pages of values, but neither the headers between them nor the
footer, which holds schema and metadata. So this puts a checksum of all other bytes between the
pages and the footer, where no reader looks: pages are found by their distance from the start, and
the footer by its distance from the end.
"""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

_LABEL = b"kformer:sha256:"
_LENGTH = len(_LABEL) + hashlib.sha256().digest_size
_ENDING = 8  # bytes after the footer: its length and PAR1
_AT_ONCE = 2**20


def seal(path: Path) -> None:
    """Puts the checksum into a Parquet file that was just written."""
    with path.open("r+b") as file:
        checksum = hashlib.file_digest(file, "sha256").digest()
        position = _footer(file)
        file.seek(position)
        footer = file.read()
        file.seek(position)
        file.write(_LABEL + checksum + footer)


def is_whole(path: Path) -> bool | None:
    """Whether every byte of a sealed file is as it was written; None where it has no seal."""
    state = path.stat()
    return _is_whole(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)  # a stage opens its tables several times
def _is_whole(path: Path, inode: int, size: int, mtime_ns: int) -> bool | None:
    with path.open("rb") as file:
        start = _footer(file) - _LENGTH
        if start < 0:
            return None
        file.seek(start)
        seal = file.read(_LENGTH)
        if not seal.startswith(_LABEL):
            return None
        file.seek(0)
        checksum = hashlib.sha256()
        for position in range(0, start, _AT_ONCE):
            checksum.update(file.read(min(_AT_ONCE, start - position)))
        file.seek(start + _LENGTH)
        checksum.update(file.read())
    return seal == _LABEL + checksum.digest()


def _footer(file: BinaryIO) -> int:
    """Where the footer starts; negative in a file that is too short for its length."""
    size = file.seek(0, os.SEEK_END)
    if size < _ENDING:
        return -1
    file.seek(size - _ENDING)
    return size - _ENDING - int.from_bytes(file.read(4), "little")
