"""Building a facts table, with what has to hold for any source and any content of its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kformer.errors import KformerError
from kformer.io.tables import read_rows
from kformer.knowledge.build import build_facts
from kformer.knowledge.reader import KnowledgeReader

Built = tuple[list[dict[str, Any]], dict[str, float]]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[KnowledgeReader, Path], Built]:
    """Builds the facts of a source; returns the rows, checked, and the counts.

    What is refused is refused in one line, and leaves nothing behind.
    """
    folder = tmp_path_factory.mktemp("facts")

    def run(reader: KnowledgeReader, path: Path) -> Built:
        out = folder / "facts.parquet"
        out.unlink(missing_ok=True)
        try:
            counts = build_facts([reader], [path], out)
        except KformerError as error:
            assert not list(folder.iterdir())
            assert not {"\n", "\r"} & set(str(error))
            raise
        rows = list(read_rows(out, "facts"))
        assert [path.name for path in folder.iterdir()] == ["facts.parquet"]
        assert [row["fact_id"] for row in rows] == list(range(len(rows)))
        assert all(row["text"] and row["text"] == row["text"].strip() for row in rows)
        assert len({row["text"] for row in rows}) == len(rows) == counts["facts"]
        assert {row["source"] for row in rows} == {reader.label}
        assert counts[f"{reader.label}_read"] == len(rows) + counts["duplicates_dropped"]
        return rows, counts

    return run
