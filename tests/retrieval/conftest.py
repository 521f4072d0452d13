"""Tables for tests of retrieval, written in one call."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kformer.io.tables import write_table
from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.index import Shard, count_words, index_embeddings, index_words
from kformer.retrieval.settings import Retrieval


@pytest.fixture(scope="session")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a new folder at every call; unlike `tmp_path`, also within a test."""
    base = tmp_path_factory.mktemp("retrieval")
    return lambda: Path(tempfile.mkdtemp(dir=base))


@pytest.fixture(scope="session")
def facts_table(new_folder: Callable[[], Path]) -> Callable[[Sequence[Any]], Path]:
    """Writes facts, each a text, (text, relation) or (text, relation, origin)."""

    def write(facts: Sequence[Any]) -> Path:
        path = new_folder() / "facts.parquet"
        triples = (
            (fact, None, "o") if isinstance(fact, str) else (*fact, "o")[:3] for fact in facts
        )
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
def retrieval_table(new_folder: Callable[[], Path]) -> Callable[..., Path]:
    """Writes what was found: (question, choice, facts), and scores unless they are 9.5, 8.5, …"""

    def write(*found: Sequence[Any], origin: dict[str, Any] | None = None) -> Path:
        path, rows = new_folder() / "retrieval.parquet", []
        for question_id, choice, ids, *given in found:
            [scores] = given or [[9.5 - rank for rank in range(len(ids))]]
            row = {"question_id": question_id, "choice": choice, "fact_ids": ids, "scores": scores}
            rows.append(row)
        write_table(path, "retrieval", rows, origin)
        return path

    return write


@pytest.fixture(scope="session")
def layout_of() -> Callable[..., ByRelation]:
    """Makes the layout of documents with these relations."""

    def make(relations: Sequence[str | None], first_id: int = 0) -> ByRelation:
        return ByRelation.of(pa.chunked_array([pa.array(relations, pa.string())]), first_id)

    return make


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


@pytest.fixture(scope="session")
def few_facts() -> list[tuple[str, str | None, str]]:
    return [
        ("The pet of Krez is dog.", "pet", "Krez"),
        ("The pet of Blon is cat.", "pet", "Blon"),
        ("The job of Krez is pilot.", "job", "Krez"),
        ("It rains.", None, "o"),
        ("It is a [red] day.", None, "o"),
    ]


@pytest.fixture(scope="session")
def facts(facts_table: Callable[..., Path], few_facts: Sequence[Any]) -> Path:
    """The table of the few facts."""
    return facts_table(few_facts)


@pytest.fixture
def index(facts: Path, indexed: Callable[..., list[Path]]) -> Path:
    """An index of the words of the few facts, which a test may damage."""
    return indexed(Retrieval(), facts)[0]


@pytest.fixture
def shards(facts: Path, indexed: Callable[..., list[Path]]) -> list[Path]:
    """The same in two shards."""
    return indexed(Retrieval(), facts, 2)
