"""What a server answers when it is asked for a file: the file, a piece of it, or something else."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import httpx

from kformer.sources.part_file import FileVersion
from kformer.sources.refusals import NotFetched

MAX_REDIRECTS = 20

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_WEB_PAGES = ("text/html", "application/xhtml+xml")


@contextmanager
def answer(client: httpx.Client, request: httpx.Request) -> Iterator[httpx.Response]:
    """The answer to a request, after redirects to other http(s) addresses.

    Not httpx's own way to follow them, which reads the page that redirects into memory.

    Raises:
        NotFetched: it redirects to something else, or in circles.
        httpx.HTTPError: there is no answer.
    """
    for _ in range(MAX_REDIRECTS + 1):
        try:
            response = client.send(request, stream=True)
        except httpx.InvalidURL:  # the request had a good one
            raise NotFetched("redirects to something that is no address") from None
        try:
            if response.next_request is None:
                yield response
                return
            request = response.next_request
        finally:
            response.close()
        if request.url.scheme not in ("http", "https"):
            raise NotFetched(f"redirects to a {request.url.scheme}: address; refused")
    raise NotFetched(f"redirects more than {MAX_REDIRECTS} times")


@dataclass(frozen=True)
class Piece:
    """What an answer holds of a file.

    Attributes:
        first: the byte with which it begins.
        length: how many bytes; None if it does not say.
        is_partial: whether it may end before the file does.
        version: of which file.
    """

    first: int
    length: int | None
    is_partial: bool
    version: FileVersion


def piece_of(response: httpx.Response, asked_from: int) -> Piece:
    """What an answer says that it holds.

    Raises:
        NotFetched: it is neither the file nor its piece from byte ``asked_from`` on.
    """
    length = _length_of(response)
    if response.status_code == 200:
        return Piece(0, length, False, FileVersion.of(response, length))
    if response.status_code != 206:
        raise NotFetched(f"answers with HTTP {response.status_code} instead of the file")
    content_range = response.headers.get("Content-Range", "")[:80]
    match = _RANGE.fullmatch(content_range)
    if match is None or int(match[1]) != asked_from:
        raise NotFetched(f"was asked from byte {asked_from} on and answers {content_range!r}")
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    says = last - first + 1
    if says < 1 or (total is not None and last >= total) or length not in (None, says):
        raise NotFetched(f"gives {length} bytes and calls them {content_range!r}")
    return Piece(first, says, True, FileVersion.of(response, total))


def _length_of(response: httpx.Response) -> int | None:
    if "Transfer-Encoding" in response.headers:
        return None  # its own end mark says more
    length = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None


def refuse_what_could_be_anything(response: httpx.Response) -> None:
    """Raises NotFetched for what must not become the file that is trusted on first use."""
    headers = response.headers
    if headers.get("Content-Type", "").strip().lower().startswith(_WEB_PAGES):
        raise NotFetched("answers with a web page instead of the file")
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    name = PurePosixPath(unquote(response.url.path)).name.lower()
    # Some servers say of a file that is one that it is packed.
    is_said_of_the_file = encoding in ("gzip", "x-gzip") and name.endswith((".gz", ".tgz"))
    if encoding not in ("identity", "") and not is_said_of_the_file:
        raise NotFetched(
            f"packs the file for the transfer ({encoding[:40]}), though it was asked for as it is"
        )
    has_an_end = response.status_code == 206 or "Transfer-Encoding" in headers
    if not has_an_end and _length_of(response) is None:
        raise NotFetched(
            "does not say how long the file is, so that nobody would notice where it was cut off"
        )
