"""What the user's own files hold: their checksums decide what is made again, never their ages.

A copy, a clone or a `touch` changes ages and nothing else; new bytes may have the size and the age
of the old ones. So contents are compared, and the checksums of large files are remembered, since
reading them at every start takes long.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.io.checksums import is_sealed, sealed
from kformer.io.file_writing import read_memory, sha256_of, write_json
from kformer.io.visible_files import visible_files

_WORTH_REMEMBERING = 2**20  # bytes; smaller files are read in no time


class Contents:
    """Checksums of files and folders.

    Args:
        memory: where the checksums of large files are remembered, a JSON file; None = nowhere.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        self._remembered: dict[str, Any] | None = None

    def checksum(self, path: Path) -> str:
        """A short name for the content of a file, or of all files in a folder and their names.

        Hidden files, whose names begin with a dot, count only where they are named themselves.

        Raises:
            KformerError: there is nothing, or it cannot be read.
        """
        found = self.checksums(path)
        if not path.is_dir():
            return found[path][:12]
        parts = [(str(file.relative_to(path)), sha256) for file, sha256 in found.items()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def checksums(self, path: Path) -> dict[Path, str]:
        """The SHA-256 of a file, or of each file in a folder, by their paths; raises as `checksum`
        does."""
        try:
            files = visible_files(path) if path.is_dir() else [path]
            return {file: self._of_file(file) for file in files}
        except OSError as error:
            name = error.filename or path
            raise KformerError(f"{name}: {error.strerror}; make it readable") from None

    def _of_file(self, path: Path) -> str:
        state = path.stat()
        if state.st_size < _WORTH_REMEMBERING or self._memory is None:
            return sha256_of(path)
        # The time of the last change of status is the kernel's: no tool sets it back.
        identity = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        name = str(path.absolute())
        if self._remembered is None:
            content = read_memory(self._memory)
            self._remembered = content["files"] if is_sealed(content) else {}
        known = self._remembered.get(name)
        if known and known["identity"] == identity:
            return str(known["sha256"])
        self._remembered[name] = {"identity": identity, "sha256": sha256_of(path)}
        with suppress(OSError):  # where nothing can be written, it is read again next time
            write_json(self._memory, sealed({"files": self._remembered}))
        return str(self._remembered[name]["sha256"])
