"""Why an address gives no file, each reason in one line, and what to do about it."""

import socket
import ssl
from collections.abc import Iterator

import httpx

LATER = "run again later"
CORRECT = "correct the address"


class NotFetched(Exception):
    """Why an address gave no file; the message follows the address.

    Attributes:
        advice: what to do, besides getting the file by hand.
        reached: whether a server answered at all.
    """

    def __init__(self, message: str, advice: str = CORRECT, reached: bool = True) -> None:
        super().__init__(message)
        self.advice = advice
        self.reached = reached


class StartAnew(Exception):
    """Why what was transferred is of no use; it is gone, and the next try may succeed."""


class OtherFile(NotFetched):
    """The file there is not the expected one, which one sees by its size."""


# What `refusal_of` explains. UnicodeError: a name of a host that cannot be one.
EXPLAINED = (httpx.HTTPError, httpx.InvalidURL, StartAnew, UnicodeError)


def refusal_of(error: BaseException, from_hub: bool = False) -> NotFetched:
    """What to tell of an error of a transfer, one of `EXPLAINED`.

    Args:
        error: of the last try.
        from_hub: whether the address is one of the Hugging Face hub.
    """
    if isinstance(error, httpx.HTTPStatusError):
        return _of_status(error, from_hub)
    if isinstance(error, StartAnew):
        return NotFetched(f"cannot be fetched: {error}", LATER)
    if isinstance(error, UnicodeError | httpx.InvalidURL | httpx.UnsupportedProtocol):
        return NotFetched(f"is no address that can be asked: {_text(error)}")
    if isinstance(error, httpx.LocalProtocolError):  # its text repeats the header, with the token
        return NotFetched("cannot be asked: the request is malformed; is HF_TOKEN right?")
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return _unreached(f"no host of that name is known here ({cause.strerror})", CORRECT)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _unreached(
                f"its certificate is not trusted ({cause.verify_message})",
                f"{CORRECT}, or set SSL_CERT_FILE to the certificates of your network",
            )
        if isinstance(cause, ssl.SSLError):
            return _unreached(f"no https is spoken there ({cause.reason or cause})", CORRECT)
        if isinstance(cause, ConnectionRefusedError):
            return _unreached("connection refused", f"{CORRECT}, or {LATER}")
    if isinstance(error, httpx.ConnectTimeout):
        return _unreached("nobody answers", f"{CORRECT}, or {LATER}")
    if isinstance(error, httpx.TimeoutException):
        return NotFetched("cannot be fetched: it stopped sending", LATER, reached=False)
    reached = not isinstance(error, httpx.NetworkError | httpx.ProxyError)
    return NotFetched(f"cannot be fetched: {_text(error)}", LATER, reached)


def may_pass(error: BaseException) -> bool:
    """Whether the next try may succeed."""
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        return status >= 500 or status in (408, 429)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return False
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return False
        if isinstance(cause, socket.gaierror):
            return cause.errno == socket.EAI_AGAIN
    return isinstance(error, httpx.TransportError | StartAnew)


def requested_wait(error: BaseException | None) -> float:
    """Seconds that the server asks to wait; 0 if it does not say."""
    if not isinstance(error, httpx.HTTPStatusError):
        return 0.0
    seconds = error.response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isascii() and seconds.isdecimal() else 0.0


def _of_status(error: httpx.HTTPStatusError, from_hub: bool) -> NotFetched:
    status = error.response.status_code
    message = f"cannot be fetched: HTTP {status} {error.response.reason_phrase[:80]}".rstrip()
    if status in (401, 403):
        hint = "for a private or gated repository set HF_TOKEN" if from_hub else "access is denied"
        return NotFetched(f"{message} ({hint})", "ask its owners for access")
    if may_pass(error):
        wait = requested_wait(error)
        return NotFetched(message, f"run again in {wait:,.0f} s" if wait else LATER)
    return NotFetched(message)


def _unreached(why: str, advice: str) -> NotFetched:
    return NotFetched(f"cannot be reached: {why}", advice, reached=False)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _text(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
