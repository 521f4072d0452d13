"""Servers that send something else than the file: what comes is right, refused, or bounded."""

import itertools
import os
import socket
import ssl
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kformer.errors import KformerError
from kformer.sources import download, pace
from kformer.sources.refusals import NotFetched

from .conftest import Page, answer, gzipped, serving

CONTENT = os.urandom(300_000)
SIZE = len(CONTENT)
FIRST = '"first"'
PAST = "Fri, 01 Jan 2021 00:00:00 GMT"


@pytest.fixture(autouse=True)
def content(site):
    site.content = CONTENT


def chunked(*chunks: bytes, ends: bool = True, **headers) -> list[bytes]:
    head, _ = answer(200, Transfer_Encoding="chunked", **headers)
    return [head, *(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks), b"0\r\n\r\n" * ends]


# Pieces


@pytest.mark.parametrize("checked", [True, False])
def test_a_piece_that_nobody_asked_for_is_not_the_file(checked, site, get):
    piece = CONTENT[:1000]
    site.scripts = [
        answer(206, piece, Content_Range=f"bytes 0-999/{SIZE}", Content_Length=1000, ETag=FIRST)
    ]
    assert get(site.url(), checked) == CONTENT
    assert site.ranges == [None, "bytes=1000-"]


@pytest.mark.parametrize("checked", [True, False])
def test_a_server_that_gives_pieces_is_asked_for_all_of_them(checked, site, get):
    site.longest_piece = 100_000
    assert get(site.url(), checked) == CONTENT
    assert site.ranges == [None, "bytes=100000-", "bytes=200000-"]


def test_pieces_of_nobody_knows_what_are_refused_without_a_checksum(site, part, get, refusal):
    site.longest_piece, site.etag = 100_000, ""
    error = refusal(site.url(), checked=False)
    assert str(error).startswith("gives the file in pieces, and nothing that tells")
    assert not part.exists()
    assert get(site.url()) == CONTENT


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"etag": FIRST}, {"etag": '"second"'}),
        ({"etag": FIRST, "last_modified": PAST}, {"last_modified": "Sat" + PAST[3:]}),
        ({"etag": "", "last_modified": PAST}, {"last_modified": "Sat" + PAST[3:]}),
        ({"etag": FIRST}, {"content": os.urandom(SIZE + 1)}),
    ],
)
def test_a_file_that_changes_between_two_tries_is_fetched_anew(
    before, after, checked, site, get, caplog
):
    """By a server that does not heed If-Range."""
    vars(site).update(before, heeds_if_range=False, breaks_after=200_000)
    new = after.setdefault("content", os.urandom(SIZE))
    serve = Page.do_GET

    def change_after_the_first(page):
        serve(page)
        vars(site).update(after)

    site.RequestHandlerClass = type("Changing", (Page,), {"do_GET": change_after_the_first})
    assert get(site.url(), checked) == new
    assert site.ranges == [None, "bytes=200000-", None]
    assert "has changed since the first try; trying again" in caplog.text


def test_a_rest_that_does_not_name_its_version_is_not_trusted(site, get):
    site.breaks_after = 200_000
    rest = answer(
        206, CONTENT[200_000:], Content_Range=f"bytes 200000-{SIZE - 1}/{SIZE}", Connection="close"
    )
    serve = Page.do_GET

    def then_the_rest(page):
        serve(page)
        site.scripts = [rest] if len(site.requests) == 1 else []

    site.RequestHandlerClass = type("Forgetful", (Page,), {"do_GET": then_the_rest})
    assert get(site.url(), checked=False) == CONTENT
    assert site.ranges == [None, "bytes=200000-", None]


@pytest.mark.parametrize(
    "content_range",
    [
        *("", "bytes 5-9/10", "bytes 0-4/*", "bytes 4-0/10", "bytes 0-4/3", "bytes 0-99/100"),
        *("bytes */10", "items 0-4/10", "bytes 0-4/10, 5-9/10", "bytes 0-4/" + "9" * 400, "\xe9"),
    ],
)
def test_a_piece_that_cannot_be_is_refused(content_range, site, refusal):
    site.scripts = [
        answer(206, b"12345", Content_Range=content_range, Content_Length=5, ETag=FIRST)
        for _ in range(download.TRIES)
    ]
    error = refusal(site.url(), checked=False)
    assert error.reached
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    "strange",
    [
        answer(206, b"12", Content_Range=f"bytes 0-1/{SIZE}", Content_Length=2, ETag=FIRST),
        answer(206, b"12345", Content_Range=f"bytes 100-101/{SIZE}", ETag=FIRST),
        answer(206, b"<html>", Content_Length=6, Content_Type="multipart/byteranges"),
        answer(416, Content_Range="bytes */100", Content_Length=0),
        answer(204, ETag=FIRST),
    ],
)
@pytest.mark.parametrize("checked", [True, False])
def test_a_rest_that_is_none_is_dropped_and_all_of_it_fetched(strange, checked, site, part, get):
    site.breaks_after = 100
    serve = Page.do_GET

    def then_something_strange(page):
        serve(page)
        site.scripts = [strange] if len(site.requests) == 1 else []

    site.RequestHandlerClass = type("Strange", (Page,), {"do_GET": then_something_strange})
    assert get(site.url(), checked) == CONTENT
    assert site.ranges == [None, "bytes=100-", None]


