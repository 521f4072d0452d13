"""Indexes on disk: how they are built, described, and opened.

An index is a folder with the documents of a facts table, or a shard of them; `index.json` in it
says which, and by which settings. (Events are indexed as a facts table of their own.) The arrays in
it are mapped into memory, so that all processes of a machine share them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.files import replacing, write_json
from kformer.progress import track
from kformer.retrieval.bm25 import Postings, Statistics
from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.settings import IndexKind, Retrieval
from kformer.retrieval.words import splitter
from kformer.tables import count_rows, read_column, read_columns

VERSION = 1


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
            raise KformerError(f"--shard: {text!r} is no shard; give one such as 2/7")
        return cls(int(number), int(of))

    def range(self, total: int) -> tuple[int, int]:
        """Which of ``total`` things belong to it, as [start, end)."""
        return (self.number - 1) * total // self.of, self.number * total // self.of

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


WHOLE = Shard(1, 1)


@dataclass(frozen=True)
class Index:
    """An index on disk, as `index.json` in its folder describes it.

    Attributes:
        folder: where it lies.
        kind: what is in it.
        settings: by which it was built.
        table: where its documents come from.
        documents: how many the whole table has.
        number, shards: which shard of the table it holds, from 1, and of how many.
    """

    folder: Path
    kind: IndexKind
    settings: Mapping[str, Any]
    table: Path
    documents: int
    number: int
    shards: int


def read_index(folder: Path) -> Index:
    """Reads what an index is.

    Raises:
        KformerError: the folder holds no index, or one of another version.
    """
    file = folder / "index.json"
    try:
        content = json.loads(file.read_text("utf-8"))
        version = content.pop("version")
        if version == VERSION:
            return Index(folder, **(content | {"table": Path(content["table"])}))
    except FileNotFoundError:
        raise KformerError(
            f"{folder}: there is no index here (no index.json); build one with `kformer index`"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise KformerError(f"{file}: damaged; delete {folder} and build it anew") from None
    raise KformerError(
        f"{folder}: an index of version {version}, but this program reads version {VERSION}; "
        "build it anew"
    )


def count_words(settings: Retrieval, table: Path, shard: Shard, out: Path) -> dict[str, float]:
    """Counts the words of a shard of a table: what indexes of all its shards have to know.

    Writes JSON with the attributes of `Statistics`.
    """
    start, end = shard.range(count_rows(table, "facts"))
    texts = track(_texts(table, start, end), "counting words", end - start)
    statistics = Statistics.of(texts, splitter(settings.words))
    write_json(out, asdict(statistics))
    return {
        "documents": statistics.documents,
        "words": statistics.words,
        "different_words": len(statistics.documents_with),
    }


def index_words(
    settings: Retrieval, table: Path, out: Path, shard: Shard = WHOLE, counts: Sequence[Path] = ()
) -> dict[str, float]:
    """Builds an index of words.

    Args:
        settings: say how text is taken apart.
        table: the facts.
        out: the folder to make.
        shard: which part of the table to index.
        counts: what `count_words` wrote for each shard; none where there is but one.

    Raises:
        KformerError: counts that are not those of all shards of the table.
    """
    if shard.of != max(len(counts), 1):
        raise KformerError(
            f"--counts: {len(counts)} given, but there are {shard.of} shards; give those of all"
        )
    whole = _counted(counts, table) if counts else None

    def fill(folder: Path, layout: ByRelation, texts: Iterator[str]) -> None:
        order = layout.ids - layout.first_id
        try:
            postings = Postings.build(texts, splitter(settings.words), order, whole)
        except KeyError as error:
            raise KformerError(
                f"--counts: the word {error} is not in them; count the words of each shard of "
                f"{table} by the same settings"
            ) from None
        postings.save(folder, len(order))

    return _build("words", settings, table, out, shard, fill)


def _counted(counts: Sequence[Path], table: Path) -> Statistics:
    parts = []
    for path in counts:
        try:
            parts.append(Statistics(**json.loads(path.read_text("utf-8"))))
        except (ValueError, TypeError):
            raise KformerError(
                f"{path}: these are no counts of words; give what `kformer count-words` wrote"
            ) from None
    whole = Statistics.total(parts)
    if whole.documents != (total := count_rows(table, "facts")):
        raise KformerError(
            f"--counts: those of {whole.documents:,} documents, but {table} has {total:,}; "
            "give those of each of its shards"
        )
    return whole


def index_embeddings(
    settings: Retrieval, table: Path, out: Path, shard: Shard = WHOLE
) -> dict[str, float]:
    """Builds an index of embeddings.

    Args:
        settings: say which sentence encoder, and whether FAISS is to find the nearest.
        table, out, shard: as for `index_words`.
    """
    from kformer.retrieval.dense import SentenceEncoder, write_embeddings

    encoder = SentenceEncoder(settings.encoder)

    def fill(folder: Path, layout: ByRelation, texts: Iterator[str]) -> None:
        write_embeddings(texts, encoder, layout, folder, settings.nearest)

    return _build("embeddings", settings, table, out, shard, fill)


def _build(
    kind: IndexKind,
    settings: Retrieval,
    table: Path,
    out: Path,
    shard: Shard,
    fill: Callable[[Path, ByRelation, Iterator[str]], None],
) -> dict[str, float]:
    total = count_rows(table, "facts")
    start, end = shard.range(total)
    layout = ByRelation.of(read_column(table, "relation", start, end), start)
    with replacing(out) as folder:
        folder.mkdir()
        layout.save(folder)
        fill(folder, layout, track(_texts(table, start, end), f"indexing {kind}", end - start))
        content = {
            "version": VERSION,
            "kind": kind,
            "settings": settings.index_settings(kind),
            "table": str(table),
            "documents": total,
            "number": shard.number,
            "shards": shard.of,
        }
        write_json(folder / "index.json", content)
        size = sum(file.stat().st_size for file in folder.iterdir())
    return {"documents": end - start, "megabytes": size / 1e6}


def _texts(table: Path, start: int, end: int) -> Iterator[str]:
    for batch in read_columns(table, "facts", ["text"], start, end):
        yield from batch["text"].to_pylist()
