"""The nearest embeddings: exactly, by FAISS, and the same however the work is divided."""

import json
import math
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.retrieval.embeddings import exact_search, faiss_search
from kformer.retrieval.embeddings.dense_search import Dense
from kformer.retrieval.embeddings.stored_embeddings import write_embeddings
from kformer.retrieval.query import Query, Shards


class FakeEncoder(SimpleNamespace):
    """Its texts are numbers of vectors."""

    def __init__(self, vectors):
        width = np.shape(vectors)[1]
        super().__init__(name="fake", sha256="f", width=width, device="cpu", vectors=vectors)

    def embed_queries(self, texts, precision):
        return unit(self.vectors)[[int(text or 0) for text in texts]].astype(np.float32)


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


@pytest.fixture(scope="module")
def index_of(layout_of, new_folder):
    """Makes an index of vectors, not of texts."""

    def make(documents, relations, queries, first_id=0, nearest="exact"):
        folder, layout = new_folder(), layout_of(relations, first_id)
        embeddings = unit(documents)[layout.ids - first_id].astype(np.float16)
        np.save(folder / "embeddings.npy", embeddings)
        about = {"name": "fake", "sha256": "f", "width": embeddings.shape[1], "precision": "fp32"}
        (folder / "encoder.json").write_text(json.dumps(about))
        if nearest == "faiss":
            faiss_search.write_faiss_index(embeddings, folder)
        return Dense(folder, FakeEncoder(queries), layout, nearest)

    return make


def brute_force(documents, relations, query, wanted, top_k):
    """Ids and scores of the nearest, one after the other and in full precision."""
    query = unit([query])[0].astype(np.float32)
    if not query.any():  # as of words that an encoder does not know
        return []
    pairs = []
    for number, document in enumerate(unit(documents).astype(np.float16)):
        if wanted is None or relations[number] in wanted:
            cosine = math.fsum(float(x) * float(y) for x, y in zip(document, query, strict=True))
            pairs.append((number, np.float32(cosine)))
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:top_k]


def as_pairs(hits):
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


NAMES = ["a", "b", "c", None]
# Few different values: many duplicates, and many ties.
vectors = st.lists(st.integers(-2, 2), min_size=3, max_size=3)
wanted_relations = st.none() | st.frozensets(st.sampled_from([*NAMES, "unknown"]))


@settings(max_examples=100, deadline=None)
@given(
    corpus=st.lists(st.tuples(vectors, st.sampled_from(NAMES)), min_size=1, max_size=40),
    queries=st.lists(st.tuples(vectors, wanted_relations), min_size=1, max_size=6),
    top_k=st.integers(1, 12),
    rows=st.sampled_from([1, 3, 7, 8192]),
    queries_at_once=st.sampled_from([1, 2, 256]),
    spare=st.sampled_from([0, 1, 8]),
)
def test_exactly_the_nearest_are_found(
    index_of, corpus, queries, top_k, rows, queries_at_once, spare
):
    documents, relations = zip(*corpus, strict=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exact_search, "ROWS_AT_ONCE", rows)
        patched.setattr(exact_search, "QUERIES_AT_ONCE", {"cpu": queries_at_once})
        patched.setattr(exact_search, "SPARE", spare)
        index = index_of(documents, relations, [vector for vector, _ in queries])
        searched = [Query(str(n), relations=wanted) for n, (_, wanted) in enumerate(queries)]
        found = index.search(searched, top_k)
    for (vector, wanted), [hits] in zip(queries, found, strict=True):
        assert as_pairs(hits) == brute_force(documents, relations, vector, wanted, top_k)


@pytest.fixture(scope="module")
def corpus():
    """1,200 documents of 5 relations, a third of them (nearly) the same, and 60 queries."""
    random = np.random.default_rng(0)
    documents = random.standard_normal((1200, 48))
    documents[::3] = documents[0] + 1e-4 * random.standard_normal((400, 48))
    relations = random.choice(["a", "b", "c", "d", "e"], 1200).tolist()
    queries = random.standard_normal((60, 48))
    queries[:5] = documents[0] + 0.01 * random.standard_normal((5, 48))
    return documents, relations, queries


SOME = [None, frozenset("a"), frozenset("bd"), frozenset()] * 15
QUERIES = [Query(str(number), relations=names) for number, names in enumerate(SOME)]


def all_bytes(found):
    return b"|".join(
        hits.ids.tobytes() + hits.scores.tobytes() for of_query in found for hits in of_query
    )


def test_results_are_the_same_to_the_last_bit_whatever_the_blocks(index_of, corpus, monkeypatch):
    index = index_of(*corpus)
    expected = all_bytes(index.search(QUERIES, 20))
    for rows, queries, pairs in [(8192, 1, 1), (1, 256, 3), (97, 7, 5), (500, 16, 4096)]:
        monkeypatch.setattr(exact_search, "ROWS_AT_ONCE", rows)
        monkeypatch.setattr(exact_search, "QUERIES_AT_ONCE", {"cpu": queries})
        monkeypatch.setattr(exact_search, "PAIRS_AT_ONCE", pairs)
        assert all_bytes(index.search(QUERIES, 20)) == expected


