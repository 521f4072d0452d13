"""A checksum of a whole Parquet or Arrow file, in the file itself.

Parquet's own checksums cover the pages of values, but neither the headers between them nor the
footer, which holds schema and metadata; Arrow files have none at all. So this puts a checksum of
all other bytes between values and footer, where no reader looks: values are found by their distance
from the start, and the footer by its distance from the end.
"""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

_LABEL = b"kformer:sha256:"
_LENGTH = len(_LABEL) + hashlib.sha256().digest_size
_LENGTH_OF_FOOTER = 4  # bytes of the number behind the footer, which the last bytes follow
_ARROW_ENDS_WITH, _PARQUET_ENDS_WITH = b"ARROW1", b"PAR1"
_AT_ONCE = 2**20


def seal(path: Path) -> None:
    """Puts the checksum into a Parquet or Arrow file that was just written."""
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
    last = _last_bytes(file, size)
    position = size - len(last) - _LENGTH_OF_FOOTER
    if position < 0:
        return -1
    file.seek(position)
    return position - int.from_bytes(file.read(_LENGTH_OF_FOOTER), "little")


def _last_bytes(file: BinaryIO, size: int) -> bytes:
    """What a file of its kind ends with; of one that was damaged there, what Parquet ends with."""
    file.seek(max(size - len(_ARROW_ENDS_WITH), 0))
    return _ARROW_ENDS_WITH if file.read() == _ARROW_ENDS_WITH else _PARQUET_ENDS_WITH
