"""The lock file: trusted on first use, verified ever after."""

import json
import subprocess
import sys
from datetime import date

import pytest

from kformer.errors import KformerError
from kformer.sources.checksum_lock import check_unpacked, trust
from kformer.sources.fetch import fetch_source

from .conftest import TEXTS, files_in, sha256, source_of, tarred, unpublished, zipped

OTHER = {"other.txt": b"other"}


@pytest.fixture
def get(downloads, lock, tmp_path):
    """Fetches a source as another experiment would, or another machine with its own downloads."""
    count = 0

    def run(source, downloads=downloads):
        nonlocal count
        count += 1
        fetch_source(source, downloads, lock, tmp_path / f"out-{count}")
        return files_in(tmp_path / f"out-{count}")

    return run


@pytest.mark.parametrize("way", ["http", "path"])
def test_the_first_fetch_writes_down_what_the_file_is(way, site, tmp_path, lock, get, caplog):
    site.content = zipped(TEXTS)
    (tmp_path / "a.zip").write_bytes(site.content)
    address = site.url() if way == "http" else str(tmp_path / "a.zip")
    assert get(unpublished(address)) == TEXTS
    entry = json.loads(lock.read_text())[address]
    today = date.fromisoformat(entry.pop("first_fetched"))
    assert abs((today - date.today()).days) <= 1
    digest = sha256(site.content)
    assert entry == {"source": "atomic", "sha256": digest, "size": len(site.content)}
    assert f"from now on {lock} expects sha256 {digest}" in caplog.text


def test_a_later_fetch_only_verifies(site, lock, get, caplog):
    site.content = zipped(TEXTS)
    get(source_of(site.content, site.url()))
    assert not lock.exists()  # a published checksum needs none
    get(unpublished(site.url()))
    before, _ = lock.read_bytes(), caplog.clear()
    assert get(unpublished(site.url())) == TEXTS
    assert lock.read_bytes() == before
    assert caplog.messages == []


def test_no_secret_of_an_address_is_written_and_another_one_needs_no_other_entry(site, lock, get):
    site.content = zipped(TEXTS)
    get(unpublished(f"{site.url()}?token=hidden-1".replace("http://", "http://me:hidden-2@")))
    assert "hidden" not in lock.read_text()
    before = lock.read_bytes()
    get(unpublished(f"{site.url()}?token=hidden-3".replace("http://", "http://me:hidden-4@")))
    assert lock.read_bytes() == before


def test_an_entry_with_a_secret_still_holds(site, lock, get):
    site.content = zipped(TEXTS)
    get(unpublished(site.url()))
    (entry,) = json.loads(lock.read_text()).values()
    secret = f"{site.url()}?token=hidden"
    lock.write_text(json.dumps({secret: entry | {"sha256": "ab" * 32}}))
    with pytest.raises(KformerError, match="has sha256"):
        get(unpublished(secret))


def test_every_address_has_its_entry_in_order(site, lock, tmp_path, get, monkeypatch):
    site.content = zipped(TEXTS)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.zip").write_bytes(zipped(OTHER))
    for address in (site.url("b"), "a.zip", site.url("a")):
        get(unpublished(address))
    assert list(json.loads(lock.read_text())) == ["a.zip", site.url("a"), site.url("b")]


def test_a_changed_file_is_refused_on_another_machine(site, tmp_path, lock, get):
    site.content = zipped(TEXTS)
    get(unpublished(site.url()))
    locked, site.content = site.content, zipped(OTHER)
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(KformerError) as caught:
        get(unpublished(site.url()), elsewhere)
    size = f"({len(site.content)} bytes of {len(locked)})"
    assert str(caught.value) == (
        f"source atomic: the file from {site.url()} has sha256 {sha256(site.content)} {size}, "
        f"expected {sha256(locked)} by {lock}; deleted it; get it again or, if its owners have "
        f"changed it and you want it as it is now, delete the entry {site.url()!r} from {lock}"
    )
    assert list(elsewhere.iterdir()) == []
    lock.write_text("{}")
    assert get(unpublished(site.url()), elsewhere) == OTHER


def test_a_file_that_has_grown_is_refused_before_it_is_fetched(site, tmp_path, lock, get):
    site.content = zipped(OTHER)
    get(unpublished(site.url()))
    locked, site.content = site.content, zipped(TEXTS)
    assert len(site.content) > len(locked)
    with pytest.raises(KformerError) as caught:
        get(unpublished(site.url()), tmp_path / "elsewhere")
    assert str(caught.value) == (
        f"source atomic: {site.url()} has more than the {len(locked)} bytes that are expected; get "
        "it again or, if its owners have changed it and you want it as it is now, delete the entry "
        f"{site.url()!r} from {lock}"
    )
    lock.write_text("{}")
    assert get(unpublished(site.url()), tmp_path / "elsewhere") == TEXTS


