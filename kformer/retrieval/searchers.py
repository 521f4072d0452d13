"""Putting together what a `retrieval` section asks for, from indexes on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import ValidationError
from rich import box
from rich.table import Table
from rich.text import Text

from kformer.errors import KformerError, listed
from kformer.io.tables import read_column, take_rows
from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.index import Index, facts_behind, read_index
from kformer.retrieval.matching import Boosted, ByEvent, FactsOfEvents
from kformer.retrieval.query import Query, Searcher, Shards
from kformer.retrieval.settings import IndexKind, Method, Retrieval
from kformer.retrieval.words.bm25 import Bm25, Postings, UncompiledBm25
from kformer.retrieval.words.tokenizer import tokenizer
from kformer.section import in_one_line


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
        KformerError: indexes that are missing, damaged, of other settings, of other facts, or not
            searched by the method.
    """
    events = None
    if settings.events:
        events = FactsOfEvents(read_column(facts, "origin"), read_column(facts, "relation"))
    opened = [read_index(folder) for folder in indexes]
    for index in opened:
        if index.kind not in settings.index_kinds:
            raise KformerError(
                f"{index.folder}: retrieval.method: {settings.method} searches no index of "
                f"{index.kind}; leave it out"
            )
    if settings.method == "rank_bm25":
        searcher = _reference(settings, facts, events)
    else:
        facts_sha256, are_events = facts_behind(facts)
        if are_events:
            raise KformerError(f"{facts}: holds events; give the facts that they are of")
        _check_facts(opened, facts, facts_sha256, of_events=events is not None)
        searcher = _indexed(settings, opened, threads)
    if settings.events and events:
        return ByEvent(searcher, settings.events, events, _boost(settings))
    # Of two lists each is boosted before they become one.
    return searcher if settings.method == "hybrid" else _boosted(settings, searcher)


def _boosted(settings: Retrieval, searcher: Searcher) -> Searcher:
    boost = _boost(settings)
    return Boosted(searcher, boost) if boost else searcher


def _boost(settings: Retrieval) -> float | None:
    match = settings.match
    return match.boost if match and match.mode == "boost" else None


def _reference(settings: Retrieval, facts: Path, events: FactsOfEvents | None) -> Searcher:
    from kformer.retrieval.words.reference import RankBm25

    split = tokenizer(settings.words)
    if events:
        texts = events.texts
        return RankBm25(texts, pa.chunked_array([pa.nulls(len(texts))]), split)
    return RankBm25(read_column(facts, "text").to_pylist(), read_column(facts, "relation"), split)


def _check_facts(indexes: Sequence[Index], facts: Path, facts_sha256: str, of_events: bool) -> None:
    what = "events of" if of_events else "facts of"
    for index in indexes:
        if (index.facts_sha256, index.of_events) != (facts_sha256, of_events):
            raise KformerError(
                f"{index.folder}: not an index of the {what} {facts}; give the one that is, or "
                "build it anew"
            )


def _indexed(
    settings: Retrieval, indexes: Sequence[Index], threads: int, words_by: type[Bm25] = Bm25
) -> Searcher:
    shards = {kind: _shards(kind, settings, indexes) for kind in settings.index_kinds}
    words = [_open_words(index, settings, threads, words_by) for index in shards.get("words", [])]
    if settings.method == "bm25":
        return Shards(words)

    import torch

    from kformer.retrieval.embeddings.nearest import Dense
    from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder

    torch.set_num_threads(threads)
    encoder = SentenceEncoder(settings.encoder)
    dense = []
    for index in shards["embeddings"]:
        layout = ByRelation.open(index.folder)
        dense.append(Dense(index.folder, encoder, layout, settings.nearest))
    if settings.method == "dense":
        return Shards(dense)

    from kformer.retrieval.combined.hybrid import RankFusion, Reranked

    if settings.fusion == "rerank":
        return Reranked(Shards(words), dense, settings.candidates)
    both: list[Searcher] = [Shards(words), Shards(dense)]
    if not settings.events:
        both = [_boosted(settings, each) for each in both]
    return RankFusion(both, settings.candidates)


