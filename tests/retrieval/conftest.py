"""Tables for tests of retrieval, written in one call."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kformer.io.tables import write_table
from kformer.retrieval.index import Shard, count_words, index_embeddings, index_words
from kformer.retrieval.settings import Retrieval


@pytest.fixture(scope="session")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a new folder at every call; unlike `tmp_path`, also within a test."""
    base = tmp_path_factory.mktemp("retrieval")
    return lambda: Path(tempfile.mkdtemp(dir=base))


@pytest.fixture(scope="session")
def facts_table(new_folder: Callable[[], Path]) -> Callable[[Sequence[Any]], Path]:
    """Writes facts, each a text or (text, relation, origin)."""

    def write(facts: Sequence[Any]) -> Path:
        path = new_folder() / "facts.parquet"
        triples = ((fact, None, "o") if isinstance(fact, str) else fact for fact in facts)
        rows = (
            {"fact_id": i, "text": text, "relation": relation, "source": "s", "origin": origin}
            for i, (text, relation, origin) in enumerate(triples)
        )
        write_table(path, "facts", rows)
        return path

    return write


@pytest.fixture(scope="session")
def questions_table(new_folder: Callable[[], Path]) -> Callable[..., Path]:
    """Writes questions, each a dict of what is other than usual."""
    usual = {
        "split": "train",
        "context": "",
        "question": "?",
        "choices": ["dog", "pilot"],
        "answer": 0,
        "type": None,
        "gold_facts": None,
    }

    def write(*questions: dict[str, Any]) -> Path:
        path = new_folder() / "questions.parquet"
        rows = ({"question_id": f"q{i}", **usual, **each} for i, each in enumerate(questions))
        write_table(path, "questions", rows)
        return path

    return write


@pytest.fixture(scope="session")
def indexed(new_folder: Callable[[], Path]) -> Callable[..., list[Path]]:
    """Indexes a table in shards, by all that a method searches; returns the folders."""

    def build(settings: Retrieval, table: Path, shards: int = 1) -> list[Path]:
        folder, parts = new_folder(), [Shard(number, shards) for number in range(1, shards + 1)]
        folders = [
            folder / f"{kind}-{part.number}" for kind in settings.index_kinds for part in parts
        ]
        if "words" in settings.index_kinds:
            counts = [folder / f"{part.number}.json" for part in parts] if shards > 1 else []
            for part, path in zip(parts, counts, strict=False):
                count_words(settings, table, part, path)
            for part in parts:
                index_words(settings, table, folder / f"words-{part.number}", part, counts)
        if "embeddings" in settings.index_kinds:
            for part in parts:
                index_embeddings(settings, table, folder / f"embeddings-{part.number}", part)
        return folders

    return build