def test_a_changed_file_in_the_cache_is_refused_and_kept(site, downloads, lock, get):
    """Another experiment may share the cache and have locked the newer file."""
    site.content = zipped(TEXTS)
    source = unpublished(site.url())
    get(source)
    kept = downloads / f"atomic-{source.key}"
    kept.write_bytes(zipped(OTHER))
    with pytest.raises(KformerError, match="delete that file to get it again or, if its owners"):
        get(source)
    assert kept.exists()
    kept.unlink()
    assert get(source) == TEXTS


def test_a_mirror_must_have_the_locked_bytes(site, mirror, tmp_path, lock, get):
    site.content, mirror.content = zipped(TEXTS), zipped(OTHER)
    source = unpublished(site.url(), mirror.url())
    get(source)
    site.statuses = [404, 404]
    with pytest.raises(KformerError, match=f"the file from {mirror.url()} has sha256"):
        get(source, tmp_path / "elsewhere")
    mirror.content = site.content
    assert get(source, tmp_path / "elsewhere") == TEXTS


def test_a_damaged_file_is_not_locked_and_a_changed_local_file_is_refused(tmp_path, lock, get):
    local = tmp_path / "a.zip"
    local.write_bytes(zipped(TEXTS)[:-30])
    with pytest.raises(KformerError, match="is truncated or damaged"):
        get(unpublished(local))
    assert not lock.exists()
    local.write_bytes(zipped(TEXTS))
    get(unpublished(local))
    local.write_bytes(zipped(OTHER))
    with pytest.raises(KformerError, match=f"a.zip has sha256 .* by {lock}; get it again or"):
        get(unpublished(local))


WRONG_FIELDS = [
    *({"sha256": "a"}, {"sha256": None}, {"sha256": ["ab" * 32]}, {"size": -1}, {"size": "x"}),
    *(
        {"size": 1e400},
        {"source": 7},
        {"source": "\ud800"},
        {"first_fetched": "yesterday"},
        {"more": 1},
    ),
]
ENTRY = {"source": "x", "sha256": "ab" * 32, "size": 1, "first_fetched": "2026-01-01"}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"\xff\xfe", b"\xff", b"null", b'"a"', b'{"a": 1}'),
        *(b"[" * 5000, b'{"a":' * 5000, b'{"a": {"sha256": "ab"}}', b"9" * 5000, bytes(100)),
        *(
            b"<<<<<<< HEAD\n{}",
            b'{"\\ud800": 1}',
            b'{"a": %s, "a": 1}' % json.dumps(ENTRY).encode(),
        ),
        *(json.dumps({"a": ENTRY | wrong}).encode() for wrong in WRONG_FIELDS),
    ],
)
def test_a_malformed_lock_file_is_refused_in_one_line(content, site, lock, get):
    lock.write_bytes(content)
    problem = rf"^{lock}: not a lock file of sources: .*; restore it from version control, or .*$"
    with pytest.raises(KformerError, match=problem):
        get(unpublished(site.url()))
    assert lock.read_bytes() == content
    assert site.requests == []


def test_a_lock_file_that_is_a_folder_is_refused_in_one_line(site, lock, get):
    lock.mkdir()
    with pytest.raises(KformerError, match=r"not a lock file of sources: Is a directory; restore"):
        get(unpublished(site.url()))


@pytest.mark.parametrize("note", [b"", b"\xff\xff", b"ab" * 32])
def test_a_folder_whose_note_is_damaged_is_refused(note, site, tmp_path, lock, get):
    site.content = zipped(TEXTS)
    source = unpublished(site.url())
    get(source)
    (tmp_path / ".out-1.sha256").write_bytes(note)
    with pytest.raises(KformerError, match=r"^source atomic: .* delete that folder to fetch it"):
        check_unpacked(source, tmp_path / "out-1", lock)


TRUST_ALL = """
import sys
from pathlib import Path
from kformer.sources.checksum_lock import check_unpacked, trust
from kformer.sources.catalogue import SourceFile
lock, *paths = sys.argv[1:]
for path in paths:
    trust(SourceFile(title="mine", setting="questions", url=path), Path(path), Path(lock))
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path, lock):
    paths = [tmp_path / f"{i}.txt" for i in range(30)]
    for path in paths:
        path.write_text(path.name)
    processes = [
        subprocess.Popen([sys.executable, "-c", TRUST_ALL, lock, *paths[i::3]]) for i in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    found = {address: entry["sha256"] for address, entry in json.loads(lock.read_text()).items()}
    assert found == {str(path): sha256(path.name.encode()) for path in paths}


def test_of_two_that_trust_other_bytes_the_later_one_is_refused(tmp_path, lock):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(tarred(TEXTS))
    two.write_bytes(tarred(OTHER))
    (file,) = unpublished("http://host/a.tgz").files
    trust(file, one, lock)
    with pytest.raises(KformerError, match=f"two has sha256 .* by {lock}"):
        trust(file, two, lock)
