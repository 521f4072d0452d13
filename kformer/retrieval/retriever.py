"""A retriever of texts to use from Python, with the indexes and searchers of the stages."""

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Self

from kformer.config_section import validated
from kformer.errors import KformerError, listed
from kformer.io.file_writing import replacing, write_json
from kformer.io.normal_form import normal_form
from kformer.io.tables import write_table
from kformer.retrieval.index import BUILDERS
from kformer.retrieval.query import FactHit, Query, Searcher, read_fact_hits
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Retrieval

_FACTS = "facts.parquet"
_SETTINGS = "settings.json"
# Keys of `Retrieval` that need questions or the origins of facts; here are only texts.
_OF_TABLES = {"query", "match", "events", "control", "max_without_facts"}


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
                ``match``, ``max_without_facts``, ``control``) or events, which need tables.
        """
        self.settings = _settings_of(settings, "Retriever")
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._opened: tuple[Path, Searcher] | None = None

    def index(
        self,
        texts: Sequence[str],
        relations: Sequence[str | None] | None = None,
        folder: str | Path | None = None,
    ) -> Self:
        """Indexes texts, in place of those indexed before; their ids are 0, 1, …

        When it fails, no new folder is left, and the texts indexed before can still be searched.

        Args:
            texts: what is searched; they are kept in normal form (`kformer.io.normal_form`).
            relations: of each text or None; a search may ask for some of them.
            folder: where the index is kept, to be opened by `load`; None = a temporary folder
                that is deleted with the retriever.

        Raises:
            KformerError: the folder is a file, not empty or not writable; ``texts`` or
                ``relations`` are no sequences of strings; or there are not as many relations as
                texts.
        """
        _check_strings(texts, "Retriever.index: texts", Sequence)
        if relations is not None:
            _check_strings(relations, "Retriever.index: relations", Sequence, or_none=True)
            if len(relations) != len(texts):
                raise KformerError(
                    f"Retriever.index: relations: {len(relations):,} for {len(texts):,} texts; "
                    "give one for each text"
                )
        temporary = None
        try:
            if folder is None:
                # Deleted as soon as nothing refers to it.
                temporary = tempfile.TemporaryDirectory(prefix="kformer-")
            path = Path(temporary.name, "index") if temporary else Path(folder or "")
            if path.is_file():
                raise KformerError(f"{path}: is a file; name a folder to be made")
            with replacing(path) as partial:
                partial.mkdir()
                self._write(partial, path, texts, relations)
        except OSError as error:
            where = "Retriever.index: the temporary folder" if folder is None else folder
            raise KformerError(
                f"{where}: not writable ({error.strerror or error}); name another folder"
            ) from None
        try:
            opened = self._open(path)
        except BaseException:
            shutil.rmtree(path)
            raise
        # Last, and together: what was indexed before is there until its successor can be searched.
        self._opened, self._temporary = opened, temporary
        return self

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Opens what `index` wrote into a folder.

        Raises:
            KformerError: there is no such index, or it is damaged.
        """
        file = Path(folder) / _SETTINGS
        try:
            settings = dict(json.loads(file.read_text("utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            raise KformerError(
                f"{file}: not readable; name a folder that `Retriever.index` wrote"
            ) from None
        retriever = cls()
        retriever.settings = _settings_of(settings, str(file))
        retriever._opened = retriever._open(Path(folder))
        return retriever

    def search(
        self,
        queries: Sequence[str],
        top_k: int | None = None,
        relations: Collection[str | None] | None = None,
    ) -> list[list[FactHit]]:
        """The best texts for each query, best first, ties by id.

        Args:
            queries: what to look for.
            top_k: how many texts; None = as the settings say.
            relations: a text must have one of these; None = any text.

        Raises:
            KformerError: nothing is indexed yet, ``queries`` is no sequence of strings, ``top_k``
                is impossible, or no text has one of the relations.
        """
        if self._opened is None:
            raise KformerError("Retriever.search: nothing is indexed; call `index` first")
        _check_strings(queries, "Retriever.search: queries", Sequence)
        settings = self.settings
        if top_k is not None:
            changed = {**settings.model_dump(), "top_k": top_k}
            settings = validated(Retrieval, changed, "Retriever.search")
        folder, searcher = self._opened
        wanted = None
        if relations is not None:
            _check_strings(relations, "Retriever.search: relations", Collection, or_none=True)
            wanted = frozenset(relations)
            if unknown := wanted - searcher.relations:
                raise KformerError(
                    f"Retriever.search: relations: no text has {listed(map(str, unknown))}; there "
                    f"are {listed(map(str, searcher.relations))}"
                )
        normal = [Query(normal_form(text), relations=wanted) for text in queries]
        found = searcher.search(normal, settings.top_k)
        return read_fact_hits(folder / _FACTS, [hits for [hits] in found])

    def _write(
        self,
        folder: Path,
        final: Path,
        texts: Sequence[str],
        relations: Sequence[str | None] | None,
    ) -> None:
        """Fills a folder that will be renamed to ``final``."""
        normal = map(normal_form, texts)
        rows = (
            {"fact_id": i, "text": text, "relation": relation, "source": "texts", "origin": ""}
            for i, (text, relation) in enumerate(
                zip(normal, relations or repeat(None, len(texts)), strict=True)
            )
        )
        write_table(folder / _FACTS, "facts", rows)
        for kind in self.settings.index_kinds:
            BUILDERS[kind](self.settings, folder / _FACTS, folder / kind, table_name=final / _FACTS)
        write_json(folder / _SETTINGS, self.settings.model_dump(mode="json", exclude=_OF_TABLES))

    def _open(self, folder: Path) -> tuple[Path, Searcher]:
        indexes = [folder / kind for kind in self.settings.index_kinds]
        threads = len(os.sched_getaffinity(0))
        return folder, open_searcher(self.settings, folder / _FACTS, indexes, threads)


def _settings_of(settings: dict[str, Any], origin: str) -> Retrieval:
    if without_tables := _OF_TABLES & settings.keys():
        raise KformerError(
            f"{origin}: {listed(without_tables)}: for questions and facts in tables only; "
            "use `kformer retrieve`, or leave it out"
        )
    read = validated(Retrieval, settings, origin, not_allowed=_OF_TABLES)
    if read.method == "gold":
        raise KformerError(
            f"{origin}: method: gold facts are those of questions in a table; use another method, "
            "or `kformer retrieve`"
        )
    return read


def _check_strings(items: Any, name: str, kind: Any, or_none: bool = False) -> None:
    """Raises KformerError for what is no collection of this kind, or holds what is no text."""
    if isinstance(items, str):
        raise KformerError(f"{name}: give a list, such as [{items!r:.60}]")
    if not isinstance(items, kind):
        raise KformerError(
            f"{name}: give a list of strings, such as list(…) makes; {type(items).__name__} is none"
        )
    for i, item in enumerate(items):
        if item is None and or_none:
            continue
        if not isinstance(item, str):
            raise KformerError(f"{name}[{i}]: {type(item).__name__} is no string; give a string")
        try:
            item.encode()
        except UnicodeEncodeError as error:
            raise KformerError(
                f"{name}[{i}]: not valid Unicode at character {error.start} ({error.reason}); "
                "decode the text anew, or replace that character"
            ) from None
