"""Indexes on disk: how they are built and described.

An index is a folder with the documents of a facts table, or a shard of them; its file
`INDEX_DESCRIPTION` says which, and by which settings. (Events are indexed as a facts table of their
own.) The arrays in it are mapped into memory, so that all processes of a machine share them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kformer.errors import KformerError
from kformer.io.file_writing import replacing, sha256_of, write_json
from kformer.io.output_names import INDEX_DESCRIPTION
from kformer.io.tables import count_rows, provenance, read_column, read_columns
from kformer.io.unspaced_scripts import UnspacedTexts
from kformer.progress import track
from kformer.retrieval.methods import IndexKind
from kformer.retrieval.relation_order import ByRelation
from kformer.retrieval.settings import Retrieval
from kformer.retrieval.words.need_of_ngrams import check_unspaced, refusing_unspaced
from kformer.retrieval.words.postings import Postings, Statistics
from kformer.retrieval.words.tokenizer import tokenizer

INDEX_VERSION = 2


@dataclass(frozen=True)
class Shard:
    """The ``number``-th (from 1) of ``of`` about equal parts of something."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Reads ``2/7`` or, as Snakemake writes it, ``2-of-7``.

        Raises:
            KformerError: it is neither.
        """
        number, _, of = text.replace("-of-", "/").partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise KformerError(f"--shard: {text!r} is not a shard; give one such as 2/7")
        return cls(int(number), int(of))

    def range(self, total: int) -> tuple[int, int]:
        """Which of ``total`` rows belong to it, as [start, end)."""
        return (self.number - 1) * total // self.of, self.number * total // self.of

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


WHOLE = Shard(1, 1)


@dataclass(frozen=True)
class Index:
    """An index on disk, as the file `INDEX_DESCRIPTION` in its folder describes it.

    Attributes:
        folder: of its files.
        kind: what it holds.
        settings: those that it was built with.
        table: the table of its documents, as named when it was built.
        facts_sha256: of that table or, if it holds events, of the facts that they are of.
        of_events: whether its documents are events.
        number, shards: which shard of the table it holds, from 1, and of how many.
        sha256: of each of its other files.
    """

    folder: Path
    kind: IndexKind
    settings: Mapping[str, Any]
    table: Path
    facts_sha256: str
    of_events: bool
    number: int
    shards: int
    sha256: Mapping[str, str]

    def check_files(self) -> None:
        """Raises KformerError when a file is missing or was changed."""
        for name, sha256 in self.sha256.items():
            file = self.folder / name
            if not file.is_file() or sha256_of(file) != sha256:
                what = "damaged" if file.is_file() else "missing"
                raise KformerError(f"{file}: {what}; delete {self.folder} and build it anew")


@dataclass(frozen=True)
class WordCounts:
    """What `count_words` wrote about a shard of a table; the attributes are those of `Index`."""

    settings: Mapping[str, Any]
    facts_sha256: str
    of_events: bool
    number: int
    shards: int
    statistics: Statistics
    unspaced: UnspacedTexts


def facts_of_table(table: Path) -> tuple[str, bool]:
    """The SHA-256 of a facts table or, for a table of events, of the facts whose events they are.

    Returns:
        the checksum, and whether it is a table of events.
    """
    events_of = provenance(table, "facts").get("events_of")
    return (events_of, True) if events_of else (sha256_of(table), False)


def read_index(folder: Path) -> Index:
    """Reads the description of an index.

    Raises:
        KformerError: the folder holds no index, or one of another version.
    """
    file = folder / INDEX_DESCRIPTION
    try:
        content = json.loads(file.read_text("utf-8"))
        version = content.pop("version")
        if version == INDEX_VERSION:
            return TypeAdapter(Index).validate_python({**content, "folder": folder})
    except (FileNotFoundError, NotADirectoryError):
        raise KformerError(
            f"{folder}: there is no index here (no {INDEX_DESCRIPTION}); build one with "
            "`kformer index`"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise KformerError(f"{file}: damaged; delete {folder} and build it anew") from None
    raise KformerError(
        f"{folder}: an index of version {version}, but this program reads version {INDEX_VERSION}; "
        "build it anew"
    )


def count_words(settings: Retrieval, table: Path, shard: Shard, out: Path) -> dict[str, float]:
    """Writes `WordCounts` of a shard of a table as JSON; all shards need them to score alike."""
    start, end = shard.range(count_rows(table, "facts"))
    texts = track(_texts(table, start, end), "counting words", end - start)
    unspaced = UnspacedTexts()
    statistics = Statistics.of(unspaced.counting(texts), tokenizer(settings.words))
    facts_sha256, of_events = facts_of_table(table)
    counts = WordCounts(
        settings.index_settings("words"),
        facts_sha256,
        of_events,
        shard.number,
        shard.of,
        statistics,
        unspaced,
    )
    write_json(out, asdict(counts))
    return {
        "documents": statistics.documents,
        "words": statistics.words,
        "different_words": len(statistics.documents_with),
    }


def index_words(
    settings: Retrieval,
    table: Path,
    out: Path,
    shard: Shard = WHOLE,
    counts: Sequence[Path] = (),
    table_name: Path | None = None,
) -> dict[str, float]:
    """Builds an index of words.

    Args:
        settings: say how texts are tokenised.
        table: the facts.
        out: the folder to make.
        shard: which part of the table to index.
        counts: what `count_words` wrote for each shard; none if there is only one.
        table_name: what the index calls the table, for a table that will be renamed; None = its
            path.

    Raises:
        KformerError: counts that are not those of all shards of the table, or facts in a script
            without spaces and no ``words.ngrams``.
    """
    whole = _whole(settings, table, shard, counts) if shard.of > 1 or counts else None

    def fill(folder: Path, layout: ByRelation, texts: Iterator[str]) -> None:
        order = layout.ids - layout.first_id
        if whole is None:  # or `_whole` has checked all shards together
            texts = refusing_unspaced(texts, "facts", settings.words)
        Postings.build(texts, tokenizer(settings.words), order, whole).save(folder, len(order))

    return _build("words", settings, table, out, shard, fill, table_name)


def _whole(settings: Retrieval, table: Path, shard: Shard, counts: Sequence[Path]) -> Statistics:
    """The statistics of a whole table, from the counts of its shards."""
    facts_sha256, of_events = facts_of_table(table)
    wanted = (settings.index_settings("words"), facts_sha256, of_events, shard.of)
    parts: dict[int, WordCounts] = {}
    for path in counts:
        try:
            part = TypeAdapter(WordCounts).validate_json(path.read_text("utf-8"))
        except ValueError:
            raise KformerError(
                f"{path}: not counts of words; give what `kformer count-words` wrote"
            ) from None
        if (part.settings, part.facts_sha256, part.of_events, part.shards) != wanted:
            raise KformerError(
                f"{path}: counts of other facts, other shards or other settings; count the "
                f"words of each of the {shard.of} shards of {table} with the same settings"
            )
        parts[part.number] = part
    if len(parts) < shard.of or len(parts) < len(counts):
        raise KformerError(
            f"--counts: {len(counts)} files are given, for {len(parts)} of {shard.of} shards; give "
            "one for each shard"
        )
    unspaced = UnspacedTexts.total(each.unspaced for each in parts.values())
    check_unspaced(unspaced, "facts", settings.words)
    return Statistics.total(part.statistics for part in parts.values())


def index_embeddings(
    settings: Retrieval,
    table: Path,
    out: Path,
    shard: Shard = WHOLE,
    table_name: Path | None = None,
) -> dict[str, float]:
    """Builds an index of embeddings.

    Args:
        settings: say which sentence encoder, and whether FAISS will find the nearest.
        table, out, shard, table_name: as for `index_words`.
    """
    from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder
    from kformer.retrieval.embeddings.stored_embeddings import write_embeddings

    encoder = SentenceEncoder(settings.encoder)

    def fill(folder: Path, layout: ByRelation, texts: Iterator[str]) -> None:
        write_embeddings(texts, encoder, layout, folder, settings.nearest)

    return _build("embeddings", settings, table, out, shard, fill, table_name)


BUILDERS: Mapping[IndexKind, Callable[..., dict[str, float]]] = {
    "words": index_words,
    "embeddings": index_embeddings,
}
"""What builds an index of each kind; all take settings, table, out and ``table_name``."""


def _build(
    kind: IndexKind,
    settings: Retrieval,
    table: Path,
    out: Path,
    shard: Shard,
    fill: Callable[[Path, ByRelation, Iterator[str]], None],
    table_name: Path | None,
) -> dict[str, float]:
    total = count_rows(table, "facts")
    start, end = shard.range(total)
    layout = ByRelation.of(read_column(table, "relation", start, end), start)
    if out.is_file():
        raise KformerError(f"{out}: is a file; name a folder to be made")
    facts_sha256, of_events = facts_of_table(table)
    with replacing(out) as folder:
        folder.mkdir()
        layout.save(folder)
        fill(folder, layout, track(_texts(table, start, end), f"indexing {kind}", end - start))
        content = {
            "version": INDEX_VERSION,
            "kind": kind,
            "settings": settings.index_settings(kind),
            "table": str(table_name or table),
            "facts_sha256": facts_sha256,
            "of_events": of_events,
            "number": shard.number,
            "shards": shard.of,
            "sha256": {file.name: sha256_of(file) for file in sorted(folder.iterdir())},
        }
        write_json(folder / INDEX_DESCRIPTION, content)
        size = sum(file.stat().st_size for file in folder.iterdir())
    return {"documents": end - start, "megabytes": size / 1e6}


def _texts(table: Path, start: int, end: int) -> Iterator[str]:
    for batch in read_columns(table, "facts", ["text"], start, end):
        yield from batch["text"].to_pylist()
