"""Splitting running text into passages of a given length that end where sentences end."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from kformer.knowledge.reader import Reader
from kformer.text_files import decoded, raw_lines

_SENTENCE_END = re.compile(r"""([.!?…]["'”’)\]]*)\s+(?![a-z])""")
_ENDS_SENTENCE = re.compile(r"""[.!?…:;,]["'”’)\]]*$""")
_HEADING_WORDS = 12
_LONGEST_PARAGRAPH = 2**20  # characters; what is longer is read in parts, so memory is bounded


class Passage(NamedTuple):
    """A piece of text, and the first and last paragraph (1-based) that it was taken from."""

    text: str
    first: int
    last: int


class Passages(Reader):
    """A reader that splits text into passages."""

    words: PositiveInt = 100
    """A passage has at most so many words (a heading in front of it is not counted)."""
    overlap: NonNegativeInt = 20
    """The last sentences of a passage, up to so many words, are the first of the next one."""

    @model_validator(mode="after")
    def _moves_on(self) -> Self:
        if self.overlap >= self.words:
            raise ValueError(f"overlap: {self.overlap} must be less than words: {self.words}")
        return self

    def split(self, paragraphs: Iterable[str]) -> Iterator[Passage]:
        """Joins paragraphs and splits them where sentences end.

        A paragraph that looks like a heading and stands before one that does not starts a new
        passage, and is put in front of each passage until the next heading. Only a sentence that
        is longer than a whole passage is split within.
        """
        packer = _Packer(self.words, self.overlap)
        waiting: str | None = None  # what may be a heading
        number = 0
        for number, paragraph in enumerate(paragraphs, start=1):
            is_heading = _looks_like_heading(paragraph)
            if waiting is not None:
                if is_heading:  # a list of short lines, rather
                    yield from packer.add(waiting, number - 1)
                else:
                    yield from packer.start_section(waiting)
            waiting = paragraph if is_heading else None
            if not is_heading:
                yield from packer.add(paragraph, number)
        if waiting is not None:
            yield from packer.add(waiting, number)
        yield from packer.rest()


def paragraphs_of(path: Path) -> Iterator[str]:
    """Streams the paragraphs of a text file, which blank lines separate, each on one line.

    Raises:
        KformerError: as `raw_lines` and `decoded` do.
    """
    lines: list[str] = []
    length = 0
    for number, line in raw_lines(path):
        text = _in_one_line(decoded(line, f"{path}:{number}"))
        if lines and (not text or length > _LONGEST_PARAGRAPH):
            yield " ".join(lines)
            lines, length = [], 0
        if text:
            lines.append(text)
            length += len(text)
    if lines:
        yield " ".join(lines)


class _Packer:
    """Fills passages with sentences."""

    def __init__(self, words: int, overlap: int) -> None:
        self._words, self._overlap = words, overlap
        self._heading = ""
        self._sentences: list[tuple[str, int, int]] = []  # text, words, paragraph
        self._count = 0  # words in them
        self._has_new = False  # more than what overlaps with the passage before

    def start_section(self, heading: str) -> Iterator[Passage]:
        yield from self.rest()
        self._heading = f"{heading}: "

    def add(self, paragraph: str, number: int) -> Iterator[Passage]:
        for sentence in _sentences(paragraph):
            words = sentence.count(" ") + 1
            pieces = [(sentence, words)] if words <= self._words else self._pieces(sentence)
            for piece, length in pieces:
                if self._count + length > self._words:
                    yield from self._full(length)
                self._sentences.append((piece, length, number))
                self._count += length
                self._has_new = True

    def rest(self) -> Iterator[Passage]:
        if self._has_new:
            yield self._passage()
        self._keep_last(0)

    def _full(self, length: int) -> Iterator[Passage]:
        if self._has_new:
            yield self._passage()
        self._keep_last(min(self._overlap, self._words - length))

    def _passage(self) -> Passage:
        text = self._heading + " ".join([text for text, _, _ in self._sentences])
        return Passage(text, self._sentences[0][2], self._sentences[-1][2])

    def _keep_last(self, words: int) -> None:
        start, kept = len(self._sentences), 0
        while start and kept + self._sentences[start - 1][1] <= words:
            start -= 1
            kept += self._sentences[start][1]
        self._sentences = self._sentences[start:]
        self._count, self._has_new = kept, False

    def _pieces(self, sentence: str) -> list[tuple[str, int]]:
        words = sentence.split(" ")
        starts = range(0, len(words), self._words)
        groups = [words[start : start + self._words] for start in starts]
        return [(" ".join(group), len(group)) for group in groups]


def _sentences(paragraph: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(paragraph):
        yield paragraph[start : end.end(1)]
        start = end.end()
    if start < len(paragraph):
        yield paragraph[start:]


def _looks_like_heading(paragraph: str) -> bool:
    return (
        paragraph.count(" ") < _HEADING_WORDS
        and not paragraph[0].islower()
        and not _ENDS_SENTENCE.search(paragraph)
        and any(letter.isalpha() for letter in paragraph)
    )


def _in_one_line(line: str) -> str:
    text = line.strip()
    if "  " in text or "\t" in text:
        return " ".join(text.split())
    return text