def test_any_byte_in_an_etag_is_sent_back(site, get):
    site.etag = '"\xe9\xff"'  # http.server writes and reads it as Latin-1
    site.breaks_after = 200_000
    assert get(site.url(), checked=False) == CONTENT
    assert site.ranges == [None, "bytes=200000-"]
    assert site.requests[1]["if-range"] == site.etag


# Where the file ends


@pytest.mark.parametrize("checked", [True, False])
def test_chunks_are_put_together(checked, site, part, get):
    site.scripts = [chunked(b"a" * 10, b"b" * 20)]
    assert get(site.url(), checked) == b"a" * 10 + b"b" * 20
    assert get(site.url(), checked) == b"a" * 10 + b"b" * 20  # known to be complete
    assert len(site.requests) == 1


@pytest.mark.parametrize(("etag", "asked"), [(FIRST, "bytes=100-"), ("", None)])
def test_chunks_that_are_cut_off_are_not_the_file(etag, asked, site, get):
    site.scripts = [chunked(CONTENT[:100], ends=False, ETag=etag)]
    site.etag = etag
    assert get(site.url(), checked=False) == CONTENT
    assert site.ranges == [None, asked]


def test_a_length_that_nobody_knows_is_only_taken_with_a_checksum(site, get, refusal):
    site.scripts = [answer(200, b"12345", ETag=FIRST), answer(200, b"12345", ETag=FIRST)]
    assert get(site.url()) == b"12345"
    error = refusal(site.url("other"), checked=False)
    assert str(error).startswith("does not say how long the file is")


@pytest.mark.parametrize(
    "script", [[b""], [b"\0" * 100], [b"HTTP/1.1 200 OK\r\nContent-Length: x"]]
)
def test_what_is_no_http_is_refused(script, site, refusal):
    site.scripts = [script] * 100
    error = refusal(site.url())
    assert str(error).startswith("cannot be fetched: RemoteProtocolError: ")
    assert len(site.requests) == download.TRIES


@pytest.mark.parametrize("status", [201, 202, 203, 204, 300, 304])
def test_a_status_that_gives_no_file_is_named(status, site, refusal):
    site.scripts = [answer(status, Content_Length=0)]
    assert f"HTTP {status}" in str(refusal(site.url()))


# Something else than the file


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
@pytest.mark.parametrize("checked", [True, False])
def test_a_web_page_is_taken_only_where_a_checksum_is_known(kind, checked, site, get, refusal):
    site.content_type = kind
    if checked:
        assert get(site.url(), checked) == CONTENT
    else:
        assert str(refusal(site.url(), checked)) == "answers with a web page instead of the file"


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, br"])
def test_what_is_packed_for_the_transfer_is_refused(encoding, site, refusal):
    site.scripts = [answer(200, b"12345", Content_Length=5, Content_Encoding=encoding)]
    error = refusal(site.url("a.jsonl"), checked=False)
    assert str(error).startswith(f"packs the file for the transfer ({encoding}), though")


@pytest.mark.parametrize("name", ["a.tgz", "a.jsonl.gz"])
def test_a_packed_file_of_which_that_is_said_is_taken_as_it_is(name, site, get):
    body = gzipped({"a": b"x"})
    length = len(body)
    site.scripts = [answer(200, body, Content_Length=length, Content_Encoding="x-gzip")]
    assert get(site.url(name), checked=False) == body


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("file:///etc/passwd", "redirects to a file: address; refused"),
        ("ftp://127.0.0.1/a", "redirects to a ftp: address; refused"),
        ("data:,x", "redirects to something that is no address"),
    ],
)
def test_a_redirect_to_another_kind_of_address_is_refused_as_what_it_is(
    location, problem, site, refusal
):
    site.redirect = location
    error = refusal(site.url())
    assert str(error) == problem
    assert error.reached


def test_the_page_that_redirects_is_not_read(site, mirror, get):
    head, _ = answer(302, Location=site.url("there"))
    mirror.scripts = [itertools.chain([head], itertools.repeat(bytes(2**20)))]
    assert get(mirror.url()) == CONTENT


# Endless


def endless(**headers) -> itertools.chain[bytes]:
    return itertools.chain(answer(200, **headers), itertools.repeat(b"400\r\n%b\r\n" % bytes(1024)))