@pytest.mark.parametrize("nearest", ["exact", "faiss"])
def test_and_whatever_the_shards_of_the_queries(nearest, index_of, corpus, few_rows):
    index = index_of(*corpus, nearest=nearest)
    whole = all_bytes(index.search(QUERIES, 20))
    bounds = np.linspace(0, 60, 8).astype(int)
    searched = [index.search(QUERIES[start:end], 20) for start, end in pairwise(bounds)]
    assert all_bytes([of_query for part in searched for of_query in part]) == whole


def test_and_whatever_the_shards_of_the_documents(index_of, corpus):
    documents, relations, queries = corpus
    shards = [
        index_of(documents[start:end], relations[start:end], queries, start)
        for start, end in pairwise([0, 500, 501, 1200])
    ]
    whole = index_of(*corpus)
    assert all_bytes(Shards(shards).search(QUERIES, 20)) == all_bytes(whole.search(QUERIES, 20))


def test_the_nearest_of_many_near_duplicates_are_found(index_of, corpus):
    documents, relations, queries = corpus
    found = index_of(*corpus).search([Query(str(n)) for n in range(5)], 30)
    for number, [hits] in enumerate(found):
        assert as_pairs(hits) == brute_force(documents, relations, queries[number], None, 30)
        assert set(hits.ids.tolist()) <= set(range(0, 1200, 3))


def test_each_suffix_of_a_query_is_searched_for_and_an_empty_query_finds_nothing(index_of):
    index = index_of([[1, 0], [0, 1]], ["a", None], [[1, 0], [0, 1]])
    assert index.relations == {"a", None}
    found = index.search([Query("", ("1", "0")), Query("")], 10**12)
    assert [[hits.ids.tolist() for hits in each] for each in found] == [[[1, 0], [0, 1]], [[]]]


def test_cosines_are_the_scores_of_the_search(index_of, corpus):
    index = index_of(*corpus, first_id=1000)
    [[hits]] = index.search([Query("7")], 50)
    embedding = index.embed_queries(["7"])[0]
    assert np.array_equal(index.cosines(embedding, hits.ids), hits.scores)
    assert index.cosines(embedding, hits.ids[:0]).tolist() == []


@pytest.fixture
def few_rows(monkeypatch):
    """FAISS searches a small corpus, too."""
    monkeypatch.setattr(faiss_search, "FEWEST_ROWS", 100)
    monkeypatch.setattr(faiss_search, "LISTS_SEARCHED", 16)


def test_faiss_finds_nearly_all_with_the_same_scores(index_of, corpus, few_rows):
    nearest, found = (
        index_of(*corpus, nearest=nearest).search(QUERIES, 20) for nearest in ("exact", "faiss")
    )
    shared = total = 0
    for query, [expected], [hits] in zip(QUERIES, nearest, found, strict=True):
        assert len(hits.ids) == len(expected.ids)
        assert query.relations is None or {corpus[1][i] for i in hits.ids} <= query.relations
        scores = dict(as_pairs(expected))
        assert all(scores.get(number, score) == score for number, score in as_pairs(hits))
        shared += len(scores.keys() & set(hits.ids.tolist()))
        total += len(scores)
    assert shared / total > 0.8


@pytest.fixture
def written(tiny, some_texts, layout_of, tmp_path, few_rows):
    """A folder with an index of FAISS for 400 documents, and a function that opens it."""
    layout = layout_of([None] * 400)
    write_embeddings(some_texts(400, longest=6), tiny, layout, tmp_path, "faiss")
    return tmp_path, lambda: Dense(tmp_path, tiny, layout, "faiss")


def test_the_same_embeddings_give_the_same_faiss_index(written):
    folder, _ = written
    first = (folder / "faiss.index").read_bytes()
    faiss_search.write_faiss_index(np.load(folder / "embeddings.npy"), folder)
    assert (folder / "faiss.index").read_bytes() == first


def test_a_missing_or_damaged_faiss_index_is_refused(written):
    folder, reopen = written
    file = folder / "faiss.index"
    reopen()
    whole = file.read_bytes()
    faiss_search.write_faiss_index(np.load(folder / "embeddings.npy")[:200], folder)
    for content in (b"", whole[: len(whole) // 2], whole[:-1], file.read_bytes()):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"^faiss\.index "):
            reopen()
    file.unlink()
    with pytest.raises(KformerError, match=r"faiss\.index: .* build it again"):
        reopen()


def test_few_embeddings_need_no_faiss_index(tiny, layout_of, tmp_path):
    layout = layout_of([None] * 3)
    write_embeddings(["a pet", "a job", "a dog"], tiny, layout, tmp_path, "faiss")
    assert not (tmp_path / "faiss.index").exists()
    exact, found = (
        Dense(tmp_path, tiny, layout, nearest).search([Query("a dog")], 2)
        for nearest in ("exact", "faiss")
    )
    assert all_bytes(exact) == all_bytes(found)


def test_without_faiss_it_says_how_to_get_it(tiny, layout_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(KformerError, match=r"pip install .*\.\[faiss\]"):
        write_embeddings(["a"], tiny, layout_of([None]), tmp_path, "faiss")
