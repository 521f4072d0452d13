"""One download: resumed, tried again, through proxies, and from the Hugging Face hub."""

import gzip
import os
import subprocess
import sys
import time

import pytest
from huggingface_hub import constants

from kformer.errors import KformerError
from kformer.sources import download
from kformer.sources.part_file import FileVersion, PartFile
from kformer.sources.refusals import NotFetched

from .conftest import TOKEN, sha256

CONTENT = os.urandom(300_000)


@pytest.fixture(autouse=True)
def content(site):
    site.content = CONTENT


def interrupt(part, content, address, etag='"first"', total=None):
    """Leaves what a killed download leaves."""
    PartFile(part, address).begin(FileVersion(etag=etag, total=total))
    part.write_bytes(content)


# Resuming


def test_a_broken_transfer_is_resumed(site, get):
    site.breaks_after = 200_000
    assert get(site.url()) == CONTENT
    assert site.ranges == [None, "bytes=200000-"]


@pytest.mark.parametrize("total", [None, len(CONTENT)])
@pytest.mark.parametrize("version", ['"first"', ""])
def test_a_killed_download_is_resumed_from_its_part(version, total, site, part, get):
    interrupt(part, CONTENT[:100], site.url(), version, total)
    assert get(site.url()) == CONTENT
    assert site.ranges == ["bytes=100-"]
    assert site.requests[0].get("if-range", "") == version


@pytest.mark.parametrize("changed", [{"knows_ranges": False}, {"etag": '"second"'}])
def test_where_the_server_does_not_resume_or_has_another_file_all_is_fetched(
    site, part, get, changed
):
    vars(site).update(changed)
    interrupt(part, b"x" * 100, site.url())
    assert get(site.url()) == CONTENT
    assert site.ranges == ["bytes=100-"]


@pytest.mark.parametrize(
    ("address", "version", "checked"), [("same", "", False), ("another", '"first"', True)]
)
def test_nothing_is_resumed_that_may_be_another_file(site, part, get, address, version, checked):
    interrupt(part, b"x" * 100, site.url(address), version)
    assert get(site.url("same"), checked) == CONTENT
    assert site.ranges == [None]


@pytest.mark.parametrize(("more", "asked"), [(b"", []), (b"more", [None])])
def test_a_part_that_was_complete_is_taken_and_one_that_is_too_long_dropped(
    site, part, get, more, asked
):
    interrupt(part, CONTENT + more, site.url(), total=len(CONTENT))
    assert get(site.url()) == CONTENT
    assert site.ranges == asked


@pytest.mark.parametrize("note", [b"", b"{", b"\xff", b"[]", b"[" * 10**5, b'{"address": 1}'])
def test_a_note_on_a_part_that_cannot_be_read_is_no_note(note, site, part, get):
    interrupt(part, b"x" * 100, site.url())
    part.with_suffix(".version").write_bytes(note)
    assert get(site.url()) == CONTENT
    assert site.ranges == [None]


def test_bytes_come_as_they_are_stored(site, get):
    site.content = gzip.compress(CONTENT)
    assert get(site.url()) == site.content
    assert site.requests[0]["accept-encoding"] == "identity"


# Trying again


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_an_ill_server_is_tried_again(status, site, get, caplog):
    site.statuses = [status, status]
    site.retry_after = "Fri, 01 Jan 2100 00:00:00 GMT"  # a date is not waited for
    assert get(site.url()) == CONTENT
    assert len(site.requests) == 3
    assert f"source atomic: {site.url()} cannot be fetched: HTTP {status}" in caplog.text
    assert "trying again in 0 s (try 2 of 5 failed)" in caplog.text


@pytest.mark.parametrize(
    ("retry_after", "tries", "advice"),
    [(None, download.TRIES, "run again later"), ("86400", 1, "run again in 86,400 s")],
)
def test_it_is_not_tried_for_ever_nor_after_too_long_a_wait(
    site, refusal, retry_after, tries, advice
):
    site.statuses, site.retry_after = [503] * 100, retry_after
    error = refusal(site.url())
    assert str(error) == "cannot be fetched: HTTP 503 Service Unavailable"
    assert error.advice == advice
    assert error.reached
    assert len(site.requests) == tries


@pytest.mark.parametrize(("retry_after", "expected"), [(None, [1, 2, 4, 8]), ("7", [7, 7, 7, 8])])
def test_the_waits_grow_and_are_those_that_the_server_asks_for(
    site, get, monkeypatch, retry_after, expected
):
    waits = []
    monkeypatch.undo()  # the waits as they are, not slept
    monkeypatch.setattr(time, "sleep", waits.append)
    site.statuses, site.retry_after = [503, 429, 503, 503], retry_after
    assert get(site.url()) == CONTENT
    assert [wait for wait in waits if wait >= 1] == expected


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_is_not_there_is_not_tried_again(status, site, refusal):
    site.statuses = [status] * 2
    error = refusal(site.url())
    assert str(error).startswith(f"cannot be fetched: HTTP {status} ")
    assert "HF_TOKEN" not in str(error)
    assert error.reached
    assert len(site.requests) == 1


