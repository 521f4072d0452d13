"""What `kformer sources` shows: which files are here, where from, how big, under what licence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.filesize import decimal
from rich.text import Text

from kformer.sources.catalogue import Source
from kformer.sources.wanted_files import WantedFile, wanted_files

State = Literal["not here", "here, verified", "here, locked", "here, not locked", "here, DAMAGED"]
_STYLES = {"not here": "dim", "here, not locked": "yellow", "here, DAMAGED": "bold red"}


@dataclass(frozen=True)
class FileStatus:
    """A file of a source as it is on this machine."""

    file: WantedFile
    licence: str
    path: Path
    """Where it is, or has to be put."""
    state: State
    """Verified: it has the published checksum; locked: it has the one in the lock file."""
    size: int | None
    """In bytes; where it is not here, as far as known."""
    problem: str = ""
    """What is wrong with it, and what to do."""


def inspect(source: Source, downloads: Path, lock: Path) -> list[FileStatus]:
    """Looks for the files of ``source`` where `fetch_source` would, and verifies them.

    Raises:
        KformerError: an address cannot be used, or the lock file cannot be read.
    """
    return [_status(file, source.licence) for file in wanted_files(source, downloads, lock)]


def _status(file: WantedFile, licence: str) -> FileStatus:
    targets = [file.kept, *(address.target for address in file.addresses)]
    paths = [target.absolute() for target in targets if isinstance(target, Path)]
    path = next((each for each in paths if each.is_file()), paths[0])
    expected = file.expected
    if not path.is_file():
        return FileStatus(file, licence, path, "not here", expected.size)
    size = path.stat().st_size
    if expected.sha256 is None:
        return FileStatus(file, licence, path, "here, not locked", size)
    if wrong := expected.wrong(path):
        advice = ("delete that file to " if path == file.kept else "") + expected.advice
        problem = f"source {file.title}: {path} {wrong}; {advice}"
        return FileStatus(file, licence, path, "here, DAMAGED", size, problem)
    state: State = "here, locked" if expected.locked_in else "here, verified"
    return FileStatus(file, licence, path, state, size)


def lines(files: Sequence[FileStatus]) -> Iterator[Text]:
    """Three lines for each file: its state; where from; where it is or has to be put."""
    width = max(len(each.file.title) for each in files)
    for each in files:
        size = decimal(each.size) if each.size is not None else "size unknown"
        yield Text.assemble(
            (f"{each.file.title:{width}}", "bold"),
            ("  " + each.state, _STYLES.get(each.state, "green")),
            f"{'':{len('here, not locked') - len(each.state)}}  {size:>12}",
            f"  {each.licence}",
        )
        url, *mirrors = each.file.addresses
        more = f" (and {len(mirrors)} mirror{'s' * (len(mirrors) > 1)})" if mirrors else ""
        yield Text(f"  from     {url.text}{more}")
        yield Text(f"  {'put at  ' if each.state == 'not here' else 'found at'} {each.path}")
