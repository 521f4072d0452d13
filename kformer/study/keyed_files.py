"""Files that experiments share, and the keys that stand for what each of them depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kformer.encoder_lookup import encoder_depth
from kformer.retrieval.settings import Retrieval
from kformer.study.stage_versions import key_of
from kformer.training.settings import TrainSettings


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

    @classmethod
    def of(
        cls, encoder: str, content: str | None, kind: str, key_of_table: str, table: Path
    ) -> "TokenFiles":
        """The tokens of a table of some kind, such as ``facts``."""
        key = f"{kind}-{key_of('featurize', content or encoder, key_of_table)}"
        return cls(key, table, encoder, content)


@dataclass(frozen=True)
class StatesFiles:
    """What the frozen layers of an encoder make of the inputs of a condition.

    Attributes:
        settings: those of a condition that reads the states; those of the others differ in
            nothing that states depend on.
        tables: what the inputs are made of, by the names of the options of `kformer states`.
        content: stands for the content of the encoder; None = a hub's.
    """

    key: str
    settings: TrainSettings
    tables: Mapping[str, Path]
    content: str | None

    @classmethod
    def of(
        cls, settings: TrainSettings, tables: Mapping[str, Path], content: str | None
    ) -> "StatesFiles":
        """The states of a condition that reads these tables of tokens and retrieval."""
        model, training = settings.model, settings.training
        limits: dict[str, Any] = {"max_tokens": model.max_tokens}
        if model.method.fact_input == "text":
            limits |= {"facts": model.facts, "max_fact_tokens": model.max_fact_tokens}
        else:
            tables = {"question_tokens": tables["question_tokens"]}
        key = key_of(
            "states",
            content or model.encoder,
            list(map(str, tables.values())),
            limits,
            _place_of(settings, content),
            training.precision,
            training.max_train_questions,
        )
        return cls(key, settings, tables, content)


def _place_of(settings: TrainSettings, content: str | None) -> Any:
    """The layer that states enter, or what decides it where only a hub knows the encoder's depth:
    a key must not change when the encoder is downloaded."""
    depth = encoder_depth(settings.model.encoder) if content else None
    return settings.place_of_states if depth is None else settings.layer_of_states(depth)
