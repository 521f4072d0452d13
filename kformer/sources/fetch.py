"""The stage that gets the files of a source: from an address or the cache, verified, unpacked."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kformer.config_section import SecretAddress
from kformer.errors import KformerError
from kformer.io.file_writing import replacing
from kformer.io.locks import Lock
from kformer.io.text_files import suffix_of
from kformer.sources.addresses import Address
from kformer.sources.archives import unpack
from kformer.sources.catalogue import Source
from kformer.sources.checksum_lock import trust, write_note
from kformer.sources.disk_space import MAX_DOWNLOAD
from kformer.sources.download import Download
from kformer.sources.refusals import NotFetched, OtherFile
from kformer.sources.unpacked_folder import BadArchive
from kformer.sources.wanted_files import WantedFile, wanted_files

_log = logging.getLogger(__name__)


def fetch_source(
    source: Source,
    downloads: Path,
    lock: Path,
    out: Path,
    needed: Sequence[Source] = (),
    max_bytes: int = MAX_DOWNLOAD,
) -> dict[str, float]:
    """Gets the files of ``source``, verifies their checksums and unpacks them to ``out``.

    What comes over the network is kept in ``downloads``, which experiments may share: an
    interrupted transfer is resumed, a finished file is verified again but not fetched again, and a
    file that was put there by hand is as good. A local file is read where it is. ``out`` appears
    whole or not at all.

    Args:
        source: what to fetch.
        downloads: the folder of finished and unfinished downloads.
        lock: the lock file, with the checksums of files whose owners publish none.
        out: the folder to make.
        needed: what else the same experiment reads, to be named too where there is no internet.
        max_bytes: that are fetched at most of a file whose size nobody published.

    Returns:
        ``bytes`` (of the files as published), ``files`` and ``unpacked_bytes`` (in ``out``),
        ``seconds`` (wall time of all of it).

    Raises:
        KformerError: a file cannot be had, is not the expected one, is damaged, or holds
            what should not be unpacked; or the disk has no room.
    """
    start = time.perf_counter()
    files = wanted_files(source, downloads, lock)

    def others_by_hand(title: str) -> str:
        sources = {each.name: each for each in (source, *needed)}.values()
        wanted = [file for each in sources for file in wanted_files(each, downloads, lock)]
        missing = [_by_hand(file) for file in wanted if file.title != title and _is_missing(file)]
        return f"; missing, too: {'; '.join(missing)}" if missing else ""

    archives = [_obtain(file, max_bytes, others_by_hand) for file in files]
    with replacing(out) as partial:
        partial.mkdir()
        sizes = [
            _unpack(file, archive, partial) for file, archive in zip(files, archives, strict=True)
        ]
        # Only now: a damaged file must not become the expected one.
        checksums = [
            file.expected.sha256 or trust(file.spec, archive, lock)
            for file, archive in zip(files, archives, strict=True)
        ]
        if any(file.spec.sha256 is None for file in files):
            write_note(out, checksums)
    return {
        "bytes": float(sum(archive.stat().st_size for archive in archives)),
        "files": float(sum(count for count, _ in sizes)),
        "unpacked_bytes": float(sum(size for _, size in sizes)),
        "seconds": time.perf_counter() - start,
    }


def _is_missing(file: WantedFile) -> bool:
    return file.kept is not None and not file.kept.exists()


def _by_hand(file: WantedFile) -> str:
    """Where to get a file and where to put it."""
    web = next(each.target for each in file.addresses if not isinstance(each.target, Path))
    return f"{file.title}: {web}{file.facts} -> {file.kept}"


@contextmanager
def _permissions_named(file: WantedFile) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise KformerError(
            f"source {file.title}: no permission to use {error.filename}; change its permissions "
            f"or set {file.spec.setting}.url to a file that can be read"
        ) from error


# Obtaining and verifying


def _obtain(file: WantedFile, max_bytes: int, others_by_hand: Callable[[str], str]) -> Path:
    """Returns the verified file: the kept one, or from the first address that has it."""
    kept = file.kept
    with _permissions_named(file):
        if kept is None:
            return _from_addresses(file, max_bytes, others_by_hand)
        if not kept.exists():
            with Lock(kept, work="fetching"):
                if not kept.exists():  # still
                    return _from_addresses(file, max_bytes, others_by_hand)
        if wrong := file.expected.wrong(kept):
            raise KformerError(f"source {file.title}: {kept} {wrong}; {_clear(file, kept)}")
        return kept


def _clear(file: WantedFile, kept: Path) -> str:
    """Makes room for the right file, and says what to do.

    The name of a file with a published checksum says what is in it, so another one is no good to
    anybody. Another one than the locked one may be wanted by the next experiment.
    """
    if file.expected.locked_in:
        return f"delete that file to {file.expected.advice}"
    kept.unlink()
    return f"deleted it: {file.expected.advice}"


class _Failed(Exception):
    """What is wrong at an address, and what to do about it."""

    def __init__(self, what: str, advice: str, reached: bool = True) -> None:
        super().__init__(what)
        self.advice = advice
        self.reached = reached
        """Whether a server answered at all."""


def _from_addresses(file: WantedFile, max_bytes: int, others_by_hand: Callable[[str], str]) -> Path:
    failures: list[_Failed] = []
    for address in file.addresses:
        if failures:
            _log.warning("source %s: %s; trying %s", file.title, failures[-1], address.text)
        try:
            if isinstance(address.target, Path):
                return _from_path(file, address, address.target)
            return _from_web(file, address, address.target, max_bytes)
        except _Failed as failure:
            failures.append(failure)
    others = "" if all(each.reached for each in failures) else others_by_hand(file.title)
    reasons = "; ".join(map(str, failures))
    raise KformerError(f"source {file.title}: {reasons}; {failures[-1].advice}{others}")


def _from_path(file: WantedFile, address: Address, path: Path) -> Path:
    if not path.is_file():
        found = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise _Failed(f"{path.absolute()} {found}", f"correct {address.setting}")
    if wrong := file.expected.wrong(path):
        raise _Failed(f"{path.absolute()} {wrong}", file.expected.advice)
    return path


def _from_web(file: WantedFile, address: Address, url: SecretAddress, max_bytes: int) -> Path:
    kept, expected = file.kept, file.expected
    assert kept, f"{url}: a file from the web needs a path to be kept at"
    part = kept.with_name(f".{kept.name}.part")
    checked = expected.sha256 is not None
    where = (str(address.text), url.get_secret_value())
    download = Download(file.title, *where, part, checked, expected.size, max_bytes)
    try:
        download.run()
    except OtherFile as error:
        raise _Failed(f"{address.text} {error}", expected.advice) from error
    except NotFetched as error:
        by_hand = f"get it by hand{file.facts} and put it at {kept}"
        advice = f"{error.advice}, or {by_hand}, or set {file.spec.setting}.url to its path"
        raise _Failed(f"{address.text} {error}", advice, error.reached) from error
    if wrong := expected.wrong(part):
        download.file.forget()
        raise _Failed(f"the file from {address.text} {wrong}; deleted it", expected.advice)
    download.file.move_to(kept)
    return kept


# Unpacking


def _unpack(file: WantedFile, archive: Path, folder: Path) -> tuple[int, int]:
    """Unpacks a file of a source; returns how many files that gave, and how many bytes."""
    try:
        with _permissions_named(file):
            if file.spec.part is None:
                return unpack(archive, file.spec.file_name, folder)
            return _unpack_as(file.spec.part, file, archive, folder)
    except BadArchive as error:
        is_download = archive == file.kept
        if is_download:
            archive.unlink()  # so that the next run gets it again
        advice = "deleted it: run again" if is_download else "get it again"
        raise KformerError(
            f"source {file.title}: archive {archive} {error}; {advice}, or set "
            f"{file.spec.setting}.url to a good copy"
        ) from error


def _unpack_as(part: str, file: WantedFile, archive: Path, folder: Path) -> tuple[int, int]:
    """Unpacks a file that has a name in the config, and calls it by that name.

    Raises:
        BadArchive: as `unpack` does.
        KformerError: it holds several files, or another file has been given the same name.
    """
    unpacked = folder / f".{part}"
    unpacked.mkdir()
    count, size = unpack(archive, file.spec.file_name, unpacked)
    if count > 1:
        raise KformerError(
            f"source {file.title}: archive {archive} holds {count} files, and only one can be "
            f"called {part}; give the archive as url instead of {file.spec.setting}"
        )
    (only,) = (path for path in unpacked.rglob("*") if path.is_file())
    target = folder / f"{part}{suffix_of(only)}"
    if target.exists():
        raise KformerError(
            f"source {file.title}: it would be called {target.name}, as another of the files is; "
            f"rename {file.spec.setting}"
        )
    only.replace(target)
    shutil.rmtree(unpacked)
    return count, size
