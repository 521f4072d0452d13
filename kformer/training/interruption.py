"""Signals that ask a training to end: it keeps what it has, and is started again later.

This is imported before anything heavy, so that a signal is heard from the beginning.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

# Of sysexits.h, EX_TEMPFAIL: nothing is wrong, the same command will succeed later. Whoever starts
# jobs, such as Snakemake with `retries`, starts those again that end with anything but 0; this
# number says that nothing has to be corrected first, as 1 (an error) and 2 (usage) do.
STATUS = 75

# What batch systems send before they kill: SIGTERM at `scancel` and preemption, SIGUSR1 where it is
# asked for some time before the time limit (`sbatch --signal`).
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Interrupted(BaseException):
    """A signal ended the work; no handler of errors may take it for one."""

    def __init__(self, name: str, kept: str) -> None:
        super().__init__(f"{name}: ended early, {kept}; the same command goes on from there")


class Interruption:
    """Hears the signals inside its ``with`` block: the work ends at once, or when it is ready.

    Without the block, signals do what they always do.
    """

    def __init__(self) -> None:
        self._heard: str | None = None
        self._is_deferred = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._handlers = {each: signal.signal(each, self._hear) for each in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While the block runs, signals are only noted: it asks `check` where it can end.

        Raises:
            Interrupted: at the end of the block, if it did not end by itself after a signal.
        """
        self._is_deferred = True
        try:
            yield
            self.check("all steps are made")
        finally:
            self._is_deferred = False

    @property
    def is_asked_for(self) -> bool:
        """Whether there was a signal."""
        return self._heard is not None

    def check(self, kept: str) -> None:
        """Raises Interrupted if there was a signal; ``kept`` says what is not lost."""
        if self._heard is not None:
            raise Interrupted(self._heard, kept)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._heard is not None:  # it is ending already, and cleans up
            return
        self._heard = signal.Signals(number).name
        if not self._is_deferred:
            self.check("what was trained before is kept")
