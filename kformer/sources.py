"""Where bytes come from: official addresses and checksums, download, verify, unpack."""

import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import StringConstraints
from rich.console import Console
from rich.progress import DownloadColumn, Progress
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from kformer.archives import BadArchive, unpack
from kformer.errors import KformerError
from kformer.files import replacing, sha256_of
from kformer.section import Section

TRIES = 5
RETRY_WAIT = wait_exponential(multiplier=1, max=30)  # seconds
TIMEOUT = 60.0  # seconds without a byte
SHOWN_FROM = 5_000_000  # bytes; a smaller download needs no progress bar

_CHUNK = 2**20
_log = logging.getLogger(__name__)

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class Source(Section):
    """One file that its owners publish: a data set or a body of knowledge."""

    name: str
    url: str
    """``http(s)://``, ``file:`` or a plain path (relative to the working directory)."""
    licence: str
    sha256: Sha256 | None = None
    """Of the file as published; None when nobody published one."""
    size: int | None = None
    """In bytes."""

    @property
    def key(self) -> str:
        """Twelve hex digits for folder names: of the sha256 or, without one, of the url's."""
        return (self.sha256 or hashlib.sha256(self.url.encode()).hexdigest())[:12]


class SourceOverride(Section):
    """Points a source elsewhere. With a url alone, the official checksum must still hold."""

    url: str | None = None
    """``http(s)://``, ``file:`` or a plain path (relative to the working directory)."""
    sha256: Sha256 | None = None
    """Of the file at the other address, where its bytes are not the official ones."""


CATALOGUE: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="social_iqa",
            url="https://storage.googleapis.com/ai2-mosaic/public/socialiqa/socialiqa-train-dev.zip",
            licence="CC BY 4.0",
            sha256="ee073914a0fc33265cfbcfc50ec20df9b2e07809c3f420f599138d1f394ef5c3",
            size=2_198_056,
        ),
        Source(
            # ATOMIC v4. A mirrored copy is published with another checksum, for an override:
            # 2347ce175f68e42129828c07602299937c2a502390b9b2575fd10e1b78e076e3
            name="atomic",
            url="https://homes.cs.washington.edu/~msap/atomic/data/atomic_data.tgz",
            licence="CC BY 4.0",
            sha256="f22779944e6613044d530875dd9592a333be2e3cb83d25493b36bba7c59b2ba9",
            size=19_083_782,
        ),
    )
}


def resolve(name: str, overrides: Mapping[str, SourceOverride]) -> Source:
    """Returns the source called ``name`` as the user's config has it.

    Raises:
        KformerError: ``name``, or a name in ``overrides``, is not in the catalogue.
    """
    if unknown := sorted({name, *overrides} - CATALOGUE.keys()):
        known = ", ".join(sorted(CATALOGUE))
        raise KformerError(f"sources: {unknown[0]!r} is not a known source; known are: {known}")
    official = CATALOGUE[name]
    given = overrides.get(name, SourceOverride()).model_dump(exclude_none=True)
    if given.get("sha256", official.sha256) != official.sha256:
        given["size"] = None  # other bytes
    return official.model_copy(update=given)


def fetch_source(source: Source, downloads: Path, out: Path) -> dict[str, float]:
    """Gets the file of ``source``, verifies its checksum and unpacks it to the folder ``out``.

    What comes over the network is kept in ``downloads``: an interrupted transfer goes on from
    where it was, a finished file is verified again but not fetched again. A local file is read
    where it lies. ``out`` appears whole or not at all.

    Returns:
        ``bytes`` (of the file as published), ``files`` and ``unpacked_bytes`` (in ``out``),
        ``seconds`` (wall time of all of it).

    Raises:
        KformerError: the file cannot be had, is not the expected one, is damaged, or holds
            what should not be unpacked.
    """
    start = time.perf_counter()
    try:
        local = _local_path(source)
        if local is None:
            archive, name = _download(source, downloads), _name_in_address(source)
        else:
            archive, name = _check_local(source, local), local.name
        with replacing(out) as partial:
            partial.mkdir()
            files, unpacked_bytes = unpack(archive, name, partial)
    except BadArchive as error:
        raise KformerError(
            f"source {source.name}: archive {archive} {error}; delete it and get it again, or set "
            f"sources.{source.name}.url to a good copy"
        ) from error
    except PermissionError as error:
        raise KformerError(
            f"source {source.name}: no permission to use {error.filename}; change its permissions "
            f"or set sources.{source.name}.url to a file that can be read"
        ) from error
    return {
        "bytes": float(archive.stat().st_size),
        "files": float(files),
        "unpacked_bytes": float(unpacked_bytes),
        "seconds": time.perf_counter() - start,
    }


# Where the file is


def _local_path(source: Source) -> Path | None:
    """The path that a ``file:`` address or a plain path names; None for http(s)."""
    try:
        parts = urlsplit(source.url)
        if parts.scheme in ("http", "https"):
            return None
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path)).expanduser()
        if "://" not in source.url:
            return Path(source.url).expanduser()
        reason = "neither http(s)://, nor file:///path, nor a plain path"
    except (ValueError, RuntimeError) as error:  # brackets without an address in them; no such ~
        reason = str(error)
    raise KformerError(
        f"source {source.name}: the address {source.url!r} cannot be used: {reason}; "
        f"correct sources.{source.name}.url"
    )


def _name_in_address(source: Source) -> str:
    return PurePosixPath(unquote(urlsplit(source.url).path)).name or source.name