def test_a_redirect_is_followed_and_a_circle_left(site, mirror, get, refusal):
    mirror.redirect = site.url("elsewhere")
    assert get(mirror.url("there")) == CONTENT
    mirror.redirect = mirror.url()
    assert str(refusal(mirror.url())) == "redirects more than 20 times"


# Proxies


def test_the_proxy_that_the_environment_names_is_used(site, get, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url(""))
    assert get("http://example.invalid/data/a.zip") == CONTENT
    assert site.requests[0]["path"] == "http://example.invalid/data/a.zip"
    assert site.requests[0]["host"] == "example.invalid"


def test_no_proxy_is_for_what_it_names(site, dead, get, refusal, monkeypatch):
    monkeypatch.setenv("http_proxy", dead.removesuffix("/atomic_data.tgz"))
    error = refusal("http://example.invalid/a.zip")
    assert str(error) == "cannot be reached: connection refused"
    assert not error.reached
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert get(site.url()) == CONTENT


@pytest.mark.parametrize(
    "proxy", ["nonsense://127.0.0.1:1", "http://me:s3cret@127.0.0.1:port", "http://me:s3cret#@host"]
)
def test_a_proxy_that_cannot_be_used_is_refused(proxy, site, get, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(KformerError, match="proxy that the environment names cannot be") as told:
        get(site.url())
    assert "s3cret" not in str(told.value)


# The Hugging Face hub


def test_a_hub_file_is_asked_for_with_the_users_token_and_resumed(hub, part, get):
    address = "hf://datasets/me/mine@v1/data/a b.zip"
    interrupt(part, CONTENT[:100], address)
    assert get(address) == CONTENT
    (request,) = hub.requests
    assert hub.ranges == ["bytes=100-"]
    assert request["path"] == "/datasets/me/mine/resolve/v1/data/a%20b.zip"
    assert request["authorization"] == f"Bearer {TOKEN}"
    assert request["accept-encoding"] == "identity"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_token_stays_on_the_hub(host, hub, mirror, get):
    """The hub redirects to another host for large files; here to another name, and another port."""
    mirror.content = b"from another host"
    hub.redirect = mirror.url(host=host)
    assert get("hf://me/mine/a.zip") == b"from another host"
    assert "authorization" in hub.requests[0]
    assert "authorization" not in mirror.requests[0]


def test_the_token_follows_where_the_hub_renames_a_repository(hub, get):
    hub.redirect = hub.url("renamed")
    with pytest.raises(
        NotFetched, match="redirects more than 20 times"
    ):  # it redirects that one as well
        get("hf://me/mine/a.zip")
    assert hub.requests[1]["path"] == "/renamed"
    assert "authorization" in hub.requests[1]


@pytest.mark.parametrize("to_hub", [True, False])
def test_no_token_goes_to_other_addresses_or_where_the_user_forbids_it(
    to_hub, hub, get, monkeypatch
):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", to_hub)
    get("hf://me/mine/a.zip" if to_hub else hub.url())
    assert "authorization" not in hub.requests[0]


@pytest.mark.parametrize("status", [401, 403])
def test_a_private_repository_needs_a_token(status, hub, refusal):
    hub.statuses = [status]
    error = refusal("hf://me/mine/a.zip")
    assert str(error).endswith(" (for a private or gated repository set HF_TOKEN)")
    assert TOKEN not in str(error)


def test_the_hub_is_left_alone_where_the_user_says_so(hub, refusal, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = refusal("hf://me/mine/a.zip")
    assert str(error) == "cannot be fetched: HF_HUB_OFFLINE is set"
    assert not error.reached
    assert hub.requests == []


def test_the_hub_that_the_environment_names_is_asked(site, tmp_path):
    environment = {
        **os.environ,
        **{"HF_ENDPOINT": site.url("").rstrip("/"), "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0"},
        **{"KFORMER_DOWNLOADS": "downloads", "MLFLOW_TRACKING_URI": ""},
    }
    override = f'{{"mine": {{"url": "hf://me/mine/a.bin", "sha256": "{sha256(CONTENT)}"}}}}'
    command = [sys.executable, "-c", "from kformer import cli; cli.main()", "fetch", "mine"]
    command += ["--out", "out", "--settings", override]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)
    assert (tmp_path / "out" / "a.bin").read_bytes() == CONTENT
    (request,) = site.requests
    assert request["path"] == "/me/mine/resolve/main/a.bin"
    assert request["authorization"] == f"Bearer {TOKEN}"
    assert [path.name for path in (tmp_path / "downloads").glob("mine-*")]
