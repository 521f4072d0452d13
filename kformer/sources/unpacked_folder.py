"""The folder that an archive is unpacked to, whatever the archive says."""

import errno
from pathlib import Path, PureWindowsPath
from typing import IO, Protocol

from kformer.sources.disk_space import naming, no_room_for, spare_bytes

MAX_DEPTH = 50  # folders below each other
CHUNK = 2**20  # bytes that are unpacked at a time


class BadArchive(Exception):
    """What is wrong with an archive; the message follows the archive's name."""


class Readable(Protocol):
    """The content of a member."""

    def read(self, size: int, /) -> bytes: ...


def shown(name: str) -> str:
    """The name of a member for a message: on one line, and not too long."""
    text = repr(name)
    return text if len(text) <= 90 else f"{text[:88]}…'"


class UnpackedFolder:
    """Counts members and bytes, writes plain files only, each once, and only inside itself.

    Attributes:
        path: a folder that exists.
        max_bytes: of all files together.
        files: how many were written.
        bytes: of all of them.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.files = 0
        self.bytes = 0
        self._spare = spare_bytes(path)

    def add(self, name: str, content: Readable) -> None:
        """Writes a file.

        Raises:
            BadArchive: its name or its size is not acceptable.
            KformerError: the disk has no room for it.
        """
        # Windows paths know both slashes, drives and shares.
        path = PureWindowsPath(name)
        if path.anchor or not path.parts or ".." in path.parts or "\0" in name:
            raise BadArchive(f"member {shown(name)} would be written outside its folder; refused")
        if len(path.parts) > MAX_DEPTH:
            raise BadArchive(
                f"member {shown(name)} lies more than {MAX_DEPTH} folders deep; refused"
            )
        if path.parts[0] == "__MACOSX":
            while content.read(CHUNK):  # it counts where what is read is counted
                pass
            return
        self.files += 1
        target = self.path.joinpath(*path.parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Never over another one; a disk that knows no upper case tells "A" and "a" apart so.
            with naming(target), target.open("xb") as file:
                self._copy(content, file)
        except OSError as error:
            raise self._refusal(error, name, target) from error

    def _refusal(self, error: OSError, name: str, target: Path) -> Exception:
        if error.errno == errno.ENAMETOOLONG:
            return BadArchive(f"member {shown(name)} has too long a name; refused")
        if isinstance(error, FileExistsError) and target.is_file():
            return BadArchive(f"member {shown(name)} has the name of an earlier one; refused")
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            return BadArchive(f"member {shown(name)} is both a file and a folder; refused")
        return error

    def _copy(self, content: Readable, file: IO[bytes]) -> None:
        while chunk := content.read(CHUNK):
            self.bytes += len(chunk)  # the real bytes: sizes in headers may lie
            if self.bytes > self.max_bytes:
                raise BadArchive(f"unpacks to more than {self.max_bytes} bytes; refused")
            if self.bytes > self._spare:
                raise no_room_for("what is unpacked", self.path.parent, self._spare)
            file.write(chunk)
