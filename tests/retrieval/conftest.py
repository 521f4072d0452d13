"""Tables, indexes and searchers for tests of retrieval, made in one call."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kformer.io.tables import write_table
from kformer.retrieval.index import Shard, count_words, index_embeddings, index_words
from kformer.retrieval.query import best
from kformer.retrieval.relation_order import ByRelation
from kformer.retrieval.settings import Retrieval


@pytest.fixture(scope="session")
def new_folder(tmp_path_factory):
    """Makes a new folder at every call; unlike `tmp_path`, also within a test."""
    base = tmp_path_factory.mktemp("retrieval")
    return lambda: Path(tempfile.mkdtemp(dir=base))


@pytest.fixture(scope="session")
def facts_table(new_folder):
    """Writes facts, each a text, (text, relation) or (text, relation, origin)."""

    def write(facts):
        path = new_folder() / "facts.parquet"
        triples = (
            (each, None, "o") if isinstance(each, str) else (*each, "o")[:3] for each in facts
        )
        rows = (
            {"fact_id": i, "text": text, "relation": relation, "source": "s", "origin": origin}
            for i, (text, relation, origin) in enumerate(triples)
        )
        write_table(path, "facts", rows)
        return path

    return write


@pytest.fixture(scope="session")
def questions_table(new_folder):
    """Writes questions, each a dict of what is other than usual."""
    usual = {"split": "train", "context": "", "question": "?", "choices": ["dog", "pilot"]}
    usual |= {"answer": 0, "type": None, "gold_facts": None}

    def write(*questions):
        path = new_folder() / "questions.parquet"
        rows = ({"question_id": f"q{i}", **usual, **each} for i, each in enumerate(questions))
        write_table(path, "questions", rows)
        return path

    return write


@pytest.fixture(scope="session")
def retrieval_table(new_folder):
    """Writes what was found: (question, choice, facts), and scores unless they are 9.5, 8.5, …"""

    def write(*found, origin=None):
        path, rows = new_folder() / "retrieval.parquet", []
        for question_id, choice, ids, *given in found:
            [scores] = given or [[9.5 - rank for rank in range(len(ids))]]
            row = {"question_id": question_id, "choice": choice, "fact_ids": ids, "scores": scores}
            rows.append(row)
        write_table(path, "retrieval", rows, origin)
        return path

    return write


@pytest.fixture(scope="session")
def layout_of():
    """Makes the layout of documents with these relations."""
    return lambda relations, first_id=0: ByRelation.of(
        pa.chunked_array([pa.array(relations, pa.string())]), first_id
    )


class Scored:
    """Documents that score the same for every query; like cosines, scores may be below 0."""

    def __init__(self, documents, first_id=0):
        self._names, scores = zip(*documents, strict=True) if documents else ((), ())
        self._first_id, self._scores = first_id, np.array(scores, dtype=np.float32)
        self.relations = frozenset(self._names)

    def search(self, queries, top_k):
        return [[self._best(each.relations, top_k)] * len(each.suffixes) for each in queries]

    def _best(self, wanted, top_k):
        rows = [i for i, name in enumerate(self._names) if wanted is None or name in wanted]
        rows = np.array(rows, dtype=np.int64)
        return best(rows + self._first_id, self._scores[rows], top_k)


@pytest.fixture(scope="session")
def scored():
    """Makes a searcher of documents, each (relation, score)."""
    return Scored


@pytest.fixture(scope="session")
def indexed(new_folder):
    """Indexes a table in shards, by all that a method searches; returns the folders."""

    def build(settings, table, shards=1):
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
def few_facts():
    return [
        ("The pet of Krez is dog.", "pet", "Krez"),
        ("The pet of Blon is cat.", "pet", "Blon"),
        ("The job of Krez is pilot.", "job", "Krez"),
        "It rains.",
        "It is a [red] day.",
    ]


@pytest.fixture(scope="session")
def facts(facts_table, few_facts):
    """The table of the few facts."""
    return facts_table(few_facts)


@pytest.fixture
def index(facts, indexed):
    """An index of the words of the few facts, which a test may damage."""
    return indexed(Retrieval(), facts)[0]


@pytest.fixture
def shards(facts, indexed):
    """The same in two shards."""
    return indexed(Retrieval(), facts, 2)
