"""The interface of all readers of questions."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Literal

from kformer.config_section import Section
from kformer.io.tables import Row


class QuestionReader(Section, ABC):
    """The settings of one set of questions, and how its files are read."""

    dataset: str
    """Which questions to answer."""
    overlap: Literal["keep", "drop"] = "keep"
    """Whether questions of train that are in validation or test too, and those of validation that
    are in test, are left out; they are counted in any case. An extra test set counts as test, but
    what test has is left out of it. Such a question has the same context, text and choices, but
    for case, spaces, punctuation at the end and the order of choices. Those that their own split
    has twice are counted, too, and stay."""
    is_generated: ClassVar[bool] = False
    """Whether `kformer.demo_world` writes its files, so that there is nothing to fetch."""

    @property
    def archive(self) -> str | None:
        """The source in `kformer.sources.catalogue` that is read; None = files read in place."""
        return self.dataset

    @abstractmethod
    def read(self, path: Path) -> Iterator[Row]:
        """Streams rows of the questions table.

        Args:
            path: the file or folder that holds the questions.

        Raises:
            KformerError: they cannot be read.
        """


def hash_fraction(text: str, seed: int) -> float:
    """A number in [0, 1) that depends on a text and a seed alone: the same on any machine.

    Questions are assigned to splits by it; those with the same text get the same split.
    """
    key = f"{seed}\n{' '.join(text.split()).casefold()}"
    return int.from_bytes(sha256(key.encode()).digest()[:8], "big") / 2**64
