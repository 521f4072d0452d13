"""Putting together what a `retrieval` section asks for, from indexes on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from rich import box
from rich.table import Table
from rich.text import Text

from kformer.errors import KformerError
from kformer.retrieval.bm25 import Bm25, Postings
from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.index import Index, read_index
from kformer.retrieval.matching import Boosted, ByEvent, FactsOfEvents
from kformer.retrieval.query import Query, Searcher, Shards
from kformer.retrieval.settings import IndexKind, Method, Retrieval
from kformer.retrieval.words import splitter
from kformer.tables import count_rows, read_column, take_rows


def open_searcher(
    settings: Retrieval, facts: Path, indexes: Sequence[Path], threads: int = 1
) -> Searcher:
    """What finds facts as the settings say.

    Args:
        settings: of the retrieval.
        facts: the facts table.
        indexes: folders of the indexes that the method searches, all shards of each. With
            ``settings.events`` they are indexes of the events.
        threads: how many search at once.

    Raises:
        KformerError: indexes that are missing, damaged, of other settings, or of other facts.
    """
    events = None
    if settings.events:
        events = FactsOfEvents(read_column(facts, "origin"), read_column(facts, "relation"))
    searcher = (
        _reference(settings, facts, events)
        if settings.method == "rank_bm25"
        else _indexed(settings, facts, events, [read_index(folder) for folder in indexes], threads)
    )
    if settings.events and events:
        searcher = ByEvent(searcher, settings.events, events)
    if settings.match and settings.match.mode == "boost":
        searcher = Boosted(searcher, settings.match.boost)
    return searcher


def _reference(settings: Retrieval, facts: Path, events: FactsOfEvents | None) -> Searcher:
    from kformer.retrieval.reference import RankBm25

    split = splitter(settings.words)
    if events:
        return RankBm25(events.texts, pa.chunked_array([pa.nulls(len(events.texts))]), split)
    return RankBm25(read_column(facts, "text").to_pylist(), read_column(facts, "relation"), split)


def _indexed(
    settings: Retrieval,
    facts: Path,
    events: FactsOfEvents | None,
    indexes: Sequence[Index],
    threads: int,
) -> Searcher:
    documents = len(events.texts) if events else count_rows(facts, "facts")
    what = "events" if events else "facts"
    shards = {kind: _shards(kind, settings, indexes) for kind in settings.index_kinds}
    for index in (index for of_kind in shards.values() for index in of_kind):
        if index.documents != documents:
            raise KformerError(
                f"{index.folder}: an index of {index.documents:,} documents, but {facts} has "
                f"{documents:,} {what}; give the index of these, or build it anew"
            )
    words = [_open_words(index, settings, threads) for index in shards.get("words", [])]
    if settings.method == "bm25":
        return Shards(words)

    import torch

    from kformer.retrieval.dense import Dense, SentenceEncoder

    torch.set_num_threads(threads)
    encoder = SentenceEncoder(settings.encoder)
    dense = [
        Dense(index.folder, encoder, ByRelation.open(index.folder), settings.nearest)
        for index in shards["embeddings"]
    ]
    if settings.method == "dense":
        return Shards(dense)

    from kformer.retrieval.hybrid import Hybrid

    return Hybrid(Shards(words), dense, settings.fusion, settings.candidates)


def _open_words(index: Index, settings: Retrieval, threads: int) -> Bm25:
    try:
        postings, layout = Postings.open(index.folder), ByRelation.open(index.folder)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise KformerError(
            f"{index.folder}: damaged ({error}); delete the folder and build it anew"
        ) from None
    return Bm25(postings, layout, splitter(settings.words), threads)


def _shards(kind: IndexKind, settings: Retrieval, indexes: Sequence[Index]) -> list[Index]:
    """The indexes of a kind, checked to be all shards of one index and built as needed."""
    found = sorted((each for each in indexes if each.kind == kind), key=lambda each: each.number)
    if not found:
        raise KformerError(f"--index: retrieval.method: {settings.method} needs an index of {kind}")
    wanted = settings.index_settings(kind)
    for index in found:
        if index.settings != wanted:
            raise KformerError(
                f"{index.folder}: built with {index.settings}, but the settings say {wanted}; "
                "build it anew"
            )
    of = found[0].shards
    if [(index.number, index.shards) for index in found] != [(i, of) for i in range(1, of + 1)]:
        raise KformerError(
            f"--index: {len(found)} folders with {kind} are given, but {found[0].folder} is one of "
            f"{of} shards; give each of them once"
        )
    return found


class Found(NamedTuple):
    """A fact that was found, as a person wants to see it."""

    score: float
    fact_id: int
    text: str
    relation: str | None
    source: str


def search_for(
    query: str, folders: Sequence[Path], top_k: int, relations: Sequence[str] | None
) -> list[Found]:
    """Asks indexes on disk: with words and embeddings both, by adding up reciprocal ranks.

    Args:
        query: what to look for.
        folders: of the indexes, all shards of each.
        top_k: how many facts.
        relations: the facts' relation must be one of these; None = any.

    Raises:
        KformerError: a folder is no index, or the facts are not where they were.
    """
    indexes = [read_index(folder) for folder in folders]
    if not indexes[0].table.is_file():
        raise KformerError(
            f"{folders[0]}: the facts that it indexes, {indexes[0].table}, are not there; run this "
            "in the folder where it was built"
        )
    settings = _settings_of(indexes, top_k)
    searcher = _indexed(settings, indexes[0].table, None, indexes, threads=1)
    wanted = frozenset(relations) if relations else None
    if wanted and not wanted <= searcher.relations:
        unknown = ", ".join(sorted(wanted - searcher.relations))
        known = ", ".join(sorted(name for name in searcher.relations if name)) or "none"
        raise KformerError(f"--relation: no fact has {unknown}; there are {known}")
    [[hits]] = searcher.search([Query(query, relations=wanted)], top_k)
    rows = take_rows(indexes[0].table, "facts", hits.ids.tolist())
    return [
        Found(float(score), row["fact_id"], row["text"], row["relation"], row["source"])
        for score, row in zip(hits.scores, rows, strict=True)
    ]


def table_of_hits(found: Sequence[Found]) -> Table:
    """What was found as a table for the terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("relation", overflow="fold")
    table.add_column("fact", overflow="fold")
    for fact in found:
        text = Text(" ".join(fact.text.split()))
        table.add_row(f"{fact.score:.3g}", str(fact.fact_id), fact.relation or "", text)
    return table


def _settings_of(indexes: Sequence[Index], top_k: int) -> Retrieval:
    kinds = {index.kind for index in indexes}
    method: Method = "hybrid"
    if len(kinds) == 1:
        method = "bm25" if kinds == {"words"} else "dense"
    settings = {key: value for index in indexes for key, value in index.settings.items()}
    return Retrieval(method=method, top_k=top_k, candidates=max(top_k, 100), **settings)


def newest_index(folder: Path) -> list[Path]:
    """The shards of the index that was built last.

    Raises:
        KformerError: there is none.
    """
    built = sorted(folder.glob("*/*/index.json"), key=lambda file: file.stat().st_mtime)
    if not built:
        raise KformerError(
            f"{folder}: no index there yet; run the workflow, or `kformer index`, and name its "
            "folder with --index"
        )
    return sorted(file.parent for file in built[-1].parent.parent.glob("*/index.json"))
