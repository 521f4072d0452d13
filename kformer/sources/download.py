"""Downloading one file: over http(s) or from the Hugging Face hub, resumed and tried again."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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
from kformer.sources.answers import Piece, answer, piece_of, refuse_what_could_be_anything
from kformer.sources.disk_space import (
    MAX_DOWNLOAD,
    MAX_DOWNLOAD_VARIABLE,
    naming,
    no_room_for,
    spare_bytes,
)
from kformer.sources.pace import SLOWEST, WINDOW, Pace
from kformer.sources.part_file import PartFile
from kformer.sources.refusals import (
    EXPLAINED,
    LATER,
    NotFetched,
    OtherFile,
    StartAnew,
    may_pass,
    refusal_of,
    requested_wait,
)

TRIES = 5
RETRY_WAIT = wait_exponential(multiplier=1, max=30)  # seconds
LONGEST_WAIT = 120.0  # seconds; if a server asks for a longer wait, the download fails
TIMEOUT = httpx.Timeout(45.0, connect=15.0)  # seconds without a byte, and without an answer
SHOWN_FROM = 5_000_000  # bytes; a smaller download needs no progress bar

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Download:
    """The transfer of one file from an address to a part file, where an interrupted one goes on."""

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
    max_bytes: int = MAX_DOWNLOAD
    """More are not transferred where the size is not known."""

    def run(self) -> None:
        """Transfers the file; on a return ``part`` is complete.

        Raises:
            NotFetched: it cannot be had from this address.
            KformerError: the proxy that the environment names cannot be used, or the disk has no
                room.
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
        except EXPLAINED as error:
            raise refusal_of(error, self._from_hub) from error

    @cached_property
    def file(self) -> PartFile:
        """The part and what is known of it."""
        return PartFile(self.part, self.address)

    @property
    def _from_hub(self) -> bool:
        return self.address.startswith("hf:")

    def _headers(self) -> Mapping[str, str]:
        if not self._from_hub:
            return {}
        from huggingface_hub import constants, get_token

        if constants.HF_HUB_OFFLINE:
            raise NotFetched(
                "cannot be fetched: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE", reached=False
            )
        # Not build_hf_headers: it may ask the hub for more than the file, for its statistics.
        token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
        # httpx takes the token out where a redirect leads to another host.
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _transfer(self, client: httpx.Client, headers: Mapping[str, str]) -> None:
        """One try, from where the part ends; several requests where a server gives pieces."""
        with Pace() as pace:
            try:
                while not self.file.is_complete:
                    self._ask(client, headers, pace)
            except httpx.HTTPError:
                if not pace.was_too_slow:
                    raise
                raise NotFetched(
                    f"sends less than {SLOWEST:,} bytes/s over {WINDOW:g} s",
                    "run again to go on from there" if self._had() else LATER,
                ) from None

    def _ask(self, client: httpx.Client, headers: Mapping[str, str], pace: Pace) -> None:
        """One request, for what is missing."""
        had = self._had()
        asked = {**headers, **(self._range_headers(had) if had else {})}
        request = client.build_request(
            "GET",
            self.url,
            headers=httpx.Headers(asked, encoding="iso-8859-1"),  # as the ETag has come
            extensions={"trace": pace.trace},
        )
        with answer(client, request) as response:
            if not (response.status_code == 416 and had):
                response.raise_for_status()
            try:
                piece = piece_of(response, had)
                self._accept(response, piece)
                pace.begin_body()
                self._append(response, piece, pace)
            except NotFetched as error:
                self.file.forget()  # or each later start would end here
                if not had:
                    raise
                raise StartAnew(str(error)) from error

    def _had(self) -> int:
        """How many bytes are there already, the rest of which would surely be of the same file."""
        version, size = self.file.version, self.file.size
        if version is None or not (version.if_range or self.checked):
            return 0
        return size if version.total is None or size < version.total else 0

    def _range_headers(self, had: int) -> dict[str, str]:
        """Asks for the rest of the same version of the same file."""
        version = self.file.version
        assert version
        unchanged = {"If-Range": version.if_range} if version.if_range else {}
        return {"Range": f"bytes={had}-", **unchanged}

    def _accept(self, response: httpx.Response, piece: Piece) -> None:
        """Checks what is coming against what is there, and makes the part ready for it."""
        if not self.checked:
            refuse_what_could_be_anything(response)
        new, old = piece.version, self.file.version
        if piece.first == 0 or old is None:
            old = new
        elif old.differs(new) or not (self.checked or new.if_range == old.if_range):
            raise NotFetched("has changed since the first try")
        total = new.total if old.total is None else old.total
        if piece.is_partial and total is None:
            raise NotFetched("does not say how long the file is")
        self._refuse_if_too_large(total or 0)
        known = old.model_copy(update={"total": total})
        if piece.first == 0:
            self.file.begin(known)
        else:
            self.file.note(known)

    def _refuse_if_too_large(self, size: int) -> None:
        if self.size is not None and size > self.size:
            raise OtherFile(f"has more than the {self.size:,} bytes that are expected")
        if self.size is None and size > self.max_bytes:
            raise NotFetched(
                f"has more than {self.max_bytes:,} bytes, and nobody published its size",
                f"set {MAX_DOWNLOAD_VARIABLE} to more bytes if it is so large",
            )

    def _append(self, response: httpx.Response, piece: Piece, pace: Pace) -> None:
        version = self.file.version
        assert version
        received, spare = 0, spare_bytes(self.part.parent)
        with (
            naming(self.part),
            self.part.open("ab") as file,
            Progress(
                *Progress.get_default_columns(),
                DownloadColumn(),
                console=Console(stderr=True),
                disable=version.total is not None and version.total < SHOWN_FROM,
            ) as progress,
        ):
            task = progress.add_task(self.title, total=version.total, completed=piece.first)
            for chunk in response.iter_raw():
                received += len(chunk)
                pace.count(len(chunk))
                if max(received, piece.length or 0) > spare:
                    raise no_room_for(f"the download of {self.title}", self.part.parent, spare)
                self._refuse_if_too_large(piece.first + received)
                if piece.length is not None and received > piece.length:
                    raise NotFetched("sends more than it says")
                file.write(chunk)
                progress.advance(task, len(chunk))
        if pace.was_too_slow or received < (piece.length or 0):
            raise httpx.RemoteProtocolError("the transfer was cut off")
        if version.total is None:  # what marks the end has come
            self.file.note(version.model_copy(update={"total": received}))
        elif not self.file.is_complete and not self._had():
            raise NotFetched(
                "gives the file in pieces, and nothing that tells whether all are of the same one"
            )

    def _log_retry(self, state: RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        assert error
        _log.warning(
            "source %s: %s %s; trying again in %.0f s (try %d of %d failed)",
            *(self.title, self.address, refusal_of(error, self._from_hub)),
            *(state.upcoming_sleep, state.attempt_number, TRIES),
        )


def _client() -> httpx.Client:
    """Asks for the bytes as they are stored, through the proxies that the environment names."""
    try:
        return httpx.Client(
            headers={"Accept-Encoding": "identity"},
            timeout=TIMEOUT,
            limits=httpx.Limits(max_keepalive_connections=0),  # `Pace` knows the last one
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        # The text about a malformed address may repeat a part of its password.
        is_malformed = isinstance(error, httpx.InvalidURL)
        reason = "its address is malformed" if is_malformed else error
        raise KformerError(
            f"the proxy that the environment names cannot be used: {reason}; correct HTTPS_PROXY, "
            "HTTP_PROXY or ALL_PROXY"
        ) from error


def _is_worth_retrying(error: BaseException) -> bool:
    return may_pass(error) and requested_wait(error) <= LONGEST_WAIT


def _wait(state: RetryCallState) -> float:
    """Seconds until the next try: our own, or the server's if it asks for more."""
    assert state.outcome
    return max(RETRY_WAIT(state), requested_wait(state.outcome.exception()))