def _open_words(index: Index, settings: Retrieval, threads: int, words_by: type[Bm25]) -> Bm25:
    postings, layout = Postings.open(index.folder), ByRelation.open(index.folder)
    return words_by(postings, layout, tokenizer(settings.words), threads)


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
        index.check_files()
    of = found[0].shards
    if [(index.number, index.shards) for index in found] != [(i, of) for i in range(1, of + 1)]:
        raise KformerError(
            f"--index: {len(found)} folders with {kind} are given, but {found[0].folder} is one of "
            f"{of} shards; give each of them once"
        )
    return found


class FactHit(NamedTuple):
    """A fact that was found, as a person wants to see it."""

    score: float
    fact_id: int
    text: str
    relation: str | None


def search_for(
    query: str, folders: Sequence[Path], top_k: int, relations: Sequence[str] | None
) -> list[FactHit]:
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
    table = indexes[0].table
    _check_facts(indexes, table, *facts_behind(table))
    searcher = _indexed(_settings_of(indexes, top_k), indexes, 1, UncompiledBm25)
    wanted = frozenset(relations) if relations else None
    if wanted and not wanted <= searcher.relations:
        raise KformerError(
            f"--relation: no fact has {listed(wanted - searcher.relations)}; there are "
            f"{listed(searcher.relations)}"
        )
    [[hits]] = searcher.search([Query(query, relations=wanted)], top_k)
    rows = take_rows(table, "facts", hits.ids.tolist())
    return [
        FactHit(float(score), row["fact_id"], row["text"], row["relation"])
        for score, row in zip(hits.scores, rows, strict=True)
    ]


def table_of_hits(found: Sequence[FactHit]) -> Table:
    """What was found as a table for the terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("relation", overflow="fold")
    table.add_column("fact", overflow="fold")
    for fact in found:
        texts = (_on_one_line(text) for text in (fact.relation or "", fact.text))
        table.add_row(f"{fact.score:.3g}", str(fact.fact_id), *texts)
    return table


def _on_one_line(text: str) -> Text:
    """Text as it is, but for what a terminal would obey."""
    return Text(" ".join("".join(c if c.isprintable() else " " for c in text).split()))


def _settings_of(indexes: Sequence[Index], top_k: int) -> Retrieval:
    kinds = {index.kind for index in indexes}
    method: Method = "hybrid"
    if len(kinds) == 1:
        method = "bm25" if kinds == {"words"} else "dense"
    settings = {key: value for index in indexes for key, value in index.settings.items()}
    for index in indexes:
        if any(settings[key] != value for key, value in index.settings.items()):
            raise KformerError(
                f"--index: {index.folder} and {indexes[-1].folder} were built by different "
                "settings; ask one at a time"
            )
    try:
        return Retrieval(method=method, top_k=top_k, candidates=max(top_k, 100), **settings)
    except ValidationError as error:
        raise KformerError(
            f"{indexes[0].folder}: damaged ({in_one_line(error)}); build it anew"
        ) from None


def newest_index(folder: Path) -> list[Path]:
    """The shards of the index of facts that was built last, one of words if there is any.

    Raises:
        KformerError: there is none.
    """
    kinds: tuple[IndexKind, ...] = ("words", "embeddings")  # the latter load an encoder first
    for kind in kinds:
        # A name with a dot in front is that of an index that is being built.
        built = folder.glob(f"{kind}-*/[!.]*/index.json")
        for file in sorted(built, key=lambda file: -file.stat().st_mtime):
            index = read_index(file.parent)
            if not index.of_events:
                return [
                    index.folder.with_name(f"{number}-of-{index.shards}")
                    for number in range(1, index.shards + 1)
                ]
    raise KformerError(
        f"{folder}: no index of facts there yet; run the workflow, or `kformer index`, and name "
        "its folder with --index"
    )
