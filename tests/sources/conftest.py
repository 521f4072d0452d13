"""Archives made on the spot, and sites on loopback ports that serve them well or badly."""

import gzip
import hashlib
import io
import re
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tenacity import wait_none

from kformer.sources import download
from kformer.sources.addresses import locate
from kformer.sources.catalogue import Source, SourceFile
from kformer.sources.download import Download
from kformer.sources.refusals import NotFetched

TOKEN = "hf_of_a_test"
TEXTS = {"data/train.txt": b"one\n" * 5000, "data/dev.txt": b"two\n"}


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tarred(members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def gzipped(members: dict[str, bytes]) -> bytes:
    """A gzip file holds one member and need not say its name."""
    (content,) = members.values()
    return gzip.compress(content, mtime=0)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source_of(
    content: bytes, url: object, *mirrors: object, name: str = "atomic", **file
) -> Source:
    """A source whose checksum is published."""
    return unpublished(url, *mirrors, name=name, sha256=sha256(content), **file)


def unpublished(url: object, *mirrors: object, name: str = "atomic", **file) -> Source:
    """A source whose checksum nobody published."""
    addresses = {"url": str(url), "mirrors": tuple(map(str, mirrors))}
    of_source = SourceFile(title=name, setting=f"sources.{name}", **addresses, **file)
    return Source(name=name, licence="none", files=(of_source,))


def files_in(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def answer(status: int, body: bytes = b"", **headers: object) -> list[bytes]:
    """What a server may send, with the headers that are given and no others."""
    head = [f"HTTP/1.1 {status} Whatever"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ["\r\n".join([*head, "", ""]).encode("latin-1"), body]


class Site(ThreadingHTTPServer):
    """Serves one content on a loopback port, as well or badly as a test asks for."""

    daemon_threads = True
    content = b""
    contents: dict[str, bytes]  # by path; others get the content
    content_type = "application/octet-stream"
    etag = '"first"'
    last_modified = ""
    knows_ranges = True
    heeds_if_range = True
    longest_piece: int | None = None  # bytes; given even where no range is asked for
    breaks_after: int | None = None  # bytes; the first answer only
    retry_after: str | None = None  # goes with every one of the statuses
    redirect: str | None = None
    statuses: list[int]  # given one by one before the content is served
    scripts: list[Iterable[bytes]]  # likewise: what a server sends that has its own ideas of HTTP

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.statuses = []
        self.scripts = []
        self.contents = {}
        self.requests: list[dict[str, str]] = []  # headers of each, and its path as "path"

    def url(self, name: str = "atomic_data.tgz", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}/{name}"

    @property
    def ranges(self) -> list[str | None]:
        return [request.get("range") for request in self.requests]


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self):
        site, first = self.server, 0
        content = site.contents.get(self.path, site.content)
        headers = {key.lower(): value for key, value in self.headers.items()}
        site.requests.append(headers | {"path": self.path})
        if site.scripts:
            return self.send_all(site.scripts.pop(0))
        if site.statuses:
            more = {"Retry-After": site.retry_after} if site.retry_after else {}
            return self.begin(site.statuses.pop(0), **more)
        if site.redirect:
            return self.begin(302, Location=site.redirect)
        named = self.headers.get("If-Range")
        same = named in (None, site.etag, site.last_modified) or not site.heeds_if_range
        more = {"Content-Type": site.content_type}
        more |= {"ETag": site.etag} if site.etag else {}
        more |= {"Last-Modified": site.last_modified} if site.last_modified else {}
        wanted = site.knows_ranges and same and self.headers.get("Range")
        end = len(content)
        if wanted:
            first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if first >= end:
                return self.begin(416, **{"Content-Range": f"bytes */{end}"})
        if site.longest_piece:
            end = min(end, first + site.longest_piece)
        if wanted or site.longest_piece:
            more["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
        self.begin(206 if "Content-Range" in more else 200, end - first, **more)
        until, site.breaks_after = site.breaks_after, None
        self.wfile.write(content[first:end][:until])
        return None

    def send_all(self, script: Iterable[bytes]) -> None:
        self.close_connection = True
        with suppress(ConnectionError):  # it was hung up on
            for piece in script:
                self.wfile.write(piece)

    def begin(self, status: int, length: int = 0, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def serving() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as server:
        yield server


@pytest.fixture
def mirror() -> Iterator[Site]:
    with serving() as server:
        yield server


@pytest.fixture
def hub(site, monkeypatch) -> Site:
    """The site as if it were the Hugging Face hub."""
    from huggingface_hub import constants

    template = site.url("{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return site


@pytest.fixture
def dead() -> str:
    """An address where nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    return f"http://127.0.0.1:{port}/atomic_data.tgz"


@pytest.fixture(autouse=True)
def no_waits_and_no_proxies(monkeypatch):
    monkeypatch.setattr(download, "RETRY_WAIT", wait_none())
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Where the fixture ``get`` of the tests of downloads writes."""
    return tmp_path / ".atomic.part"


@pytest.fixture
def get(part):
    """Downloads from an address; returns what came."""

    def run(address, checked=True, **more):
        Download("atomic", address, locate(address), part, checked, **{"size": None} | more).run()
        return part.read_bytes()

    return run


@pytest.fixture
def refusal(get):
    """Downloads what cannot be had; returns why."""

    def run(address, checked=True, **more):
        with pytest.raises(NotFetched, match=r"^.+$") as caught:
            get(address, checked, **more)
        return caught.value

    return run


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "sources.lock.json"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "sources" / "atomic"
