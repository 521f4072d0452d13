"""Saying how far a stage is: a bar in a terminal, a line every few seconds in a log."""

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
    last_line = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
            last_line = time.monotonic()
            print(f"{what}: {done:,} of {total:,}", file=sys.stderr)
        yield item
