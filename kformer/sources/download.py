"""Downloading one file: over http(s) or from the Hugging Face hub, resumed and tried again."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import DownloadColumn, Progress
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
)

from kformer.errors import KformerError

TRIES = 5
RETRY_WAIT = wait_exponential(multiplier=1, max=30)  # seconds
LONGEST_WAIT = 120.0  # seconds; if a server asks for a longer wait, the download fails
TIMEOUT = httpx.Timeout(60.0, connect=15.0)  # seconds without a byte, and without an answer
SHOWN_FROM = 5_000_000  # bytes; a smaller download needs no progress bar

_log = logging.getLogger(__name__)


class NotFetched(Exception):
    """Why an address gave no file; the message follows the address."""

    def __init__(self, message: str, reached: bool) -> None:
        super().__init__(message)
        self.reached = reached
        """Whether a server answered at all."""


@dataclass(frozen=True)
class Download:
    """The transfer of one file from an address to ``part``, where an interrupted one is resumed."""

    title: str
    """What it is, for progress and messages."""
    address: str
    """As the config gives it, without a password or a token."""
    url: str
    """Where it leads."""
    part: Path
    checked: bool
    """Whether its checksum is known, so that a mixture of two versions would be noticed."""
    size: int | None
    """In bytes, if known."""

    def run(self) -> None:
        """Transfers the file; on a return ``part`` is complete.

        Raises:
            NotFetched: it cannot be had from this address.
            KformerError: the proxy that the environment names cannot be used.
        """
        retrying = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=_wait,
            retry=retry_if_exception(_is_worth_retrying),
            before_sleep=self._log_retry,
            reraise=True,
        )
        try:
            with _client() as client:
                retrying(self._transfer, client, self._headers())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reached = not isinstance(error, httpx.TransportError)
            raise NotFetched(f"cannot be fetched: {self._reason(error)}", reached) from error

    def forget(self) -> None:
        """Removes what was transferred."""
        self.part.unlink(missing_ok=True)
        self._version_file.unlink(missing_ok=True)

    def move_to(self, path: Path) -> None:
        """Moves the complete file to ``path``."""
        self.part.replace(path)
        self._version_file.unlink(missing_ok=True)

    def _headers(self) -> Mapping[str, str]:
        if not self._from_hub:
            return {}
        from huggingface_hub import constants, get_token

        if constants.HF_HUB_OFFLINE:
            raise NotFetched("cannot be fetched: HF_HUB_OFFLINE is set", reached=False)
        # Not build_hf_headers: it may ask the hub for more than the file, for its statistics.
        token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
        # httpx takes the token out where a redirect leads to another host.
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _transfer(self, client: httpx.Client, headers: Mapping[str, str]) -> None:
        """One try, from where ``part`` ends."""
        had = self.part.stat().st_size if self.part.exists() else 0
        request = {**headers, **self._range_headers(had)}
        with client.stream("GET", self.url, headers=request) as response:
            content_range = response.headers.get("Content-Range", "")
            if response.status_code == 416:
                if had and content_range == f"bytes */{had}":
                    return
                self.part.unlink(missing_ok=True)
            response.raise_for_status()
            if response.status_code == 206:
                if not content_range.startswith(f"bytes {had}-"):
                    self.part.unlink(missing_ok=True)
                    raise httpx.RemoteProtocolError(f"asked from byte {had}, got {content_range!r}")
            else:  # the whole: nothing was asked for, or no resuming there, or it has changed
                self._refuse_web_page(response)
                had = 0
                self.part.write_bytes(b"")
                self._version_file.write_text(f"{self.address}\n{_version(response)}", "utf-8")
            self._append(response, had)

    def _range_headers(self, had: int) -> dict[str, str]:
        """Asks for the rest of the same version of the same file."""
        if not had or not self._version_file.exists():
            return {}
        address, _, version = self._version_file.read_text("utf-8").partition("\n")
        if address != self.address or not (version or self.checked):
            return {}
        return {"Range": f"bytes={had}-"} | ({"If-Range": version} if version else {})

    def _refuse_web_page(self, response: httpx.Response) -> None:
        """A login page must not become the data that is trusted on first use."""
        if not self.checked and response.headers.get("Content-Type", "").startswith("text/html"):
            raise NotFetched("answers with a web page instead of the file", reached=True)

    @property
    def _from_hub(self) -> bool:
        return self.address.startswith("hf:")

    @property
    def _version_file(self) -> Path:
        return self.part.with_suffix(".version")

    def _append(self, response: httpx.Response, had: int) -> None:
        length = response.headers.get("Content-Length", "")
        total = had + int(length) if length.isdigit() else self.size
        with (
            self.part.open("ab") as file,
            Progress(
                *Progress.get_default_columns(),
                DownloadColumn(),
                console=Console(stderr=True),
                disable=total is not None and total < SHOWN_FROM,
            ) as progress,
        ):
            task = progress.add_task(self.title, total=total, completed=had)
            for chunk in response.iter_raw():
                file.write(chunk)
                progress.advance(task, len(chunk))

    def _log_retry(self, state: RetryCallState) -> None:
        assert state.outcome
        _log.warning(
            "source %s: %s: %s; trying again in %.0f s (try %d of %d failed)",
            *(self.title, self.address, self._reason(state.outcome.exception())),
            *(state.upcoming_sleep, state.attempt_number, TRIES),
        )

    def _reason(self, error: BaseException | None) -> str:
        if not isinstance(error, httpx.HTTPStatusError):
            return " ".join(f"{type(error).__name__}: {error}".split())
        status = error.response.status_code
        reason = f"HTTP {status} {error.response.reason_phrase}".rstrip()
        if status in (401, 403) and self._from_hub:
            reason += " (for a private or gated repository set HF_TOKEN)"
        return reason


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


def _is_worth_retrying(error: BaseException) -> bool:
    """Whether the next try may succeed."""
    if isinstance(error, httpx.HTTPStatusError):
        # 416: the part file did not fit and is gone now.
        status = error.response.status_code
        return (status >= 500 or status in (408, 416, 429)) and _requested_wait(
            error
        ) <= LONGEST_WAIT
    return isinstance(error, httpx.TransportError)


def _wait(state: RetryCallState) -> float:
    """Seconds until the next try: our own, or the server's if it asks for more."""
    assert state.outcome
    return max(RETRY_WAIT(state), _requested_wait(state.outcome.exception()))


def _requested_wait(error: BaseException | None) -> float:
    """Seconds that the server asks to wait; 0 if it does not say."""
    if not isinstance(error, httpx.HTTPStatusError):
        return 0.0
    seconds = error.response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else 0.0


def _version(response: httpx.Response) -> str:
    """What If-Range may name: a strong ETag, else the date."""
    etag: str = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return str(response.headers.get("Last-Modified", ""))
