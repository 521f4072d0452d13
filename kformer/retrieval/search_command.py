"""Searching indexes for one query, as `kformer search` does: nothing but their folders is given."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from rich import box
from rich.table import Table
from rich.text import Text

from kformer.config_section import in_one_line
from kformer.errors import KformerError, listed
from kformer.io.formatting import on_one_line
from kformer.io.normal_form import normal_form
from kformer.retrieval.index import Index, facts_of_table, read_index
from kformer.retrieval.query import FactHit, Query, read_fact_hits
from kformer.retrieval.searched_documents import Documents
from kformer.retrieval.searchers import check_facts, checked_indexes, open_method
from kformer.retrieval.settings import Retrieval

# What a search of indexes of these kinds is called.
_METHODS = {
    frozenset({"words"}): "bm25",
    frozenset({"embeddings"}): "dense",
    frozenset({"words", "embeddings"}): "hybrid",
}


def search_for(
    query: str, folders: Sequence[Path], top_k: int, relations: Sequence[str] | None
) -> list[FactHit]:
    """Searches indexes on disk: words and embeddings both, by adding up reciprocal ranks.

    Args:
        query: what to look for.
        folders: of the indexes, all shards of each.
        top_k: how many facts.
        relations: the facts' relation must be one of these; None = any.

    Raises:
        KformerError: a folder is no index, the facts table is missing or another one, or the query
            is not UTF-8.
    """
    try:
        query = normal_form(query.encode().decode())
    except UnicodeEncodeError:  # of bytes that the shell gave
        raise KformerError(f"{query!r}: not UTF-8; write the query in UTF-8") from None
    indexes = [read_index(folder) for folder in folders]
    facts = indexes[0].table
    if not facts.is_file():
        raise KformerError(
            f"{folders[0]}: the facts that it indexes, {facts}, are not there; run this in the "
            "folder where it was built"
        )
    check_facts(indexes, facts, *facts_of_table(facts))
    settings = _settings_of(indexes, top_k)
    documents = Documents(facts, indexes=checked_indexes(settings, indexes), for_one_query=True)
    searcher = open_method(settings, documents)
    wanted = frozenset(map(normal_form, relations)) if relations else None
    if wanted and not wanted <= searcher.relations:
        raise KformerError(
            f"--relation: no fact has {listed(wanted - searcher.relations)}; there are "
            f"{listed(searcher.relations)}"
        )
    [hits] = searcher.search([Query(query, relations=wanted)], top_k)
    return read_fact_hits(facts, hits)[0]


def _settings_of(indexes: Sequence[Index], top_k: int) -> Retrieval:
    method = _METHODS[frozenset(index.kind for index in indexes)]
    settings = {key: value for index in indexes for key, value in index.settings.items()}
    for index in indexes:
        if any(settings[key] != value for key, value in index.settings.items()):
            raise KformerError(
                f"--index: {index.folder} and {indexes[-1].folder} were built by different "
                "settings; search one at a time"
            )
    try:
        return Retrieval(method=method, top_k=top_k, candidates=max(top_k, 100), **settings)
    except ValidationError as error:
        raise KformerError(
            f"{indexes[0].folder}: damaged ({in_one_line(error)}); build it anew"
        ) from None


def index_of_facts(folders: Sequence[Path]) -> list[Path]:
    """All shards of the first of some indexes that is one of facts, not of events.

    Args:
        folders: of shards of indexes, the preferred first; shards of one index lie together.

    Raises:
        KformerError: none is.
    """
    for folder in folders:
        index = read_index(folder)
        if not index.of_events:
            siblings = [read_index(each) for each in folders if each.parent == folder.parent]
            shards = [each for each in siblings if each.shards == index.shards]
            return [each.folder for each in sorted(shards, key=lambda each: each.number)]
    raise KformerError(
        "--index: no index of facts there yet; run the workflow, or `kformer index`, and name its "
        "folder"
    )


def table_of_hits(hits: Sequence[FactHit]) -> Table:
    """The hits as a table for the terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("relation", overflow="fold")
    table.add_column("fact", overflow="fold")
    for fact in hits:
        texts = (Text(on_one_line(text)) for text in (fact.relation or "", fact.text))
        table.add_row(f"{fact.score:.3g}", str(fact.id), *texts)
    return table
