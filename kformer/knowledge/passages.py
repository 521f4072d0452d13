"""Splitting running text into passages of a given length that end where sentences end."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import add
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt, model_validator

from kformer.io.normal_form import normal_form
from kformer.io.text_files import read_pieces
from kformer.knowledge.reader import KnowledgeReader

_ODD_SPACES = "\t\v\f\r\x1c\x1d\x1e\x1f"  # those of ASCII that do not end a line
_AS_SPACES = dict.fromkeys(map(ord, _ODD_SPACES), " ")
_BLANK_LINE = re.compile(r"\n\s*\n")
_HEADING_WORDS, _HEADING_LENGTH = 12, 120  # at most; the length in characters
_NO_HEADING = re.compile(r"""[.!?…:;,]["'”’)\]]*$""")
_BATCH = 2**16  # characters that are split together
_LONGEST_PARAGRAPH = 2**20  # characters; a longer one is read in parts, so that memory is bounded


class Passage(NamedTuple):
    """A piece of text, and the first and last paragraph (1-based) that it was taken from."""

    text: str
    first: int
    last: int


class Passages(KnowledgeReader):
    """A reader that splits text into passages."""

    words: PositiveInt = 150
    """A passage has at most so many words (a heading in front of it is not counted); the default
    is about the 256 tokens that a fact may have in the released MedQA run."""
    overlap: NonNegativeInt = 30
    """The last sentences of a passage, up to so many words, are the first of the next one."""

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Self:
        if self.overlap >= self.words:
            raise ValueError(f"overlap: {self.overlap} must be less than words: {self.words}")
        return self

    def split(self, paragraphs: Iterable[str]) -> Iterator[Passage]:
        """Joins paragraphs and splits them where sentences end.

        A paragraph that looks like a heading and stands before one that does not starts a new
        passage, and is put in front of each passage until the next heading. Only a sentence that
        is longer than a whole passage is split within.

        Args:
            paragraphs: texts that are not blank, with single spaces between words.
        """
        batch = _Batch()
        candidate: str | None = None  # a paragraph that may be a heading
        number = 0
        for number, paragraph in enumerate(paragraphs, start=1):
            is_heading = len(paragraph) <= _HEADING_LENGTH and _looks_like_heading(paragraph)
            if candidate is not None:
                if is_heading:  # rather a list of short lines
                    batch.add(number - 1, candidate)
                else:
                    batch.start_section(candidate)
            candidate = paragraph if is_heading else None
            if not is_heading:
                batch.add(number, paragraph)
            if batch.characters > _BATCH:
                passages, batch = self._split_batch(batch, is_last=False)
                yield from passages
        if candidate is not None:
            batch.add(number, candidate)
        yield from self._split_batch(batch, is_last=True)[0]

    def _split_batch(self, batch: "_Batch", is_last: bool) -> tuple[list[Passage], "_Batch"]:
        """The passages of a batch, and the rest, which needs the text that follows."""
        rest = _Batch()
        if not batch.paragraphs:
            return [], rest
        text = _Text([paragraph for _, paragraph in batch.paragraphs])
        bounds = [text.paragraphs[first] for _, first in batch.sections] + [text.words]
        spans: list[tuple[int, int]] = []
        headings: list[str] = []
        start, done = 0, batch.emitted
        for (heading, _), begin, end in zip(batch.sections, bounds, bounds[1:], strict=False):
            start, done = max(start, begin), max(done, begin)
            is_open = end == text.words and not is_last
            more, start, done = self._spans(text.sentence_ends, start, done, end, is_open)
            spans += more
            headings += [heading] * len(more)
        if done < text.words:
            paragraph_index = text.paragraph_at(start)
            rest.sections = [(batch.sections[-1][0], 0)]
            rest.emitted = done - start
            rest.add(batch.paragraphs[paragraph_index][0], text.rest_of_paragraph(start))
            for paragraph in batch.paragraphs[paragraph_index + 1 :]:
                rest.add(*paragraph)
        texts, firsts, lasts = text.cut(spans)
        texts = map(add, headings, texts)
        numbers = np.array([number for number, _ in batch.paragraphs])
        passages = map(Passage, texts, numbers[firsts].tolist(), numbers[lasts].tolist())
        return list(passages), rest

    def _spans(
        self, ends: Sequence[int], start: int, done: int, end: int, is_open: bool
    ) -> tuple[list[tuple[int, int]], int, int]:
        """The words of each passage of a section, and where the next passage would begin.

        Args:
            ends: the indexes of words before which a sentence ends, ascending.
            start: the first word.
            done: the first word that is in no passage yet.
            end: the word after the last one.
            is_open: whether the section has more words after ``end``.

        Returns:
            the first word of each passage and the one after its last; then ``start`` and ``done``
            as they are now.
        """
        spans = []
        words, overlap = self.words, self.overlap
        while done < end:
            if start + words < end:
                before = bisect_right(ends, start + words)
                stop = ends[before - 1] if before else 0
                if stop <= start:  # a sentence that is longer than a passage
                    stop = start + words
            elif is_open:
                break
            else:
                stop = end
            spans.append((start, stop))
            start = done = stop
            following = bisect_right(ends, done)
            if following < len(ends) and ends[following] - done <= words:
                # Back by the overlap, as far as the next sentence still fits.
                earliest = max(done - overlap, ends[following] - words)
                start = min(ends[bisect_left(ends, earliest, 0, following)], done)
        return spans, start, done


