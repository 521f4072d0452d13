"""Files compressed with gzip, bzip2 or xz: what tells them, and reading them to their very end."""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

_PIECE = 2**18  # bytes

DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What reading a damaged one raises; an OSError of the disk has a number, others have none."""


class Compression(NamedTuple):
    """A way of compressing a file."""

    suffix: str
    magic: re.Pattern[bytes]
    """What such a file begins with."""
    open: Callable[[Path], Any]
    """Opens one to read what it holds, in bytes."""


class _Streams(io.RawIOBase):
    """What a file of one stream or several holds.

    The classes of `bz2` and `lzma` take a damaged stream behind another for the file's end.
    """

    def __init__(self, begin: Callable[[], Any], path: Path) -> None:
        self._begin = begin
        self._stream = begin()
        self._file = path.open("rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._more(len(buffer))
        buffer[: len(read)] = read
        return len(read)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _more(self, size: int) -> bytes:
        """The next bytes, so many at most; none at the end."""
        while True:
            packed = b""
            if self._stream.eof:
                if not (packed := self._behind_stream()):
                    return b""
                self._stream = self._begin()
            elif self._stream.needs_input and not (packed := self._file.read(_PIECE)):
                raise EOFError("the file ends before what it holds does")
            if read := self._stream.decompress(packed, size):
                return bytes(read)

    def _behind_stream(self) -> bytes:
        """What comes after the stream that has ended, without the zeros that may fill it up."""
        packed = self._stream.unused_data.lstrip(b"\0")
        while not packed and (piece := self._file.read(_PIECE)):
            packed = piece.lstrip(b"\0")
        return bytes(packed)


def _open_streams(begin: Callable[[], Any], path: Path) -> io.BufferedReader:
    return io.BufferedReader(_Streams(begin, path))


COMPRESSIONS = (
    Compression(".gz", re.compile(rb"\x1f\x8b"), gzip.GzipFile),
    Compression(
        ".bz2",
        re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
        partial(_open_streams, bz2.BZ2Decompressor),
    ),
    Compression(
        ".xz",
        re.compile(rb"\xfd7zXZ\0"),
        partial(_open_streams, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ)),
    ),
)
SUFFIXES = tuple(each.suffix for each in COMPRESSIONS)


def compression_of(start: bytes) -> Compression | None:
    """How a file is compressed that begins so; None for one that is not."""
    return next((each for each in COMPRESSIONS if each.magic.match(start)), None)


def opened(path: Path, compression: Compression | None) -> IO[bytes]:
    """Opens a file to read what it holds, unpacked; errors in it are `DAMAGED`."""
    unpacked: IO[bytes] = compression.open(path) if compression else path.open("rb")
    return unpacked
