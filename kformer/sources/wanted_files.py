"""The files to fetch, with all that is known of each before it is fetched."""

from dataclasses import dataclass
from pathlib import Path

from kformer.sources.addresses import Address
from kformer.sources.catalogue import Source, SourceFile
from kformer.sources.checksum_lock import Expected, expected_of


@dataclass(frozen=True)
class WantedFile:
    """One file of a source: where it comes from, where it is kept, what it must be."""

    spec: SourceFile
    """What the catalogue or the config says of it."""
    addresses: tuple[Address, ...]
    """All addresses, in the order in which they are tried."""
    kept: Path | None
    """Where its download is kept; None if all its addresses are paths on this machine."""
    expected: Expected

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.spec.title

    @property
    def facts(self) -> str:
        """Its size and checksum in brackets, as far as they are known."""
        size, sha256 = self.expected.size, self.expected.sha256
        facts = [f"{size:,} bytes"] if size else []
        facts += [f"sha256 {sha256}"] if sha256 else []
        return f" ({', '.join(facts)})" if facts else ""


def wanted_files(source: Source, downloads: Path, lock: Path) -> list[WantedFile]:
    """The files of a source.

    Args:
        source: what to fetch.
        downloads: the folder of finished and unfinished downloads.
        lock: the lock file, with the checksums of files whose owners publish none.

    Raises:
        KformerError: an address cannot be used, or the lock file cannot be read.
    """
    return [
        WantedFile(file, file.addresses, _kept_at(file, downloads), expected_of(file, lock))
        for file in source.files
    ]


def _kept_at(file: SourceFile, downloads: Path) -> Path | None:
    if all(isinstance(address.target, Path) for address in file.addresses):
        return None
    # Named by content, so that a change of mirror neither loses nor mixes anything.
    return downloads.absolute() / f"{file.title}-{file.key}"
