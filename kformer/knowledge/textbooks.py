"""The 18 medical textbooks in English that come with MedQA (Jin et al., 2021)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.errors import KformerError
from kformer.io.unspaced_scripts import UnspacedTexts
from kformer.io.visible_files import visible_files
from kformer.knowledge.passages import Passages, paragraphs_of
from kformer.knowledge.reader import Fact

_FOLDER = Path("textbooks", "en")


class Textbooks(Passages):
    """Plain text, one paragraph a line, split into passages."""

    source: Literal["textbooks"] = "textbooks"

    @property
    def archive(self) -> str:
        return "med_qa"

    def read(self, folder: Path, counts: Counter[str]) -> Iterator[Fact]:
        """Streams the passages of the books in the order of their names.

        Raises:
            KformerError: there are no books, or one is no text.
        """
        books = visible_files(folder, str(_FOLDER / "*.txt"))
        if not books:
            raise KformerError(
                f"{folder}: no {_FOLDER}/*.txt below it; unpack MedQA's data_clean.zip there, or "
                "name your own books with knowledge: {source: txt, path: FOLDER}"
            )
        for book in books:
            yield from book_facts(self, book, book.stem)


def book_facts(passages: Passages, path: Path, title: str) -> Iterator[Fact]:
    """The passages of one book; their origin is its title and the numbers of their paragraphs.

    Raises:
        KformerError: words have no spaces between them, so passages of so many cannot be made.
    """
    counted = UnspacedTexts()
    for text, first, last in passages.split(counted.counting(paragraphs_of(path))):
        span = str(first) if first == last else f"{first}-{last}"
        yield Fact(text, None, f"{title} {span}")
    if described := counted.described("paragraphs"):
        raise KformerError(
            f"{path}: {described}, so they cannot be split into passages of a number of words; "
            "write each passage on a line of its own, and set unit: line"
        )
