"""The stage that gets the files of a source: from an address or the cache, verified, unpacked."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from kformer.config_section import SecretAddress
from kformer.errors import KformerError
from kformer.io.file_writing import replacing
from kformer.io.text_files import suffix_of
from kformer.sources.addresses import Address
from kformer.sources.archives import BadArchive, unpack
from kformer.sources.catalogue import Source
from kformer.sources.checksum_lock import trust, write_note
from kformer.sources.download import Download, NotFetched
from kformer.sources.wanted_files import WantedFile, wanted_files

_log = logging.getLogger(__name__)


def fetch_source(
    source: Source, downloads: Path, lock: Path, out: Path, needed: Sequence[Source] = ()
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

    Returns:
        ``bytes`` (of the files as published), ``files`` and ``unpacked_bytes`` (in ``out``),
        ``seconds`` (wall time of all of it).

    Raises:
        KformerError: a file cannot be had, is not the expected one, is damaged, or holds
            what should not be unpacked. Only where there is no internet it has several lines, one
            for each file that has to be put in place by hand.
    """
    start = time.perf_counter()
    files = wanted_files(source, downloads, lock)

    def by_hand() -> str:
        sources = {each.name: each for each in (source, *needed)}.values()
        wanted = [file for each in sources for file in wanted_files(each, downloads, lock)]
        return "".join(map(_line_by_hand, wanted))

    archives = [_obtain(file, by_hand) for file in files]
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


def _line_by_hand(file: WantedFile) -> str:
    """The line that says where to get a file and where to put it; empty if it is there."""
    if file.kept is None or file.kept.exists():
        return ""
    web = next(each.target for each in file.addresses if not isinstance(each.target, Path))
    return f"\n  {file.title}: {web}{file.facts} -> {file.kept}"


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


def _obtain(file: WantedFile, by_hand: Callable[[], str]) -> Path:
    """Returns the verified file: the kept one, or from the first address that has it."""
    kept = file.kept
    with _permissions_named(file):
        if kept is None:
            return _from_addresses(file, by_hand)
        if not kept.exists():
            with _one_process_at_a_time(file.title, kept):
                if not kept.exists():  # still
                    return _from_addresses(file, by_hand)
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


@contextmanager
def _one_process_at_a_time(title: str, kept: Path) -> Iterator[None]:
    """Lets one process at a time fetch a file; the others wait and find it there."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(kept.with_name(f".{kept.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.warning("source %s: another process is fetching it; waiting for that", title)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Failed(Exception):
    """What is wrong at an address, and what to do about it."""

    def __init__(self, what: str, advice: str, reached: bool = True) -> None:
        super().__init__(what)
        self.advice = advice
        self.reached = reached
        """Whether a server answered at all."""


def _from_addresses(file: WantedFile, by_hand: Callable[[], str]) -> Path:
    failures: list[_Failed] = []
    for address in file.addresses:
        if failures:
            _log.warning("source %s: %s; trying %s", file.title, failures[-1], address.text)
        try:
            if isinstance(address.target, Path):
                return _from_path(file, address, address.target)
            return _from_web(file, address, address.target)
        except _Failed as failure:
            failures.append(failure)
    what = f"source {file.title}: {'; '.join(map(str, failures))}; "
    if all(failure.reached for failure in failures):
        raise KformerError(what + failures[-1].advice)
    raise KformerError(
        f"{what}without internet, get each file below elsewhere, put it where its arrow "
        f"points, and run again; or set its url in the config to its path{by_hand()}"
    )


def _from_path(file: WantedFile, address: Address, path: Path) -> Path:
    if not path.is_file():
        found = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise _Failed(f"{path.absolute()} {found}", f"correct {address.setting}")
    if wrong := file.expected.wrong(path):
        raise _Failed(f"{path.absolute()} {wrong}", file.expected.advice)
    return path


def _from_web(file: WantedFile, address: Address, url: SecretAddress) -> Path:
    kept, expected = file.kept, file.expected
    assert kept, f"{url}: a file from the web needs a path to be kept at"
    part = kept.with_name(f".{kept.name}.part")
    checked = expected.sha256 is not None
    download = Download(
        *(file.title, str(address.text), url.get_secret_value(), part, checked, expected.size)
    )
    try:
        download.run()
    except NotFetched as error:
        raise _Failed(
            f"{address.text} {error}",
            f"get it by hand{file.facts} and put it at {kept}, or set {file.spec.setting}.url to "
            "its path",
            error.reached,
        ) from error
    if wrong := expected.wrong(part):
        download.forget()
        raise _Failed(f"the file from {address.text} {wrong}; deleted it", expected.advice)
    download.move_to(kept)
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
