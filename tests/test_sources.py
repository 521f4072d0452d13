"""Sources: what is fetched, from where, and what is refused."""

import gzip
import hashlib
import io
import os
import re
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError
from tenacity import wait_none

from kformer import archives, sources
from kformer.errors import KformerError
from kformer.sources import CATALOGUE, Source, SourceOverride, fetch_source, resolve

TEXTS = {"data/train.txt": b"one\n" * 5000, "data/dev.txt": b"two\n"}


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
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


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source_of(content: bytes, url: object) -> Source:
    return Source(name="atomic", url=str(url), licence="none", sha256=sha256(content))


def files_in(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


class Site(ThreadingHTTPServer):
    """Serves one content on a loopback port, as well or badly as a test asks for."""

    daemon_threads = True
    content = b""
    etag = '"first"'
    knows_ranges = True
    breaks_after: int | None = None  # bytes; the first answer only
    statuses: list[int]  # given one by one before the content is served

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.statuses = []
        self.ranges: list[str | None] = []  # the Range header of every request

    def url(self, name: str = "atomic_data.tgz") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self):
        site, content, first = self.server, self.server.content, 0
        site.ranges.append(self.headers.get("Range"))
        if site.statuses:
            self.send_error(site.statuses.pop(0))
            return
        same = self.headers.get("If-Range", site.etag) == site.etag
        if site.knows_ranges and same and (wanted := self.headers.get("Range")):
            first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if first >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("ETag", site.etag)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        end, site.breaks_after = site.breaks_after, None
        self.wfile.write(content[first:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_waits_and_no_proxies(monkeypatch):
    monkeypatch.setattr(sources, "RETRY_WAIT", wait_none())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "sources" / "atomic"


def refusal(source: Source, downloads: Path, out: Path) -> str:
    """The message of the expected error, after checking what holds for every one."""
    with pytest.raises(KformerError) as caught:
        fetch_source(source, downloads, out)
    message = str(caught.value)
    assert message.startswith("source atomic: ")
    assert "\n" not in message
    assert not out.exists()
    assert not out.parent.exists() or not list(out.parent.iterdir())
    return message


def part_of(source: Source, downloads: Path) -> Path:
    downloads.mkdir(exist_ok=True)
    return downloads / f".atomic-{source.key}.part"


# Catalogue and overrides


def test_the_catalogue_is_keyed_by_name_and_fully_described():
    for name, source in CATALOGUE.items():
        assert source.name == name
        assert source.url.startswith("https://")
        assert source.licence
    assert {"social_iqa", "atomic"} <= CATALOGUE.keys()


def test_an_unknown_source_is_answered_with_the_known_ones():
    with pytest.raises(KformerError, match="'atomci' is not a known source; known are: atomic, "):
        resolve("atomci", {})


def test_a_misspelt_override_is_not_passed_over():
    with pytest.raises(KformerError, match="'atomci' is not a known source"):
        resolve("atomic", {"atomci": SourceOverride(url="a.tgz")})


def test_a_mirror_must_have_the_official_bytes():
    mirrored = resolve("atomic", {"atomic": SourceOverride(url="mirror/atomic.tgz")})
    assert mirrored.url == "mirror/atomic.tgz"
    assert mirrored.sha256 == CATALOGUE["atomic"].sha256
    assert mirrored.size == CATALOGUE["atomic"].size
    assert mirrored.key == CATALOGUE["atomic"].key


def test_other_bytes_have_another_key_and_no_known_size():
    other = resolve("atomic", {"atomic": SourceOverride(sha256="AB" * 32)})
    assert other.url == CATALOGUE["atomic"].url
    assert (other.sha256, other.key, other.size) == ("ab" * 32, "ab" * 6, None)


def test_without_a_checksum_the_key_is_the_address():
    one, two = (Source(name="x", url=url, licence="none") for url in ("a.zip", "b.zip"))
    assert re.fullmatch("[0-9a-f]{12}", one.key)
    assert one.key != two.key


@pytest.mark.parametrize("wrong", ["ab", "g" * 64, "a" * 65, "a" * 64 + "\n"])
def test_a_checksum_is_64_hex_digits(wrong):
    with pytest.raises(ValidationError):
        SourceOverride(sha256=wrong)


# What can be fetched


@pytest.mark.parametrize("way", ["http", "file:", "path"])
@pytest.mark.parametrize(
    ("name", "content", "files"),
    [
        ("a.zip", zipped(TEXTS), TEXTS),
        ("a.tgz", tarred(TEXTS), TEXTS),
        ("a.tar", tarred(TEXTS, "w"), TEXTS),
        ("a.tar.xz", tarred(TEXTS, "w:xz"), TEXTS),
        ("a.tsv.gz", gzip.compress(b"a\tb\n"), {"a.tsv": b"a\tb\n"}),
        ("a.tsv", b"a\tb\n", {"a.tsv": b"a\tb\n"}),
    ],
    ids=["zip", "tgz", "tar", "tar.xz", "gz", "plain"],
)
def test_every_kind_of_file_comes_from_every_kind_of_address(
    way, name, content, files, site, tmp_path, downloads, out
):
    site.content = content
    local = tmp_path / "my files" / name
    local.parent.mkdir()
    local.write_bytes(content)
    url = {"http": site.url(name), "file:": local.as_uri(), "path": str(local)}[way]

    metrics = fetch_source(source_of(content, url), downloads, out)

    assert files_in(out) == files
    assert metrics.pop("seconds") > 0
    assert metrics == {
        "bytes": len(content),
        "files": len(files),
        "unpacked_bytes": sum(map(len, files.values())),
    }
    assert downloads.exists() == (way == "http")  # local files are not copied


def test_a_path_may_be_relative_or_start_at_home(tmp_path, monkeypatch, downloads, out):
    content = zipped(TEXTS)
    (tmp_path / "my #1 file.zip").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for i, url in enumerate(("my #1 file.zip", "~/my #1 file.zip", "file:my%20%231%20file.zip")):
        fetch_source(source_of(content, url), downloads, out / str(i))
        assert files_in(out / str(i)) == TEXTS


def test_the_content_decides_not_the_name(site, downloads, out):
    site.content = zipped(TEXTS)
    fetch_source(source_of(site.content, site.url("download?id=1")), downloads, out)
    assert files_in(out) == TEXTS


def test_a_folder_with_something_in_it_is_never_replaced(tmp_path, downloads, out):
    (tmp_path / "a.zip").write_bytes(zipped(TEXTS))
    out.mkdir(parents=True)
    (out / "thesis").write_text("precious")
    with pytest.raises(KformerError, match="there already"):
        fetch_source(source_of(zipped(TEXTS), tmp_path / "a.zip"), downloads, out)
    assert files_in(out) == {"thesis": b"precious"}


def test_a_source_without_a_checksum_is_taken_and_its_checksum_told(site, downloads, out, caplog):
    site.content = zipped(TEXTS)
    source = Source(name="atomic", url=site.url(), licence="none")
    fetch_source(source, downloads, out)
    assert files_in(out) == TEXTS
    assert f"sources.atomic.sha256 to {sha256(site.content)}" in caplog.text


def test_what_macs_and_folders_add_is_left_out(tmp_path, downloads, out):
    content = zipped({"data/": b"", "__MACOSX/data/._train.txt": b"junk", **TEXTS})
    (tmp_path / "a.zip").write_bytes(content)
    fetch_source(source_of(content, tmp_path / "a.zip"), downloads, out)
    assert files_in(out) == TEXTS


# Downloads


def test_a_finished_download_is_not_fetched_again(site, downloads, out):
    site.content = tarred(TEXTS)
    source = source_of(site.content, site.url())
    first = fetch_source(source, downloads, out)
    again = fetch_source(source, downloads, out.with_name("again"))
    assert len(site.ranges) == 1
    assert first["bytes"] == again["bytes"]
    assert [path.name for path in downloads.iterdir()] == [f"atomic-{source.key}"]


def test_a_finished_download_is_verified_again(site, downloads, out):
    source = source_of(site.content, site.url())
    kept = downloads / f"atomic-{source.key}"
    downloads.mkdir()
    kept.write_bytes(b"rotten")
    message = refusal(source, downloads, out)
    assert f"deleted {kept}: run again" in message
    assert not kept.exists()


def test_a_broken_transfer_goes_on_where_it_broke(site, downloads, out):
    site.content = tarred({"a.bin": os.urandom(300_000)})
    site.breaks_after = 200_000
    source = source_of(site.content, site.url())
    fetch_source(source, downloads, out)
    assert site.ranges == [None, "bytes=200000-"]
    assert (downloads / f"atomic-{source.key}").read_bytes() == site.content


def test_a_killed_download_goes_on_from_its_part(site, downloads, out):
    site.content = tarred(TEXTS)
    source = source_of(site.content, site.url())
    part_of(source, downloads).write_bytes(site.content[:100])
    fetch_source(source, downloads, out)
    assert site.ranges == ["bytes=100-"]
    assert files_in(out) == TEXTS


def test_a_server_that_does_not_resume_sends_all(site, downloads, out):
    site.content = tarred(TEXTS)
    site.knows_ranges = False
    source = source_of(site.content, site.url())
    part_of(source, downloads).write_bytes(b"x" * 100)
    fetch_source(source, downloads, out)
    assert site.ranges == ["bytes=100-"]
    assert files_in(out) == TEXTS


def test_a_file_that_changed_in_between_is_fetched_from_the_start(site, downloads, out):
    site.content = tarred(TEXTS)
    site.etag = '"second"'
    source = source_of(site.content, site.url())
    part = part_of(source, downloads)
    part.write_bytes(b"x" * 100)
    part.with_suffix(".version").write_text('"first"')
    fetch_source(source, downloads, out)
    assert files_in(out) == TEXTS


def test_without_checksum_and_version_nothing_is_resumed(site, downloads, out):
    site.content = tarred(TEXTS)
    source = Source(name="atomic", url=site.url(), licence="none")
    part_of(source, downloads).write_bytes(b"x" * 100)
    fetch_source(source, downloads, out)
    assert site.ranges == [None]
    assert files_in(out) == TEXTS


def test_a_part_that_was_complete_is_taken(site, downloads, out):
    site.content = tarred(TEXTS)
    source = source_of(site.content, site.url())
    part_of(source, downloads).write_bytes(site.content)
    fetch_source(source, downloads, out)
    assert site.ranges == [f"bytes={len(site.content)}-"]
    assert files_in(out) == TEXTS


def test_a_part_that_is_too_long_is_dropped(site, downloads, out):
    site.content = tarred(TEXTS)
    source = source_of(site.content, site.url())
    part_of(source, downloads).write_bytes(site.content + b"more")
    fetch_source(source, downloads, out)
    assert site.ranges[1:] == [None]
    assert files_in(out) == TEXTS


def test_a_part_with_wrong_bytes_is_deleted_so_that_the_next_run_starts_anew(site, downloads, out):
    site.content = tarred(TEXTS)
    source = source_of(site.content, site.url())
    part_of(source, downloads).write_bytes(b"x" * 100)
    assert f"expected {source.sha256}; deleted " in refusal(source, downloads, out)
    fetch_source(source, downloads, out)
    assert files_in(out) == TEXTS


def test_an_ill_server_is_tried_again(site, downloads, out):
    site.content = tarred(TEXTS)
    site.statuses = [503, 500]
    fetch_source(source_of(site.content, site.url()), downloads, out)
    assert files_in(out) == TEXTS


def test_what_is_not_there_is_not_tried_again(site, downloads, out):
    site.statuses = [404, 404]
    message = refusal(source_of(b"", site.url()), downloads, out)
    assert f"{site.url()} cannot be fetched: HTTP 404 Not Found; download it by hand" in message
    assert f"(expected sha256 {sha256(b'')}) and set sources.atomic.url to" in message
    assert len(site.ranges) == 1


def test_an_address_that_nobody_answers_is_named(downloads, out):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    message = refusal(source_of(b"", f"http://127.0.0.1:{port}/a.zip"), downloads, out)
    assert f"http://127.0.0.1:{port}/a.zip cannot be fetched: ConnectError" in message


def test_a_proxy_that_cannot_be_used_is_told(site, downloads, out, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:1")
    with pytest.raises(KformerError, match="proxy that the environment names cannot be used"):
        fetch_source(source_of(b"", site.url()), downloads, out)


# What is not the expected file


def test_a_wrong_download_is_named_and_deleted(site, downloads, out):
    site.content = tarred(TEXTS)
    message = refusal(source_of(b"other", site.url()), downloads, out)
    assert site.url() in message
    assert f"has sha256 {sha256(site.content)} ({len(site.content)} bytes)" in message
    assert f"expected {sha256(b'other')}" in message
    assert not [path for path in downloads.iterdir() if path.suffix != ".version"]


def test_a_wrong_local_file_is_named_and_kept(tmp_path, downloads, out):
    local = tmp_path / "a.zip"
    local.write_bytes(zipped(TEXTS))
    message = refusal(source_of(b"other", local), downloads, out)
    assert f"{local} has sha256 {sha256(zipped(TEXTS))}" in message
    assert "or set sources.atomic.sha256 if these are the bytes that you want" in message
    assert local.exists()


def test_a_missing_local_file_is_named(tmp_path, downloads, out):
    message = refusal(source_of(b"", tmp_path / "none.zip"), downloads, out)
    assert f"{tmp_path}/none.zip does not exist; correct sources.atomic.url" in message


def test_a_folder_is_not_a_file(tmp_path, downloads, out):
    assert "is a folder, not a file" in refusal(source_of(b"", tmp_path), downloads, out)


def test_a_file_without_permission_is_named(tmp_path, downloads, out, monkeypatch):
    def deny(*_):
        raise PermissionError(13, "Permission denied", "a.zip")

    (tmp_path / "a.zip").write_bytes(b"")
    monkeypatch.setattr(sources, "_wrong_checksum", deny)  # root may read everything
    message = refusal(source_of(b"", tmp_path / "a.zip"), downloads, out)
    assert "no permission to use a.zip" in message


@pytest.mark.parametrize("url", ["ftp://host/a.zip", "file://host/a.zip", "http://[1/a.zip"])
def test_other_kinds_of_address_are_refused(url, downloads, out):
    message = refusal(source_of(b"", url), downloads, out)
    assert f"the address {url!r} cannot be used" in message


# Archives that are damaged or mean harm


def refusal_of_archive(content: bytes, tmp_path: Path) -> str:
    archive = tmp_path / "a"
    archive.write_bytes(content)
    source = source_of(content, archive)
    message = refusal(source, tmp_path / "downloads", tmp_path / "sources" / "atomic")
    assert f"archive {archive} " in message
    return message


@pytest.mark.parametrize(
    "content",
    [
        zipped(TEXTS),
        tarred(TEXTS),
        tarred({"a.bin": os.urandom(100_000), **TEXTS}),
        tarred(TEXTS, "w"),
        tarred(TEXTS, "w:xz"),
        gzip.compress(os.urandom(100_000)),
    ],
    ids=["zip", "tgz", "large tgz", "tar", "tar.xz", "gz"],
)
@pytest.mark.parametrize("kept", [0.5, 0.9, 1])
def test_a_truncated_archive_is_told(content, kept, tmp_path):
    length = int(len(content) * kept) - 10
    if content[257:262] == b"ustar":  # the end of a plain tar is nothing but padding
        length = min(length, 20_000)
    message = refusal_of_archive(content[:length], tmp_path)
    assert "is truncated or damaged" in message
    assert "delete it and get it again, or set sources.atomic.url to a good copy" in message


def test_a_tar_with_a_broken_header_in_the_middle_is_not_taken_for_shorter(tmp_path):
    content = bytearray(tarred(TEXTS, "w"))
    content[content.index(b"data/dev.txt")] ^= 1
    assert "is truncated or damaged" in refusal_of_archive(bytes(content), tmp_path)


def test_a_wrong_sum_in_an_archive_is_told(tmp_path):
    content = bytearray(tarred(TEXTS))
    content[-8] ^= 1
    assert "is truncated or damaged" in refusal_of_archive(bytes(content), tmp_path)


@pytest.mark.parametrize(
    "name", ["../../evil", "a/../../evil", "/evil", "C:\\evil", "C:evil", "..\\evil", "\\\\a\\evil"]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_member_that_leads_outside_is_refused(pack, name, tmp_path):
    message = refusal_of_archive(pack({"good.txt": b"x", name: b"evil"}), tmp_path)
    assert f"member {name!r} would be written outside its folder; refused" in message
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    message = refusal_of_archive(tarred({"x": link("x", kind)}), tmp_path)
    assert "member 'x' is a link or a device; refused" in message


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("x")
    info.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert "member 'x' is a link or a device" in refusal_of_archive(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize("pack", [zipped, tarred, lambda members: gzip.compress(members["a"])])
def test_a_bomb_is_refused(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED", 1000)
    monkeypatch.setattr(archives, "MAX_RATIO", 2)
    message = refusal_of_archive(pack({"a": b"0" * 100_000}), tmp_path)
    assert re.search(r"unpacks to more than \d+ bytes; refused", message)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    assert "has more than 1 members" in refusal_of_archive(zipped(TEXTS), tmp_path)


def test_an_archive_without_files_is_refused(tmp_path):
    assert "holds no files" in refusal_of_archive(zipped({}), tmp_path)


def test_a_member_with_a_password_is_refused(tmp_path):
    content = bytearray(zipped({"secret": b"x"}))
    content[6] |= 1  # the flag in the member's header, and in the directory
    content[content.index(b"PK\1\2") + 8] |= 1
    assert "member 'secret' cannot be read: " in refusal_of_archive(bytes(content), tmp_path)


def test_a_name_for_both_a_file_and_a_folder_is_refused(tmp_path):
    content = zipped({"a": b"x", "a/b": b"x"})
    assert "member 'a/b' is both a file and a folder" in refusal_of_archive(content, tmp_path)


def test_an_interrupted_unpacking_leaves_nothing_and_can_be_repeated(
    tmp_path, downloads, out, monkeypatch
):
    content = zipped(TEXTS)
    (tmp_path / "a.zip").write_bytes(content)
    source = source_of(content, tmp_path / "a.zip")
    with monkeypatch.context() as patch:
        patch.setattr(
            archives._Folder, "_copy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            fetch_source(source, downloads, out)
    assert not out.exists()
    fetch_source(source, downloads, out)
    assert files_in(out) == TEXTS
