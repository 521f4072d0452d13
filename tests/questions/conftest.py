"""Building a questions table, with what has to hold for any data set and content of its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kformer.errors import KformerError
from kformer.io.table_schemas import ALL_SPLITS, SPLITS
from kformer.io.tables import read_rows
from kformer.questions.build import build_questions
from kformer.questions.reader import QuestionReader


@pytest.fixture(scope="session")
def build(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[QuestionReader, Path], list[dict[str, Any]]]:
    """Builds the questions of a data set; returns the rows, checked.

    What is refused is refused in one line, and leaves nothing behind.
    """
    folder = tmp_path_factory.mktemp("questions")

    def run(reader: QuestionReader, path: Path) -> list[dict[str, Any]]:
        out = folder / "questions.parquet"
        out.unlink(missing_ok=True)
        try:
            counts = build_questions(reader, path, out)
        except KformerError as error:
            assert not list(folder.iterdir())
            assert not {"\n", "\r"} & set(str(error))
            raise
        rows = list(read_rows(out, "questions"))
        assert [path.name for path in folder.iterdir()] == ["questions.parquet"]
        in_splits = sum(counts.get(f"{split}_questions", 0) for split in ALL_SPLITS)
        assert len({row["question_id"] for row in rows}) == len(rows) == in_splits
        splits = {row["split"] for row in rows}
        assert splits >= set(SPLITS)
        assert splits == {split for split in ALL_SPLITS if counts.get(f"{split}_questions")}
        for row in rows:
            assert row["question"].strip()
            assert len(row["choices"]) >= 2
            assert all(choice.strip() for choice in row["choices"])
            assert 0 <= row["answer"] < len(row["choices"])
        return rows

    return run
