"""The file to which a download is written, and what it is a part of."""

import hashlib
from pathlib import Path
from typing import Annotated

import httpx
from pydantic import NonNegativeInt, StringConstraints, ValidationError

from kformer.config_section import Section
from kformer.sources.disk_space import naming

# Whatever a header may hold; servers put more than ASCII into an ETag.
_HeaderText = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e\x80-\xff]*$")]


class FileVersion(Section):
    """What a server says of a file, by which another version of it is told apart."""

    etag: _HeaderText = ""
    last_modified: _HeaderText = ""
    total: NonNegativeInt | None = None
    """Of the whole file, in bytes."""

    @classmethod
    def of(cls, response: httpx.Response, total: int | None) -> "FileVersion":
        response.headers.encoding = "iso-8859-1"  # so that every byte can be sent back
        headers = response.headers
        return cls(
            etag=headers.get("ETag", ""),
            last_modified=headers.get("Last-Modified", ""),
            total=total,
        )

    @property
    def if_range(self) -> str:
        """What If-Range may name: a strong ETag, else the date."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def differs(self, other: "FileVersion") -> bool:
        """Whether two answers are surely of two versions."""
        pairs = (
            (self.etag, other.etag),
            (self.last_modified, other.last_modified),
            (self.total, other.total),
        )
        return any(one not in ("", None, two) and two not in ("", None) for one, two in pairs)


class _Note(Section):
    """The file next to a part."""

    address: str
    """The SHA-256 of the address: it may hold a password."""
    version: FileVersion


class PartFile:
    """An unfinished download at ``path``, and in a file next to it the version it is a part of."""

    def __init__(self, path: Path, address: str) -> None:
        self.path = path
        self._address = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
        self._note = path.with_suffix(".version")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def version(self) -> FileVersion | None:
        """None where nothing is known of it, or it is from another address."""
        try:
            note = _Note.model_validate_json(self._note.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return note.version if note.address == self._address else None

    @property
    def is_complete(self) -> bool:
        version = self.version
        return version is not None and version.total == self.size and self.path.exists()

    def begin(self, version: FileVersion) -> None:
        """Empties the file, to be filled with that version."""
        with naming(self.path):
            self.path.write_bytes(b"")  # first: what is there is of another version
            self.note(version)

    def note(self, version: FileVersion) -> None:
        """Writes down what is known of the version now."""
        with naming(self._note):
            note = _Note(address=self._address, version=version)
            self._note.write_text(note.model_dump_json(), "utf-8")

    def forget(self) -> None:
        """Removes what was transferred."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def move_to(self, path: Path) -> None:
        """Moves the complete file to ``path``."""
        self.path.replace(path)
        self._note.unlink(missing_ok=True)
