"""A retriever of texts to use from Python, with the indexes and searchers of the stages."""

import json
import os
import tempfile
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Self

from kformer.config_section import validated
from kformer.errors import KformerError, listed
from kformer.io.atomic_files import write_json
from kformer.io.tables import write_table
from kformer.retrieval.index import BUILDERS
from kformer.retrieval.query import FactHit, Query, Searcher, read_fact_hits
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Retrieval

_FACTS = "facts.parquet"
_SETTINGS = "settings.json"
# Keys of `Retrieval` that need questions or the origins of facts; here are only texts.
_OF_TABLES = {"query", "match", "events", "control"}


class Retriever:
    """Finds the best texts for queries.

        retriever = Retriever(method="bm25").index(["Dogs bark.", "Cats purr."])
        [[hit]] = retriever.search(["Who can bark?"], top_k=1)

    Ids, scores and order are those of `kformer retrieve` with the same settings.
    """

    def __init__(self, **settings: Any) -> None:
        """Takes the keys of the config's `retrieval` section, such as ``method`` and ``words``.

        Raises:
            KformerError: unknown keys or wrong values; or keys about questions (``query``,
                ``match``, ``control``) or events, which need tables.
        """
        if without_tables := _OF_TABLES & settings.keys():
            raise KformerError(
                f"Retriever: {listed(without_tables)}: for questions and facts in tables only; "
                "use `kformer retrieve`, or leave it out"
            )
        self.settings: Retrieval = validated(Retrieval, settings, "Retriever")
        self._opened: tuple[Path, Searcher] | None = None

    def index(
        self,
        texts: Sequence[str],
        relations: Sequence[str | None] | None = None,
        folder: str | Path | None = None,
    ) -> Self:
        """Indexes texts, in place of those indexed before; their ids are 0, 1, …

        Args:
            texts: what is searched.
            relations: of each text or None; a search may ask for some of them.
            folder: where the index is kept, to be opened by `load`; None = a temporary folder
                that is deleted with the retriever.

        Raises:
            KformerError: the folder is not empty, ``texts`` is a single string, or there are not as
                many relations as texts.
        """
        _check_list(texts, "Retriever.index: texts")
        if relations is not None and len(relations) != len(texts):
            raise KformerError(
                f"Retriever.index: relations: {len(relations):,} for {len(texts):,} texts; give "
                "one for each text"
            )
        if folder is None:
            # Deleted as soon as nothing refers to it.
            self._temporary = tempfile.TemporaryDirectory(prefix="kformer-")
            folder = self._temporary.name
        folder = Path(folder)
        if folder.is_dir() and any(folder.iterdir()):
            raise KformerError(f"{folder}: this folder is not empty; delete it or name another one")
        rows = (
            {"fact_id": i, "text": text, "relation": relation, "source": "texts", "origin": ""}
            for i, (text, relation) in enumerate(
                zip(texts, relations or repeat(None, len(texts)), strict=True)
            )
        )
        write_table(folder / _FACTS, "facts", rows)
        for kind in self.settings.index_kinds:
            BUILDERS[kind](self.settings, folder / _FACTS, folder / kind)
        write_json(folder / _SETTINGS, self.settings.model_dump(mode="json", exclude=_OF_TABLES))
        return self._open(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Opens what `index` wrote into a folder.

        Raises:
            KformerError: there is no such index, or it is damaged.
        """
        file = Path(folder) / _SETTINGS
        try:
            retriever = cls(**json.loads(file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            raise KformerError(
                f"{file}: not readable; name a folder that `Retriever.index` wrote"
            ) from None
        return retriever._open(Path(folder))

    def search(
        self,
        queries: Sequence[str],
        top_k: int | None = None,
        relations: Sequence[str | None] | None = None,
    ) -> list[list[FactHit]]:
        """The best texts for each query, best first, ties by id.

        Args:
            queries: what to look for.
            top_k: how many texts; None = as the settings say.
            relations: a text must have one of these; None = any text.

        Raises:
            KformerError: nothing is indexed yet, ``queries`` is a single string, or ``top_k`` is
                impossible.
        """
        if self._opened is None:
            raise KformerError("Retriever.search: nothing is indexed; call `index` first")
        _check_list(queries, "Retriever.search: queries")
        settings = self.settings
        if top_k is not None:
            changed = {**settings.model_dump(), "top_k": top_k}
            settings = validated(Retrieval, changed, "Retriever.search")
        folder, searcher = self._opened
        wanted = None if relations is None else frozenset(relations)
        found = searcher.search([Query(text, relations=wanted) for text in queries], settings.top_k)
        return read_fact_hits(folder / _FACTS, [hits for [hits] in found])

    def _open(self, folder: Path) -> Self:
        indexes = [folder / kind for kind in self.settings.index_kinds]
        threads = len(os.sched_getaffinity(0))
        searcher = open_searcher(self.settings, folder / _FACTS, indexes, threads)
        self._opened = folder, searcher
        return self


def _check_list(texts: Sequence[str], name: str) -> None:
    if isinstance(texts, str):
        raise KformerError(f"{name}: give a list, such as [{texts!r:.60}]")
