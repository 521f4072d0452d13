"""Problems of files as a few messages: the same one in many lines is said once."""

import re
from collections.abc import Iterator

MOST_KINDS = 20  # of problems that are named
_MOST_LINES = 5  # that are named of each kind
_REMEMBERED = 1_000  # kinds, so that memory is bounded

_PLACE = re.compile(r"(?P<file>.*?):(?P<line>\d+): (?P<problem>.*)")
# What differs between messages about the same problem: values, numbers, letters of choices, and
# lists of what there is instead.
_VALUES = re.compile(
    r"\bthere are:? .*|\(not .*?\)(?=;|$)|'[^']*(?:'|$)|\"[^\"]*(?:\"|$)|\d+"
    r"|\b[A-Z]\b(?:, [A-Z]\b)*"
)


class Problems:
    """Problems by their kind: messages about the same file that differ in values only."""

    def __init__(self) -> None:
        self.count = 0
        self._first: dict[tuple[str, str], str] = {}  # message of each kind
        self._lines: dict[tuple[str, str], list[int]] = {}  # the first few and the last
        self._counts: dict[tuple[str, str], int] = {}
        self._untold = 0

    def add(self, message: str) -> None:
        self.count += 1
        found = _PLACE.fullmatch(message)
        kind = (found["file"], _VALUES.sub("…", found["problem"])) if found else (message, "")
        if kind not in self._first and len(self._first) == _REMEMBERED:
            self._untold += 1
            return
        self._first.setdefault(kind, message)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        lines = self._lines.setdefault(kind, [])
        line = int(found["line"]) if found else 0
        if len(lines) > _MOST_LINES:
            lines[-1] = line
        else:
            lines.append(line)

    def messages(self) -> Iterator[str]:
        """One message of each of the first kinds, and how many problems there are beside them."""
        for kind in list(self._first)[:MOST_KINDS]:
            yield self._first[kind] + self._times(kind)
        rest = list(self._first)[MOST_KINDS:]
        if more := self._untold + sum(self._counts[kind] for kind in rest):
            yield f"and {more:,} more problems of other kinds; correct these first"

    def _times(self, kind: tuple[str, str]) -> str:
        count, lines = self._counts[kind], self._lines[kind]
        if count == 1:
            return ""
        named = ", ".join(f"{line:,}" for line in lines[:_MOST_LINES])
        last = f", … {lines[-1]:,}" if count > _MOST_LINES else ""
        return f" ({count:,} times: lines {named}{last})"
