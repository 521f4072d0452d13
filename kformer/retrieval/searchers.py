"""Opening the searcher that a `retrieval` section asks for, from indexes on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name

from kformer.errors import KformerError
from kformer.retrieval.combined.boosted import with_boost
from kformer.retrieval.combined.events import ByEvent, FactsOfEvents
from kformer.retrieval.index import Index, facts_of_table, read_index
from kformer.retrieval.methods import METHODS, IndexKind
from kformer.retrieval.query import Searcher
from kformer.retrieval.searched_documents import Documents
from kformer.retrieval.settings import Retrieval


def open_searcher(
    settings: Retrieval, facts: Path, indexes: Sequence[Path], threads: int = 1
) -> Searcher:
    """Opens what finds facts as the settings say.

    Args:
        settings: of the retrieval.
        facts: the facts table.
        indexes: folders of the indexes that the method searches, all shards of each. With
            ``settings.events`` they are indexes of the events.
        threads: how many threads may search at once.

    Raises:
        KformerError: indexes that are missing, damaged, of other settings, of other facts, or not
            searched by the method.
    """
    events = FactsOfEvents.read(facts) if settings.events else None
    opened = [read_index(folder) for folder in indexes]
    for index in opened:
        if index.kind not in settings.index_kinds:
            raise KformerError(
                f"{index.folder}: retrieval.method: {settings.method} searches no index of "
                f"{index.kind}; leave it out"
            )
    facts_sha256, are_events = facts_of_table(facts)
    if are_events:
        raise KformerError(f"{facts}: holds events; give the facts that they are of")
    check_facts(opened, facts, facts_sha256, of_events=events is not None)
    documents = Documents(facts, events, checked_indexes(settings, opened), threads)
    searcher = open_method(settings, documents)
    if settings.events and events:
        return ByEvent(searcher, settings.events, events, settings.boost)
    return searcher if METHODS[settings.method].boosts else with_boost(searcher, settings.boost)


def open_method(settings: Retrieval, documents: Documents) -> Searcher:
    """Opens the search for documents by ``settings.method``, without boost."""
    return resolve_name(METHODS[settings.method].opened_by)(settings, documents)


def check_facts(indexes: Sequence[Index], facts: Path, facts_sha256: str, of_events: bool) -> None:
    """Raises KformerError when an index is not one of these facts, or not one of their events."""
    what = "events of" if of_events else "facts of"
    for index in indexes:
        if (index.facts_sha256, index.of_events) != (facts_sha256, of_events):
            raise KformerError(
                f"{index.folder}: not an index of the {what} {facts}; give the one that is, or "
                "build it anew"
            )


def checked_indexes(
    settings: Retrieval, indexes: Sequence[Index]
) -> Mapping[IndexKind, Sequence[Index]]:
    """The indexes by kind, their shards in order.

    Raises:
        KformerError: an index that the method needs is missing, damaged, of other settings, or
            without some of its shards.
    """
    return {kind: _shards(kind, settings, indexes) for kind in settings.index_kinds}


def _shards(kind: IndexKind, settings: Retrieval, indexes: Sequence[Index]) -> list[Index]:
    shards = sorted((each for each in indexes if each.kind == kind), key=lambda each: each.number)
    if not shards:
        raise KformerError(f"--index: retrieval.method: {settings.method} needs an index of {kind}")
    wanted = settings.index_settings(kind)
    for index in shards:
        if index.settings != wanted:
            raise KformerError(
                f"{index.folder}: built with {index.settings}, but the settings say {wanted}; "
                "build it anew"
            )
        index.check_files()
    of = shards[0].shards
    if [(index.number, index.shards) for index in shards] != [(i, of) for i in range(1, of + 1)]:
        raise KformerError(
            f"--index: {len(shards)} folders with {kind} are given, but {shards[0].folder} is one "
            f"of {of} shards; give each of them once"
        )
    return shards