def _check_local(source: Source, path: Path) -> Path:
    if not path.is_file():
        found = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise KformerError(
            f"source {source.name}: {path.absolute()} {found}; correct sources.{source.name}.url"
        )
    if wrong := _wrong_checksum(source, path):
        raise KformerError(
            f"source {source.name}: {path.absolute()} {wrong}; get the file again, or set "
            f"sources.{source.name}.sha256 if these are the bytes that you want"
        )
    return path


def _wrong_checksum(source: Source, path: Path) -> str | None:
    """What to say when the file is not the expected one."""
    found = sha256_of(path)
    if source.sha256 is None:
        _log.warning(
            "source %s: nothing to check %s against; to hold on to these bytes, set "
            "sources.%s.sha256 to %s",
            *(source.name, path, source.name, found),
        )
        return None
    if found == source.sha256:
        return None
    sizes = f"{path.stat().st_size} bytes" + (f" of {source.size}" if source.size else "")
    return f"has sha256 {found} ({sizes}), expected {source.sha256}"


# Download


def _download(source: Source, downloads: Path) -> Path:
    """Returns the verified file in ``downloads``; what is not the expected file is deleted."""
    # Named by content, so that a change of mirror neither loses nor mixes anything.
    archive = downloads / f"{source.name}-{source.key}"
    part = downloads / f".{archive.name}.part"
    fetched = archive
    if not archive.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        _transfer_with_retries(source, part)
        fetched = part
    if wrong := _wrong_checksum(source, fetched):
        fetched.unlink()
        raise KformerError(
            f"source {source.name}: the file from {source.url} {wrong}; deleted {fetched}: run "
            f"again, or set sources.{source.name}.sha256 if the owners have changed the file"
        )
    fetched.replace(archive)
    _version_file(part).unlink(missing_ok=True)
    return archive


def _transfer_with_retries(source: Source, part: Path) -> None:
    retrying = Retrying(
        stop=stop_after_attempt(TRIES),
        wait=RETRY_WAIT,
        retry=retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        with _client() as client:
            retrying(_transfer, client, source, part)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        expected = f" (expected sha256 {source.sha256})" if source.sha256 else ""
        raise KformerError(
            f"source {source.name}: {source.url} cannot be fetched: {_reason(error)}; download it "
            f"by hand{expected} and set sources.{source.name}.url to the path of the file"
        ) from error


def _client() -> httpx.Client:
    """Asks for the bytes as they are stored, through the proxies that the environment names."""
    try:
        return httpx.Client(
            headers={"Accept-Encoding": "identity"}, follow_redirects=True, timeout=TIMEOUT
        )
    except (ImportError, ValueError) as error:
        raise KformerError(
            f"the proxy that the environment names cannot be used: {error}; correct HTTPS_PROXY, "
            "HTTP_PROXY or ALL_PROXY"
        ) from error


def _may_pass(error: BaseException) -> bool:
    """Whether the next try may fare better."""
    if isinstance(error, httpx.HTTPStatusError):
        # 416: the part file did not fit and is gone now.
        status = error.response.status_code
        return status >= 500 or status in (408, 416, 429)
    return isinstance(error, httpx.TransportError)


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code} {error.response.reason_phrase}".rstrip()
    return " ".join(f"{type(error).__name__}: {error}".split())


def _transfer(client: httpx.Client, source: Source, part: Path) -> None:
    """One try, from where ``part`` ends; on a return ``part`` is complete."""
    had = part.stat().st_size if part.exists() else 0
    with client.stream("GET", source.url, headers=_range_headers(source, part, had)) as response:
        content_range = response.headers.get("Content-Range", "")
        if response.status_code == 416:
            if had and content_range == f"bytes */{had}":
                return
            part.unlink(missing_ok=True)
        response.raise_for_status()
        if response.status_code == 206:
            if not content_range.startswith(f"bytes {had}-"):
                part.unlink(missing_ok=True)
                raise httpx.RemoteProtocolError(f"asked from byte {had}, got {content_range!r}")
        else:  # the whole: nothing was asked for, or the server does not resume, or it has changed
            had = 0
            part.write_bytes(b"")
            _version_file(part).write_text(_version(response), "utf-8")
        _append(response, part, had, source)


def _range_headers(source: Source, part: Path, had: int) -> dict[str, str]:
    """Asks for the rest of the same version of the file."""
    version_file = _version_file(part)
    version = version_file.read_text("utf-8") if version_file.exists() else ""
    if not had or not (version or source.sha256):  # nothing would notice a mixture of versions
        return {}
    return {"Range": f"bytes={had}-"} | ({"If-Range": version} if version else {})


def _version_file(part: Path) -> Path:
    return part.with_suffix(".version")


def _version(response: httpx.Response) -> str:
    """What If-Range may name: a strong ETag, else the date."""
    etag: str = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return str(response.headers.get("Last-Modified", ""))


def _append(response: httpx.Response, part: Path, had: int, source: Source) -> None:
    length = response.headers.get("Content-Length", "")
    total = had + int(length) if length.isdigit() else source.size
    with (
        part.open("ab") as file,
        Progress(
            *Progress.get_default_columns(),
            DownloadColumn(),
            console=Console(stderr=True),
            disable=total is not None and total < SHOWN_FROM,
        ) as progress,
    ):
        task = progress.add_task(source.name, total=total, completed=had)
        for chunk in response.iter_raw():
            file.write(chunk)
            progress.advance(task, len(chunk))
