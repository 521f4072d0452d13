"""The stage that gets the file of a source: from an address or the cache, verified, unpacked."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

from kformer.errors import KformerError
from kformer.io.files import replacing
from kformer.sources.archives import BadArchive, unpack
from kformer.sources.catalogue import Source, locate
from kformer.sources.download import Download, NotFetched
from kformer.sources.lock import Expected, expected_of, trust, unpacked_from

_log = logging.getLogger(__name__)


def fetch_source(
    source: Source, downloads: Path, lock: Path, out: Path, needed: Sequence[Source] = ()
) -> dict[str, float]:
    """Gets the file of ``source``, verifies its checksum and unpacks it to the folder ``out``.

    What comes over the network is kept in ``downloads``, which experiments may share: an
    interrupted transfer goes on from where it was, a finished file is verified again but not
    fetched again, and a file that was put there by hand is as good. A local file is read where it
    lies. ``out`` appears whole or not at all.

    Args:
        source: what to fetch.
        downloads: the folder of finished and unfinished downloads.
        lock: the lock file, with the checksums of files whose owners publish none.
        out: the folder to make.
        needed: what else the same experiment reads, to be named too where there is no internet.

    Returns:
        ``bytes`` (of the file as published), ``files`` and ``unpacked_bytes`` (in ``out``),
        ``seconds`` (wall time of all of it).

    Raises:
        KformerError: the file cannot be had, is not the expected one, is damaged, or holds
            what should not be unpacked. Only where there is no internet it has several lines, one
            for each file that has to be put in place by hand.
    """
    start = time.perf_counter()
    try:
        expected = expected_of(source, lock)
        archive = _obtain(source, expected, downloads, lock, needed)
        with replacing(out) as partial:
            partial.mkdir()
            files, unpacked_bytes = unpack(archive, _file_name(source), partial)
            if expected.sha256 is None:  # only now: a damaged file must not become the expected one
                trust(source, archive, lock)
            if source.sha256 is None:
                unpacked_from(out).write_text(expected_of(source, lock).sha256 or "", "utf-8")
    except BadArchive as error:
        is_download = archive == kept_at(source, downloads)
        if is_download:
            archive.unlink()  # so that the next run gets it again
        todo = "deleted it: run again" if is_download else "get it again"
        raise KformerError(
            f"source {source.name}: archive {archive} {error}; {todo}, or set "
            f"{source.section}.url to a good copy"
        ) from error
    except PermissionError as error:
        raise KformerError(
            f"source {source.name}: no permission to use {error.filename}; change its permissions "
            f"or set {source.section}.url to a file that can be read"
        ) from error
    return {
        "bytes": float(archive.stat().st_size),
        "files": float(files),
        "unpacked_bytes": float(unpacked_bytes),
        "seconds": time.perf_counter() - start,
    }


def kept_at(source: Source, downloads: Path) -> Path | None:
    """Where the download of a source is kept; None if all its addresses are paths."""
    places = [locate(source, address) for address in source.addresses]
    if all(isinstance(place, Path) for place in places):
        return None
    # Named by content, so that a change of mirror neither loses nor mixes anything.
    return downloads.absolute() / f"{source.name}-{source.key}"


def _file_name(source: Source) -> str:
    """What a file that is no archive is called when it is unpacked, whichever mirror gave it."""
    place = locate(source, source.url)
    if isinstance(place, Path):
        return place.name
    return PurePosixPath(unquote(urlsplit(place).path)).name or source.name


def _obtain(
    source: Source, expected: Expected, downloads: Path, lock: Path, needed: Sequence[Source]
) -> Path:
    """Returns the verified file: the kept one, or from the first address that has it."""
    kept = kept_at(source, downloads)
    if kept is None:
        return _from_addresses(source, expected, None, "")
    if not kept.exists():
        with _alone(source, kept):
            if not kept.exists():  # still
                named = {each.name: each for each in (source, *needed)}
                by_hand = [_by_hand(each, downloads, lock) for each in named.values()]
                return _from_addresses(source, expected, kept, "".join(by_hand))
    if wrong := expected.wrong(kept):
        raise KformerError(f"source {source.name}: {kept} {wrong}; {_clear(kept, expected)}")
    return kept


def _clear(kept: Path, expected: Expected) -> str:
    """Makes room for the right file, and says what to do.

    The name of a file with a published checksum says what is in it, so another one is no good to
    anybody. Another one than the locked one may be wanted by the next experiment.
    """
    if expected.locked_in:
        return f"delete that file to {expected.advice}"
    kept.unlink()
    return f"deleted it: {expected.advice}"


@contextmanager
def _alone(source: Source, kept: Path) -> Iterator[None]:
    """Lets one process at a time fetch a file; the others wait and find it there."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(kept.with_name(f".{kept.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.warning("source %s: another process is fetching it; waiting for that", source.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


# One address after the other


class _Failed(Exception):
    """What is wrong at an address, and what to do about it."""

    def __init__(self, what: str, advice: str, reached: bool = True) -> None:
        super().__init__(what)
        self.advice = advice
        self.reached = reached


def _from_addresses(source: Source, expected: Expected, kept: Path | None, by_hand: str) -> Path:
    failures: list[_Failed] = []
    for address in source.addresses:
        if failures:
            _log.warning("source %s: %s; trying %s", source.name, failures[-1], address)
        try:
            place = locate(source, address)
            if isinstance(place, Path):
                return _from_path(source, address, place, expected)
            assert kept, f"{address} needs a place to be kept"
            return _from_web(source, address, place, kept, expected)
        except _Failed as failure:
            failures.append(failure)
    what = f"source {source.name}: {'; '.join(map(str, failures))}; "
    if all(failure.reached for failure in failures):
        raise KformerError(what + failures[-1].advice)
    raise KformerError(
        f"{what}without internet, get each file below elsewhere, put it where its arrow "
        f"points, and run again; or set its url in the config to its path{by_hand}"
    )


def _from_path(source: Source, address: str, path: Path, expected: Expected) -> Path:
    if not path.is_file():
        found = "is a folder, not a file" if path.is_dir() else "does not exist"
        key = source.setting(address)
        raise _Failed(f"{path.absolute()} {found}", f"correct {source.section}.{key}")
    if wrong := expected.wrong(path):
        raise _Failed(f"{path.absolute()} {wrong}", expected.advice)
    return path


def _from_web(source: Source, address: str, url: str, kept: Path, expected: Expected) -> Path:
    part = kept.with_name(f".{kept.name}.part")
    checked = expected.sha256 is not None
    download = Download(source.name, address, url, part, checked, expected.size)
    try:
        download.run()
    except NotFetched as error:
        raise _Failed(
            f"{address} {error}",
            f"get it by hand{_facts(expected)} and put it at {kept}, or set "
            f"{source.section}.url to its path",
            error.reached,
        ) from error
    if wrong := expected.wrong(part):
        download.forget()
        raise _Failed(f"the file from {address} {wrong}; deleted it", expected.advice)
    download.move_to(kept)
    return kept


# By hand


def _by_hand(source: Source, downloads: Path, lock: Path) -> str:
    """The line that says where to get a file and where to put it; empty if it is there."""
    kept = kept_at(source, downloads)
    if kept is None or kept.exists():
        return ""
    places = (locate(source, address) for address in source.addresses)
    web = next(place for place in places if isinstance(place, str))
    return f"\n  {source.name}: {web}{_facts(expected_of(source, lock))} -> {kept}"


def _facts(expected: Expected) -> str:
    facts = [f"{expected.size:,} bytes"] if expected.size else []
    facts += [f"sha256 {expected.sha256}"] if expected.sha256 else []
    return f" ({', '.join(facts)})" if facts else ""
