"""What a file of a source must be: by its published checksum, or by the lock file.

The lock file holds the checksums of files whose owners publish none. They are trusted on first use,
written down, and verified ever after. It belongs under version control, next to the config: what
one machine trusted, every other machine verifies. Entries are keyed by the address as the config
gives it, without a password or a token.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import zip_longest
from pathlib import Path

from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from kformer.config_section import Section, in_one_line
from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of, write_json
from kformer.io.locks import Lock
from kformer.io.text_files import each_key_once
from kformer.masking import masked
from kformer.sources.catalogue import Source, SourceFile
from kformer.sources.file_addresses import Sha256

_log = logging.getLogger(__name__)


class LockedFile(Section):
    """What the file at an address was when it was first fetched."""

    source: str
    sha256: Sha256
    size: NonNegativeInt
    """In bytes."""
    first_fetched: date


@dataclass(frozen=True)
class Expected:
    """What a file must be, and what to do about another one."""

    sha256: str | None
    """None: nobody knows yet."""
    size: int | None
    advice: str
    locked_in: Path | None = None
    """The lock file, if the checksum is from there."""

    def wrong(self, path: Path) -> str | None:
        """What a message says of a file that is not the expected one; None for the expected one."""
        if self.sha256 is None or (found := sha256_of(path)) == self.sha256:
            return None
        sizes = f"{path.stat().st_size} bytes" + (f" of {self.size}" if self.size else "")
        by = f" by {self.locked_in}" if self.locked_in else ""
        return f"has sha256 {found} ({sizes}), expected {self.sha256}{by}"


def expected_of(file: SourceFile, lock: Path) -> Expected:
    """What a file must be.

    Raises:
        KformerError: there is a lock file and it cannot be read.
    """
    if file.sha256:
        advice = f"get it again, or set {file.setting}.sha256 if these are the bytes that you want"
        return Expected(file.sha256, file.size, advice)
    entry = _read_lock(lock).get(str(file.url))
    if entry is None:
        return Expected(None, file.size, "")
    advice = (
        f"get it again or, if its owners have changed it and you want it as it is now, delete the "
        f"entry '{file.url}' from {lock}"
    )
    return Expected(entry.sha256, entry.size, advice, lock)


def trust(file: SourceFile, path: Path, lock: Path) -> str:
    """Writes down what a file is from now on; returns its sha256.

    Raises:
        KformerError: another process has just locked another file, or the lock file is malformed.
    """
    found = LockedFile(
        source=file.title,
        sha256=sha256_of(path),
        size=path.stat().st_size,
        first_fetched=datetime.now(UTC).date(),
    )
    with Lock(lock, work="extending"):
        expected = expected_of(file, lock)  # again: another process may have been faster
        if expected.sha256 is None:
            write_json(lock, _plain({**_read_lock(lock), str(file.url): found}))
            _log.warning(
                "source %s: nobody published a checksum; from now on %s expects sha256 %s",
                *(file.title, lock, found.sha256),
            )
    if wrong := expected.wrong(path):
        raise KformerError(f"source {file.title}: {path} {wrong}; {expected.advice}")
    return found.sha256


def write_note(folder: Path, checksums: Sequence[str]) -> None:
    """Writes down from which files a folder was unpacked, by their checksums in order."""
    _note_of(folder).write_text("\n".join(checksums), "utf-8")


def check_unpacked(source: Source, folder: Path, lock: Path) -> None:
    """Raises KformerError if a folder was unpacked from another file than the locked one."""
    all_expected = [expected_of(file, lock) for file in source.files]
    note = _note_of(folder)
    if all(file.sha256 for file in source.files) or not (folder.is_dir() and note.is_file()):
        return
    noted = _noted(note)
    noted += ["unknown"] * (len(source.files) - len(noted))
    for file, expected, found in zip(source.files, all_expected, noted, strict=False):
        if expected.sha256 and found != expected.sha256:
            raise KformerError(
                f"source {file.title}: {folder} is of a file with sha256 {found}, but {lock} "
                f"expects {expected.sha256}; delete that folder to fetch it again, or correct "
                f"{lock}"
            )


def unpacked_from(source: Source, folder: Path, lock: Path) -> list[str | None]:
    """The SHA-256 of each file of a source that a folder was unpacked from; None = unknown.

    Raises:
        KformerError: there is a lock file and it cannot be read.
    """
    noted = _noted(_note_of(folder)) if _note_of(folder).is_file() else []
    known = [expected_of(file, lock).sha256 for file in source.files]
    return [found or each for found, each in zip_longest(noted, known)][: len(known)]


def _noted(note: Path) -> list[str]:
    return [line.strip() for line in note.read_text("utf-8", "replace").split("\n")]


def _note_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.sha256")


_ENTRIES = TypeAdapter(dict[str, LockedFile])


def _plain(entries: Mapping[str, LockedFile]) -> dict[str, object]:
    return _ENTRIES.dump_python(dict(sorted(entries.items())), mode="json")


def _read_lock(path: Path) -> Mapping[str, LockedFile]:
    """The entries by address; none where there is no such file yet."""
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=each_key_once)
        json.dumps(content, ensure_ascii=False).encode()  # not half of a surrogate pair
        entries = _ENTRIES.validate_python(content)
        return {masked(address): entry for address, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:  # a folder, or not to be read
        reason = error.strerror or type(error).__name__
    except ValidationError as error:
        reason = in_one_line(error)
    except RecursionError:
        reason = "it is nested too deeply"
    except (json.JSONDecodeError, UnicodeError) as error:
        reason = f"not valid JSON: {error}"
    except ValueError as error:  # an address that is there twice, a number of 5,000 digits
        reason = str(error)
    raise KformerError(
        f"{path}: not a lock file of sources: {reason[:500]}; restore it from version control, or "
        "delete it to trust anew what is fetched next"
    )
