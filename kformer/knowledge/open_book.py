"""The facts of OpenBookQA (Mihaylov et al., EMNLP 2018): its book, and what crowd workers added."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.io.text_files import find_file, read_lines
from kformer.knowledge.reader import Fact, KnowledgeReader

_FILES = ("Main/openbook.txt", "Additional/crowdsourced-facts.txt")


class OpenBook(KnowledgeReader):
    """1,326 facts of elementary science, and 5,167 further ones, a fact a line."""

    source: Literal["open_book"] = "open_book"

    @property
    def archive(self) -> str:
        return "open_book_qa"

    def read(self, folder: Path, counts: Counter[str]) -> Iterator[Fact]:
        """Streams the facts; their origin is file and line.

        Raises:
            KformerError: a file is missing, or is no text.
        """
        for name in _FILES:
            path = find_file(folder, name, "the official OpenBookQA archive")
            for number, line in read_lines(path):
                yield Fact(line.strip().strip('"'), None, f"{path.stem} {number}")
