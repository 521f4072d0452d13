"""Ending a transfer that would go on for ever, a byte at a time."""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

WINDOW = 60.0  # seconds
SLOWEST = 1000  # bytes a second, on average over a window


class Pace:
    """Watches one transfer from a thread of its own, and hangs up where it is too slow.

    The thread that reads may wait inside one header or one length of a chunk for as long as bytes
    trickle in, so it cannot watch itself.

    Attributes:
        was_too_slow: whether it was ended.
    """

    def __init__(self) -> None:
        self.was_too_slow = False
        self._socket: socket.socket | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._has_begun = False
        self._begin_window()

    def __enter__(self) -> "Pace":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """What httpx calls for every step of a request; keeps the connection in use."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    def begin_body(self) -> None:
        """The first header is there: the wait for it does not count against the body."""
        if not self._has_begun:
            self._has_begun = True
            self._begin_window()

    def count(self, received: int) -> None:
        """Counts bytes of the body."""
        self._received += received

    def _watch(self) -> None:
        while not self._over.wait(max(0.0, self._window_ends - time.monotonic())):
            if time.monotonic() < self._window_ends:
                continue  # the body has begun meanwhile
            if self._received < SLOWEST * WINDOW:
                self.was_too_slow = True
                self._hang_up()
            self._begin_window()

    def _begin_window(self) -> None:
        self._received = 0
        self._window_ends = time.monotonic() + WINDOW

    def _hang_up(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                # Not that of an SSLSocket, which is not for use by two threads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
