"""Search by sentence embeddings: what is written, what is read, and the nearest of all."""

import json
import math
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.embeddings import nearest as dense
from kformer.retrieval.embeddings.nearest import Dense, write_embeddings
from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder
from kformer.retrieval.query import Query, Shards

WORDS = "pet job dog cat pilot rain river city likes wants because zorbak personx's".split()


def some_texts(count, seed=0, longest=60):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(count)]


def layout_of(relations, first_id=0):
    return ByRelation.of(pa.chunked_array([pa.array(relations, pa.string())]), first_id)


@pytest.fixture
def tiny(tiny_encoder):
    return SentenceEncoder(str(tiny_encoder))


# --- writing


@pytest.mark.parametrize("first_id", [0, 70])
@pytest.mark.parametrize("at_once", [7, 16_384])
def test_embeddings_are_written_in_the_order_of_relations(
    first_id, at_once, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(dense, "_DOCUMENTS_AT_ONCE", at_once)
    texts = some_texts(40)
    layout = layout_of([["xWant", "xNeed", None][number % 3] for number in range(40)], first_id)
    write_embeddings(iter(texts), tiny, layout, tmp_path)
    written = np.load(tmp_path / "embeddings.npy")
    assert written.dtype == np.float16
    ordered = [texts[number - first_id] for number in layout.ids]
    assert np.array_equal(written, tiny.embed_documents(ordered).astype(np.float16))
    about = json.loads((tmp_path / "encoder.json").read_text())
    assert about == {
        "name": tiny.name, "sha256": tiny.sha256, "width": 32, "precision": tiny.precision
    }  # fmt: skip


def test_no_documents(tiny, tmp_path):
    layout = layout_of([])
    write_embeddings([], tiny, layout, tmp_path)
    for nearest in ("exact", "faiss"):
        index = Dense(tmp_path, tiny, layout, nearest)
        found = index.search([Query("a", ("b", "c")), Query("d", relations=frozenset("x"))], 3)
        assert [[len(hits.ids) for hits in of_query] for of_query in found] == [[0, 0], [0]]


def test_documents_of_another_encoder_are_refused(tiny, tmp_path):
    layout = layout_of([None])
    write_embeddings(["a"], tiny, layout, tmp_path)
    other = SimpleNamespace(name="other", sha256="0" * 64, width=32)
    with pytest.raises(KformerError, match=r"encoder\.json: .* build the index again") as error:
        Dense(tmp_path, other, layout)
    assert "'other'" in str(error.value) and tiny.name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("built", ["bf16", "fp32"])
@pytest.mark.parametrize("searching", ["bf16", "fp32"])
def test_queries_are_embedded_in_the_precision_of_the_documents(
    built, searching, tiny_encoder, tmp_path
):
    builder, searcher = (SentenceEncoder(str(tiny_encoder), each) for each in (built, searching))
    texts, layout = some_texts(20), layout_of([None] * 20)
    write_embeddings(texts, builder, layout, tmp_path)
    assert json.loads((tmp_path / "encoder.json").read_text())["precision"] == built
    index = Dense(tmp_path, searcher, layout)
    assert np.array_equal(index.embed_queries(texts), builder.embed_queries(texts))
    queries = [Query(text) for text in texts]
    there = Dense(tmp_path, builder, layout).search(queries, 5)
    assert all_bytes(index.search(queries, 5)) == all_bytes(there)


@pytest.fixture
def written(tiny, tmp_path):
    """A folder with the embeddings of six documents."""
    write_embeddings(some_texts(6), tiny, layout_of([None] * 6), tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", ["embeddings.npy", "encoder.json"])
def test_half_a_file_is_a_value_error(file, written, tiny):
    content = (written / file).read_bytes()
    for size in {0, 1, 7, 12, 60, 100, len(content) // 2, len(content) - 3}:
        (written / file).write_bytes(content[:size])
        with pytest.raises(ValueError):
            Dense(written, tiny, layout_of([None] * 6))
    (written / file).unlink()
    with pytest.raises(OSError):
        Dense(written, tiny, layout_of([None] * 6))


@pytest.mark.parametrize(
    "old_and_new", [(b"{", b"("), (b"{", b","), (b"(6,", b"(6("), (b"6", b"9")]
)
def test_a_damaged_header_of_embeddings_is_a_value_error(old_and_new, written, tiny):
    content = (written / "embeddings.npy").read_bytes()
    (written / "embeddings.npy").write_bytes(content.replace(*old_and_new, 1))
    with pytest.raises(ValueError):
        Dense(written, tiny, layout_of([None] * 6))


@pytest.mark.parametrize(
    "embeddings",
    [
        np.zeros((5, 32), np.float16),
        np.zeros((7, 32), np.float16),
        np.zeros((6, 31), np.float16),
        np.zeros((32, 6), np.float16),
        np.zeros(6 * 32, np.float16),
        np.zeros((6, 32), np.float32),
        np.zeros((6, 32), np.int16),
        np.array(["pickled", {}], dtype=object),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_embeddings_of_another_shape_or_type_are_a_value_error(embeddings, written, tiny):
    np.save(written / "embeddings.npy", embeddings)
    with pytest.raises(ValueError):
        Dense(written, tiny, layout_of([None] * 6))


@pytest.mark.parametrize(
    "change",
    [
        "[]", '"text"', "null", "{}", {"sha256": None}, {"sha256": 5},
        {"precision": None}, {"precision": "fp8"}, {"precision": ["bf16"]},
    ],
)  # fmt: skip
def test_what_describes_no_encoder_is_a_value_error(change, written, tiny):
    file = written / "encoder.json"
    if isinstance(change, dict):
        change = json.dumps(json.loads(file.read_text()) | change)
    file.write_text(change)
    with pytest.raises(ValueError, match=r"encoder\.json (names no|has the precision)"):
        Dense(written, tiny, layout_of([None] * 6))


# --- the nearest


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


def index_of(folder, documents, relations, queries, first_id=0, nearest="exact"):
    """An index of vectors, not of texts."""
    layout = layout_of(relations, first_id)
    embeddings = unit(documents)[layout.ids - first_id].astype(np.float16)
    np.save(folder / "embeddings.npy", embeddings)
    about = {"name": "fake", "sha256": "f", "width": embeddings.shape[1], "precision": "fp32"}
    (folder / "encoder.json").write_text(json.dumps(about))
    if nearest == "faiss":
        dense._write_faiss(folder)
    return Dense(folder, FakeEncoder(queries), layout, nearest)


def brute_force(documents, relations, query, wanted, top_k):
    """Ids and scores of the nearest, one after the other and in full precision."""
    query = unit([query])[0].astype(np.float32)
    scores = {}
    for number, document in enumerate(unit(documents).astype(np.float16)):
        if wanted is None or relations[number] in wanted:
            exact = math.fsum(float(x) * float(y) for x, y in zip(document, query, strict=True))
            scores[number] = np.float32(exact)
    ranked = sorted(scores, key=lambda number: (-scores[number], number))[:top_k]
    return ranked, [scores[number] for number in ranked]


NAMES = ["a", "b", "c", None]
# Few different values: many duplicates, and many ties.
vectors = st.lists(st.integers(-2, 2), min_size=3, max_size=3)
wanted_relations = st.none() | st.frozensets(st.sampled_from([*NAMES, "unknown"]))


@settings(max_examples=200, deadline=None)
@given(
    corpus=st.lists(st.tuples(vectors, st.sampled_from(NAMES)), min_size=1, max_size=40),
    queries=st.lists(st.tuples(vectors, wanted_relations), min_size=1, max_size=6),
    top_k=st.integers(1, 12),
    rows=st.sampled_from([1, 3, 7, 8192]),
    queries_at_once=st.sampled_from([1, 2, 256]),
    spare=st.sampled_from([0, 1, 8]),
)
def test_exactly_the_nearest_are_found(corpus, queries, top_k, rows, queries_at_once, spare):
    documents, relations = zip(*corpus, strict=True)
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.setattr(dense, "_ROWS_AT_ONCE", rows)
        patched.setattr(dense, "_QUERIES_AT_ONCE", {"cpu": queries_at_once})
        patched.setattr(dense, "_SPARE", spare)
        index = index_of(Path(folder), documents, relations, [vector for vector, _ in queries])
        asked = [Query(str(n), relations=wanted) for n, (_, wanted) in enumerate(queries)]
        found = index.search(asked, top_k)
    for (vector, wanted), [hits] in zip(queries, found, strict=True):
        ids, scores = brute_force(documents, relations, vector, wanted, top_k)
        assert hits.ids.tolist() == ids
        assert hits.scores.tolist() == scores


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


SOME = [None, frozenset("a"), frozenset("bd"), frozenset()]
ASKED = [Query(str(number), relations=SOME[number % 4]) for number in range(60)]


def all_bytes(found):
    return b"|".join(
        hits.ids.tobytes() + hits.scores.tobytes() for of_query in found for hits in of_query
    )


def test_results_are_the_same_to_the_last_bit_whatever_the_blocks(tmp_path, corpus, monkeypatch):
    index = index_of(tmp_path, *corpus)
    expected = all_bytes(index.search(ASKED, 20))
    for rows, queries, pairs in [(8192, 1, 1), (1, 256, 3), (97, 7, 5), (500, 16, 4096)]:
        monkeypatch.setattr(dense, "_ROWS_AT_ONCE", rows)
        monkeypatch.setattr(dense, "_QUERIES_AT_ONCE", {"cpu": queries})
        monkeypatch.setattr(dense, "_PAIRS_AT_ONCE", pairs)
        assert all_bytes(index.search(ASKED, 20)) == expected


@pytest.mark.parametrize("parts", [2, 7])
@pytest.mark.parametrize("nearest", ["exact", "faiss"])
def test_and_whatever_the_shards_of_the_queries(parts, nearest, tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(dense, "_FEWEST_ROWS", 100)
    index = index_of(tmp_path, *corpus, nearest=nearest)
    whole = all_bytes(index.search(ASKED, 20))
    bounds = np.linspace(0, 60, parts + 1).astype(int)
    searched = [index.search(ASKED[start:end], 20) for start, end in pairwise(bounds)]
    assert all_bytes([of_query for part in searched for of_query in part]) == whole


def test_and_whatever_the_shards_of_the_documents(tmp_path, corpus):
    documents, relations, queries = corpus
    (tmp_path / "whole").mkdir()
    whole = index_of(tmp_path / "whole", *corpus)
    shards = []
    for start, end in [(0, 500), (500, 501), (501, 1200)]:
        folder = tmp_path / str(start)
        folder.mkdir()
        part = slice(start, end)
        shards.append(index_of(folder, documents[part], relations[part], queries, start))
    assert all_bytes(Shards(shards).search(ASKED, 20)) == all_bytes(whole.search(ASKED, 20))


def test_the_nearest_of_many_near_duplicates_are_found(tmp_path, corpus):
    documents, relations, queries = corpus
    index = index_of(tmp_path, *corpus)
    for number, [hits] in enumerate(index.search([Query(str(n)) for n in range(5)], 30)):
        ids, scores = brute_force(documents, relations, queries[number], None, 30)
        assert hits.ids.tolist() == ids and hits.scores.tolist() == scores
        assert set(ids) <= set(range(0, 1200, 3))


@pytest.mark.parametrize("nearest", ["exact", "faiss"])
def test_no_more_is_searched_for_than_there_is(nearest, tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(dense, "_FEWEST_ROWS", 100)
    asked = []
    best = dense._Best
    monkeypatch.setattr(dense, "_Best", lambda *sizes: asked.append(sizes[1]) or best(*sizes))
    index = index_of(tmp_path, *corpus, nearest=nearest)
    [[hits]] = index.search([Query("0")], 10**12)
    assert len(hits.ids) == 1200 and set(asked) == {1200}


def test_each_ending_of_a_query_is_searched_for(tmp_path):
    class Encoder(FakeEncoder):
        def embed_queries(self, texts, precision):
            return np.array([[1, 0] if "pets" in text else [0, 1] for text in texts], np.float32)

    index = index_of(tmp_path, [[1, 0], [0, 1]], [None, None], [[1, 0]])
    index.encoder = Encoder([[1, 0]])
    [[pets, jobs]] = index.search([Query("about", ("pets", "jobs"))], 1)
    assert pets.ids.tolist() == [0] and jobs.ids.tolist() == [1]


def test_an_empty_query_is_near_to_nothing(tmp_path):
    index = index_of(tmp_path, [[1, 0], [0, 1]], [None, None], [[1, 0]])
    [[nothing], [all_of_them]] = index.search([Query(""), Query("0")], 5)
    assert len(nothing.ids) == 0
    assert all_of_them.ids.tolist() == [0, 1]


def test_only_relations_that_are_asked_for_are_read(tmp_path, corpus, monkeypatch):
    index = index_of(tmp_path, *corpus)
    read = []
    blocks = dense._blocks
    monkeypatch.setattr(dense, "_blocks", lambda spans: read.extend(spans) or blocks(spans))
    index.search([Query("0", relations=frozenset("b")), Query("1", relations=frozenset("b"))], 3)
    [[start, end]] = read
    assert end - start == corpus[1].count("b")


def test_cosines_are_the_scores_of_the_search(tmp_path, corpus):
    documents, relations, queries = corpus
    index = index_of(tmp_path, documents, relations, queries, first_id=1000)
    [[hits]] = index.search([Query("7")], 50)
    embedding = index.embed_queries(["7"])[0]
    assert np.array_equal(index.cosines(embedding, hits.ids), hits.scores)
    assert index.cosines(embedding, hits.ids[:0]).tolist() == []


def test_the_relations_of_an_index_are_known(tmp_path):
    index = index_of(tmp_path, [[1, 0], [0, 1]], ["a", None], [[1, 0]])
    assert index.relations == {"a", None}


# --- FAISS


def test_faiss_finds_nearly_all_with_the_same_scores(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(dense, "_FEWEST_ROWS", 100)
    monkeypatch.setattr(dense, "_LISTS_SEARCHED", 16)
    exact = index_of(tmp_path, *corpus).search(ASKED, 20)
    found = index_of(tmp_path, *corpus, nearest="faiss").search(ASKED, 20)
    shared = total = 0
    for [expected], [hits] in zip(exact, found, strict=True):
        assert len(hits.ids) == len(expected.ids)
        scores = dict(zip(expected.ids.tolist(), expected.scores.tolist(), strict=True))
        for number, score in zip(hits.ids.tolist(), hits.scores.tolist(), strict=True):
            assert scores.get(number, score) == score
        shared += len(scores.keys() & set(hits.ids.tolist()))
        total += len(scores)
    assert shared / total > 0.8


def test_relations_hold_for_faiss_too(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(dense, "_FEWEST_ROWS", 100)
    index = index_of(tmp_path, *corpus, nearest="faiss")
    relations = np.array(corpus[1])
    for query, [hits] in zip(ASKED, index.search(ASKED, 20), strict=True):
        assert query.relations is None or set(relations[hits.ids]) <= query.relations


def test_the_same_embeddings_give_the_same_faiss_index(tmp_path, corpus):
    index_of(tmp_path, *corpus, nearest="faiss")
    first = (tmp_path / "faiss.index").read_bytes()
    index_of(tmp_path, *corpus, nearest="faiss")
    assert (tmp_path / "faiss.index").read_bytes() == first


def test_few_embeddings_need_no_faiss_index(tiny, tmp_path):
    layout = layout_of([None] * 3)
    write_embeddings(["a pet", "a job", "a dog"], tiny, layout, tmp_path, "faiss")
    assert not (tmp_path / "faiss.index").exists()
    exact, found = (
        Dense(tmp_path, tiny, layout, nearest).search([Query("a dog")], 2)
        for nearest in ("exact", "faiss")
    )
    assert all_bytes(exact) == all_bytes(found)


def test_an_index_that_was_built_without_faiss_is_refused(tiny, tmp_path, monkeypatch):
    layout = layout_of([None] * 200)
    write_embeddings(some_texts(200), tiny, layout, tmp_path)
    monkeypatch.setattr(dense, "_FEWEST_ROWS", 100)
    with pytest.raises(KformerError, match=r"faiss\.index: .* build it again"):
        Dense(tmp_path, tiny, layout, "faiss")
    write_embeddings(some_texts(200), tiny, layout, tmp_path, "faiss")
    Dense(tmp_path, tiny, layout, "faiss")


def test_a_damaged_faiss_index_is_a_value_error(tmp_path, corpus, monkeypatch):
    documents, relations, queries = corpus
    monkeypatch.setattr(dense, "_FEWEST_ROWS", 100)
    index_of(tmp_path, documents[:400], relations[:400], queries, nearest="faiss")
    of_others = (tmp_path / "faiss.index").read_bytes()
    index_of(tmp_path, *corpus, nearest="faiss")
    whole = (tmp_path / "faiss.index").read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-1], of_others):
        (tmp_path / "faiss.index").write_bytes(content)
        with pytest.raises(ValueError, match=r"^faiss\.index "):
            Dense(tmp_path, FakeEncoder(queries), layout_of(relations), "faiss")


def test_without_faiss_it_says_how_to_get_it(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(KformerError, match=r"pip install .*\.\[faiss\]"):
        write_embeddings(["a"], tiny, layout_of([None]), tmp_path, "faiss")
