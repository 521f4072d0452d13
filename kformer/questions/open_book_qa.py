"""OpenBookQA (Mihaylov et al., EMNLP 2018): elementary science, a fact behind each question."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.io.ai2_records import ai2_questions
from kformer.io.tables import Row
from kformer.io.text_files import find_file
from kformer.questions.reader import QuestionReader

_ARCHIVE = "the official OpenBookQA archive"
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


class OpenBookQa(QuestionReader):
    """The official archive and its splits, four choices each; dev is our validation split.

    The gold fact is the one from the book; a question also needs common knowledge, which it does
    not name.
    """

    dataset: Literal["open_book_qa"] = "open_book_qa"

    def read(self, folder: Path) -> Iterator[Row]:
        """Streams rows of the questions table: the train, the dev, then the test file.

        Raises:
            KformerError: a file is missing, or a line is malformed.
        """
        for name, split in _SPLITS.items():
            path = find_file(folder, f"Additional/{name}_complete.jsonl", _ARCHIVE)
            for row in ai2_questions(path, "ABCD", ("fact1",)):
                yield {"split": split, **row}