def paragraphs_of(path: Path) -> Iterator[str]:
    """Streams the paragraphs of a text file, which blank lines separate, each on one line.

    They are in normal form: words that are broken at a line's end are joined.

    Raises:
        KformerError: as `read_pieces` does.
    """
    rest = ""
    for piece in read_pieces(path):
        if any(space in piece for space in _ODD_SPACES):
            piece = piece.translate(_AS_SPACES)
        *paragraphs, rest = _BLANK_LINE.split(rest + piece)
        if len(rest) > _LONGEST_PARAGRAPH:
            end = max(map(rest.rfind, " \n")) + 1 or len(rest)
            paragraphs.append(rest[:end])
            rest = rest[end:]
        yield from filter(None, map(_in_one_line, paragraphs))
    if rest := _in_one_line(rest):
        yield rest


@dataclass
class _Batch:
    """Paragraphs that are split together, with the sections that they belong to."""

    paragraphs: list[tuple[int, str]] = field(default_factory=list)  # number, text
    # heading, first paragraph; text before the first heading has an empty one
    sections: list[tuple[str, int]] = field(default_factory=lambda: [("", 0)])
    characters: int = 0
    emitted: int = 0  # so many words at the start are in a passage already

    def start_section(self, heading: str) -> None:
        self.sections.append((f"{heading}: ", len(self.paragraphs)))

    def add(self, number: int, text: str) -> None:
        self.paragraphs.append((number, text))
        self.characters += len(text)


class _Text:
    """Paragraphs joined by spaces, and where words, sentences and paragraphs begin and end.

    NumPy handles all words at once; a Python loop over sentences would be too slow for corpora of
    gigabytes.
    """

    def __init__(self, paragraphs: Sequence[str]) -> None:
        self._text = " ".join(paragraphs)
        codes = _codes(self._text)
        # The first character of each word, and of one after the last.
        spaces = np.flatnonzero(codes == ord(" "))
        self._starts = np.concatenate([[0], spaces + 1, [len(self._text) + 1]])
        lengths = np.array([len(paragraph) + 1 for paragraph in paragraphs])
        self._paragraph_ends = np.cumsum(lengths) - 1
        first_characters = np.concatenate([[0], self._paragraph_ends + 1])
        self.words = len(spaces) + 1
        self.paragraphs: list[int] = np.searchsorted(self._starts, first_characters).tolist()
        """The first word of each paragraph, and the number of words."""
        self.sentence_ends: list[int] = self._find_sentence_ends(codes).tolist()

    def _find_sentence_ends(self, codes: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
        last = codes[self._starts[1:-1] - 2]
        words = np.flatnonzero(_IS_TERMINAL[last] | _IS_CLOSING[last]) + 1  # that come after it
        starts, last = self._starts[words], last[words - 1]
        closes = _IS_CLOSING[last] & _IS_TERMINAL[codes[np.maximum(starts - 3, 0)]]
        is_end = (_IS_TERMINAL[last] | closes) & ~_IS_LOWER[codes[starts]]
        ends = np.zeros(self.words + 1, np.bool_)
        ends[words[is_end]] = ends[self.paragraphs[1:]] = True
        return np.flatnonzero(ends)

    def cut(
        self, spans: Sequence[tuple[int, int]]
    ) -> tuple[Iterable[str], NDArray[np.int64], NDArray[np.int64]]:
        """The words from a first to before another one, and their first and last paragraphs."""
        firsts, stops = np.array(spans, np.int64).reshape(-1, 2).T
        slices = map(slice, self._starts[firsts].tolist(), (self._starts[stops] - 1).tolist())
        paragraphs = np.array(self.paragraphs)
        first_paragraphs = np.searchsorted(paragraphs, firsts, "right") - 1
        last_paragraphs = np.searchsorted(paragraphs, stops - 1, "right") - 1
        return map(self._text.__getitem__, slices), first_paragraphs, last_paragraphs

    def paragraph_at(self, word: int) -> int:
        return bisect_right(self.paragraphs, word) - 1

    def rest_of_paragraph(self, word: int) -> str:
        """From a word to the end of its paragraph."""
        return self._text[self._starts[word] : self._paragraph_ends[self.paragraph_at(word)]]


def _codes(text: str) -> NDArray[np.unsignedinteger]:
    """The code of each character."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _table(characters: Iterable[str]) -> NDArray[np.bool_]:
    """Of every character whether it is one of these, by its code."""
    table = np.zeros(0x110000, np.bool_)
    table[[ord(character) for character in characters]] = True
    return table


_IS_TERMINAL = _table(".!?…")
_IS_CLOSING = _table("\"'”’)]")
_IS_LOWER = _table("abcdefghijklmnopqrstuvwxyz")  # "e.g. this"


def _looks_like_heading(paragraph: str) -> bool:
    return (
        paragraph.count(" ") < _HEADING_WORDS
        and not paragraph[0].islower()
        and not _NO_HEADING.search(paragraph)
        and any(letter.isalpha() for letter in paragraph)
    )


def _in_one_line(paragraph: str) -> str:
    text = normal_form(paragraph).strip()
    if "\n" in text or "  " in text or not (text.isascii() or text.isprintable()):
        return " ".join(text.split())  # of all spaces only the common one is printable
    return text
