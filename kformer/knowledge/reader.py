"""The interface of all readers of knowledge, and the facts that they yield."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from kformer.config_section import Section


class Fact(NamedTuple):
    """A row of the facts table but for its id and its source."""

    text: str
    relation: str | None
    """Such as an ATOMIC dimension; None = none."""
    origin: str
    """Where in the source: its event or subject, book and paragraphs, or address."""
    apart: str = ""
    """What tells it apart from facts that read the same; usually nothing does."""


class KnowledgeReader(Section, ABC):
    """The settings of one source of knowledge, and how its files are read."""

    source: str
    """Where the facts come from."""
    is_generated: ClassVar[bool] = False
    """Whether `kformer.demo_world` writes its files, so that there is nothing to fetch."""

    @property
    def label(self) -> str:
        """What its facts are called in the facts table and its metrics."""
        return self.source

    @property
    def archive(self) -> str | None:
        """The source in `kformer.sources.catalogue` that is read; None = files read in place."""
        return self.source

    @abstractmethod
    def read(self, path: Path, counts: Counter[str]) -> Iterator[Fact]:
        """Streams the facts.

        Args:
            path: the file or folder that holds the source.
            counts: the reader adds how much it skipped for which reason, and what else is worth
                counting.

        Raises:
            KformerError: the files cannot be read.
        """
