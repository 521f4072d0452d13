"""What `kformer sources` shows: which files are here, where from, how big, under what licence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.filesize import decimal
from rich.text import Text

from kformer.sources.catalogue import Source, locate
from kformer.sources.fetch import kept_at
from kformer.sources.lock import expected_of

State = Literal["not here", "here, verified", "here, locked", "here, not locked", "here, DAMAGED"]
_STYLES = {"not here": "dim", "here, not locked": "yellow", "here, DAMAGED": "bold red"}


@dataclass(frozen=True)
class SourceFile:
    """The file of a source as it is on this machine."""

    source: Source
    path: Path
    """Where it lies, or has to be put."""
    state: State
    """Verified: it has the published checksum; locked: it has the one in the lock file."""
    size: int | None
    """In bytes; where it is not here, as far as known."""
    problem: str = ""
    """What is wrong with it, and what to do."""


def inspect(source: Source, downloads: Path, lock: Path) -> SourceFile:
    """Looks for the file of ``source`` where `fetch_source` would, and verifies it.

    Raises:
        KformerError: an address cannot be used, or the lock file cannot be read.
    """
    kept = kept_at(source, downloads)
    places = [kept, *(locate(source, address) for address in source.addresses)]
    paths = [place.absolute() for place in places if isinstance(place, Path)]
    path = next((each for each in paths if each.is_file()), paths[0])
    expected = expected_of(source, lock)
    if not path.is_file():
        return SourceFile(source, path, "not here", expected.size)
    size = path.stat().st_size
    if expected.sha256 is None:
        return SourceFile(source, path, "here, not locked", size)
    if wrong := expected.wrong(path):
        todo = ("delete that file to " if path == kept else "") + expected.advice
        problem = f"source {source.name}: {path} {wrong}; {todo}"
        return SourceFile(source, path, "here, DAMAGED", size, problem)
    state: State = "here, locked" if expected.locked_in else "here, verified"
    return SourceFile(source, path, state, size)


def lines(files: Sequence[SourceFile]) -> Iterator[Text]:
    """Three lines for each: its state; where from; where it lies or has to be put."""
    width = max(len(file.source.name) for file in files)
    for file in files:
        size = decimal(file.size) if file.size is not None else "size unknown"
        yield Text.assemble(
            (f"{file.source.name:{width}}", "bold"),
            ("  " + file.state, _STYLES.get(file.state, "green")),
            f"{'':{len('here, not locked') - len(file.state)}}  {size:>12}",
            f"  {file.source.licence}",
        )
        mirrors = len(file.source.mirrors)
        more = f" (and {mirrors} mirror{'s' * (mirrors > 1)})" if mirrors else ""
        yield Text(f"  from     {file.source.url}{more}")
        yield Text(f"  {'put at ' if file.state == 'not here' else 'lies at'}  {file.path}")
