"""Progress of a stage: a bar in a terminal, a line every few seconds in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import track as show_bar

SECONDS_BETWEEN_LINES = 10.0
T = TypeVar("T")


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Passes items on and shows on stderr how many of ``total`` are done."""
    if sys.stderr.isatty():
        yield from show_bar(items, what, total=total)
        return
    ticker = Ticker(what)
    for done, item in enumerate(items):
        ticker.report(done, total)
        yield item


class Ticker:
    """A line on stderr every few seconds, for work whose end may be unknown."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last_line = time.monotonic()

    def report(self, done: int, total: int | None = None) -> None:
        """Prints how many are done, if the last line is old enough."""
        if time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            of_all = f" of {total:,}" if total is not None else ""
            print(f"{self._what}: {done:,}{of_all}", file=sys.stderr)