@pytest.mark.parametrize(
    ("known", "problem"),
    [
        ({"max_bytes": 100_000}, "has more than 100,000 bytes, and nobody published its size"),
        ({"size": 100_000}, "has more than the 100,000 bytes that are expected"),
    ],
)
def test_an_endless_body_is_bounded(known, problem, site, part, refusal):
    site.scripts = [endless(Transfer_Encoding="chunked", ETag=FIRST)]
    assert str(refusal(site.url(), **known)) == problem
    assert not part.exists()
    site.scripts = [endless(Content_Length=10**15, ETag=FIRST)]
    assert str(refusal(site.url(), **known)) == problem
    assert not part.exists()


@pytest.mark.parametrize("headers", [{"Transfer_Encoding": "chunked"}, {"Content_Length": 10**9}])
def test_the_disk_is_not_filled(headers, site, part, get, monkeypatch):
    monkeypatch.setattr(download, "spare_bytes", lambda _: 100_000)
    site.scripts = [endless(**headers)]
    with pytest.raises(KformerError) as caught:
        get(site.url())
    assert str(caught.value) == (
        f"{part.parent}: no room for the download of atomic: 100,000 bytes can be spared there; "
        "make room and run again"
    )
    assert part.stat().st_size <= 100_000


def trickle(start: bytes, drop: bytes):
    yield start
    while True:
        time.sleep(0.02)
        yield drop


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (HEAD, b"X: y\r\n"),
        (HEAD + b'Content-Length: 300000\r\nETag: "first"\r\n\r\n', b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (HEAD + b"\r\n", b"x"),
    ],
    ids=["header", "body", "chunks", "length of a chunk", "until it closes"],
)
def test_a_body_that_trickles_is_ended(start, drop, site, refusal, monkeypatch):
    monkeypatch.setattr(pace, "WINDOW", 0.2)
    monkeypatch.setattr(download, "WINDOW", 0.2)
    site.scripts = [trickle(start, drop)]
    error = refusal(site.url())
    assert str(error) == "sends less than 1,000 bytes/s over 0.2 s"
    assert len(site.requests) == 1


def test_what_came_in_a_trickle_is_resumed(site, part, get, refusal, monkeypatch):
    head = b'Content-Length: 300000\r\nETag: "first"\r\n\r\n'
    with monkeypatch.context() as patch:
        patch.setattr(pace, "WINDOW", 0.2)
        site.scripts = [trickle(HEAD + head + CONTENT[:150], b"")]
        error = refusal(site.url(), checked=False)
    assert error.advice == "run again to go on from there"
    assert get(site.url(), checked=False) == CONTENT
    assert site.ranges == [None, "bytes=150-"]


# Nobody there


@contextmanager
def secured(folder):
    """The address of an https server with a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), True)
        .sign(key, hashes.SHA256())
    )
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    both = key.private_bytes(*form) + certificate.public_bytes(Encoding.PEM)
    (folder / "both.pem").write_bytes(both)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    with serving() as site:
        site.socket = context.wrap_socket(site.socket, server_side=True)
        yield site.url().replace("http:", "https:")


@pytest.mark.parametrize(
    ("code", "tries"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, download.TRIES)]
)
def test_a_host_that_nobody_knows_is_named(code, tries, refusal, monkeypatch):
    asked = []

    def unknown(host, *_args, **_more):
        asked.append(host)
        raise socket.gaierror(code, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = refusal("http://no-such-host.invalid/a.zip")
    why = "cannot be reached: no host of that name is known here (Name or service not known)"
    assert str(error) == why
    assert not error.reached
    assert asked == ["no-such-host.invalid"] * tries


def test_a_certificate_that_is_not_trusted_is_named(tmp_path, refusal):
    with secured(tmp_path) as url:
        error = refusal(url)
    assert (
        str(error) == "cannot be reached: its certificate is not trusted (self-signed certificate)"
    )
    assert "SSL_CERT_FILE" in error.advice


def test_https_where_http_is_spoken_is_named(site, refusal):
    error = refusal(site.url().replace("http:", "https:"))
    assert str(error).startswith("cannot be reached: no https is spoken there (")


@pytest.mark.parametrize(
    "address",
    [
        *("http://" + "a" * 70 + ".com/x", "http://a..b/x", "http://\u2603.example:99999999/x"),
        *("http://127.0.0.1:0/x", "http://127.0.0.1\x00/x", "http://[::1/x", "http:///x", "http:x"),
        *("http://a b/x", "http://127.0.0.1:port/x"),
    ],
)
def test_an_address_that_is_none_is_one_line(address, part):
    transfer = download.Download("atomic", address, address, part, True, None)
    with pytest.raises(NotFetched, match=r"^.+$"):
        transfer.run()
