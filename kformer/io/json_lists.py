"""Reading the elements of a JSON list, which may be over many lines, one by one."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.io.text_files import MAX_LINE, raw_lines, read_pieces

# Where data sets have their records, beside what is to be said of all: SQuAD, pandas, the hub.
_RECORDS = ("data", "rows", "records", "questions")
# A first line that goes on with the elements of a list in an object.
_OPENS_LIST = re.compile(rb'\{\s*"[^"]*"\s*:\s*\[\s*(?:\Z|[\[{].*,\Z)')
_SPACES = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder().raw_decode


def is_list(path: Path) -> bool:
    """Whether a JSON file is one list, instead of an object on each line.

    Raises:
        KformerError: it is one object over several lines, or one that holds the records in lists;
            or it cannot be read.
    """
    lines = (line.strip() for _, line in raw_lines(path))
    first, second = [*islice(filter(None, lines), 2), b"", b""][:2]
    if first.startswith(b"["):
        return not second or not _is_whole(first)
    if not second and _holds_lists(first):
        raise KformerError(
            f"{path}: holds an object with lists; write one object a line, or all as one list "
            "[{…}, {…}]"
        )
    goes_on = second and (second[:1] not in b"[{" or _OPENS_LIST.match(first))
    if first.startswith(b"{") and goes_on and not _is_whole(first):
        raise KformerError(
            f"{path}: a JSON object over several lines; write each record as an object on a line, "
            "or all as one list [{…}, {…}]"
        )
    return False


def list_elements(path: Path) -> Iterator[str]:
    """Streams the elements of a JSON list, as they are written.

    Raises:
        KformerError: it is not a valid list, or a broken element goes on for `MAX_LINE`.
    """
    text = _Text(path)
    text.skip("[")
    if text.next_character() == "]":
        text.skip("]")
    else:
        yield text.value()
        while text.skip(",]") == ",":
            yield text.value()
    if text.next_character():
        raise text.error("there is more after the end of the list")


class _Text:
    """The text of a file, of which only so much is held as the next value needs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pieces = read_pieces(path)
        self._held = ""
        self._at = 0  # the next character of what is held
        self._line = 1  # in which that begins

    def next_character(self) -> str:
        """The next one that is not a space; none at the end of the file."""
        while True:
            spaces = _SPACES.match(self._held, self._at)
            assert spaces
            self._at = spaces.end()
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._hold_more():
                return ""

    def skip(self, allowed: str) -> str:
        """Goes on behind the next character, which has to be one of these, and returns it."""
        found = self.next_character()
        if not found:
            raise self.error("the list is not closed")
        if found not in allowed:
            raise self.error(f"expected {' or '.join(allowed)}, not {found!r}")
        self._at += 1
        return found

    def value(self) -> str:
        """The next value, as it is written."""
        self.next_character()
        while True:
            problem: KformerError | None = None
            end = len(self._held)
            try:
                end = _decode(self._held, self._at)[1]
            except json.JSONDecodeError as error:
                problem = self.error(error.msg, error.pos)
            except (ValueError, RecursionError) as error:
                problem = self.error(f"{error}")
            if end < len(self._held):
                break
            # What is wrong may only be that the value goes on in the next piece.
            if end - self._at > MAX_LINE or not self._hold_more():
                if problem:
                    raise problem
                break
        value, self._at = self._held[self._at : end], end
        return value

    def error(self, problem: str, position: int | None = None) -> KformerError:
        """What is wrong, at a position in what is held, or at the next character."""
        line = self._line + self._held.count("\n", 0, self._at if position is None else position)
        return KformerError(
            f"{self._path}:{line}: not valid JSON ({problem}); correct it or download it again"
        )

    def _hold_more(self) -> bool:
        """Reads a piece; returns whether there was one."""
        piece = next(self._pieces, None)
        self._line += self._held.count("\n", 0, self._at)
        self._held, self._at = self._held[self._at :] + (piece or ""), 0
        return piece is not None


def _holds_lists(line: bytes) -> bool:
    """Whether a line is an object of nothing but lists: columns, or the records of each split.

    Or of what pandas makes of columns: objects whose keys are the numbers of the rows. Or whether
    it has all records under one key.
    """
    if not line.startswith(b"{"):
        return False
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if any(_is_list_of_objects(content.get(key)) for key in _RECORDS):
        return True
    return bool(content) and all(
        isinstance(value, list)
        or (isinstance(value, dict) and value and all(map(str.isdigit, value)))
        for value in content.values()
    )


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
