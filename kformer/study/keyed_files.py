"""Files that experiments share, and the keys that stand for what each of them depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kformer.retrieval.settings import Retrieval


@dataclass(frozen=True)
class SourceFiles:
    """The files that a reader reads.

    Attributes:
        key: stands for their content.
        path: the file or folder.
        in_place: whether the user keeps them there; otherwise the workflow makes the folder.
    """

    key: str
    path: Path
    in_place: bool

    @property
    def planned_content(self) -> str:
        """What a stage must find there, as its ``--content``: the user's files can change."""
        return self.key if self.in_place else "-"


@dataclass(frozen=True)
class FactsFiles:
    """A facts table and the sources that it is read from, in their order."""

    key: str
    readers: Sequence[Any]
    sources: Sequence[SourceFiles]


@dataclass(frozen=True)
class IndexFiles:
    """An index of facts or events.

    Attributes:
        settings: those that it reads.
        documents: the table that it indexes.
        encoder: stands for the content of the encoder that it uses; None = none, or a hub's.
    """

    key: str
    settings: Mapping[str, Any]
    documents: Path
    encoder: str | None


@dataclass(frozen=True)
class RetrievalFiles:
    """A retrieval table: its settings, the facts that it retrieves, the indexes it searches."""

    key: str
    settings: Retrieval
    facts: FactsFiles
    indexes: Sequence[IndexFiles]


@dataclass(frozen=True)
class TokenFiles:
    """The tokens of a questions or a facts table.

    Attributes:
        table: the table of texts.
        encoder: the name of the encoder whose tokenizer is used.
        content: stands for the content of the encoder; None = a hub's.
    """

    key: str
    table: Path
    encoder: str
    content: str | None
