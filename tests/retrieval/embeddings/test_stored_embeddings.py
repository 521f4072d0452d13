"""Embeddings on disk: what is written, and how damage is noticed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from kformer.errors import KformerError
from kformer.retrieval.embeddings import stored_embeddings
from kformer.retrieval.embeddings.dense_search import Dense
from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder
from kformer.retrieval.embeddings.stored_embeddings import write_embeddings
from kformer.retrieval.query import Query


@pytest.mark.parametrize(("first_id", "at_once"), [(0, 16_384), (70, 7)])
def test_embeddings_are_written_in_the_order_of_relations(
    first_id, at_once, tiny, some_texts, layout_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(stored_embeddings, "DOCUMENTS_AT_ONCE", at_once)
    texts = some_texts(40)
    layout = layout_of([["xWant", "xNeed", None][number % 3] for number in range(40)], first_id)
    write_embeddings(iter(texts), tiny, layout, tmp_path)
    written = np.load(tmp_path / "embeddings.npy")
    assert written.dtype == np.float16
    ordered = [texts[number - first_id] for number in layout.ids]
    assert np.array_equal(written, tiny.embed_documents(ordered).astype(np.float16))
    about = json.loads((tmp_path / "encoder.json").read_text())
    names = ("name", "sha256", "width", "precision")
    assert about == {name: getattr(tiny, name) for name in names}


def test_no_documents(tiny, layout_of, tmp_path):
    layout = layout_of([])
    write_embeddings([], tiny, layout, tmp_path)
    for nearest in ("exact", "faiss"):
        index = Dense(tmp_path, tiny, layout, nearest)
        found = index.search([Query("a", ("b", "c")), Query("d", relations=frozenset("x"))], 3)
        assert [[len(hits.ids) for hits in of_query] for of_query in found] == [[0, 0], [0]]


def test_documents_of_another_encoder_are_refused(tiny, layout_of, tmp_path):
    layout = layout_of([None])
    write_embeddings(["a"], tiny, layout, tmp_path)
    other = SimpleNamespace(name="other", sha256="0" * 64, width=32)
    with pytest.raises(KformerError, match=r"encoder\.json: .* build the index again") as error:
        Dense(tmp_path, other, layout)
    assert "'other'" in str(error.value) and tiny.name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("built", "searching"), [("bf16", "fp32"), ("fp32", "bf16")])
def test_queries_are_embedded_in_the_precision_of_the_documents(
    built, searching, tiny_encoder, some_texts, layout_of, tmp_path
):
    builder, searcher = (SentenceEncoder(str(tiny_encoder), each) for each in (built, searching))
    texts, layout = some_texts(20), layout_of([None] * 20)
    write_embeddings(texts, builder, layout, tmp_path)
    assert json.loads((tmp_path / "encoder.json").read_text())["precision"] == built
    index = Dense(tmp_path, searcher, layout)
    assert np.array_equal(index.embed_queries(texts), builder.embed_queries(texts))


@pytest.fixture
def written(tiny, some_texts, layout_of, tmp_path):
    """A folder with the embeddings of six documents, and a function that opens it."""
    layout = layout_of([None] * 6)
    write_embeddings(some_texts(6), tiny, layout, tmp_path)
    return tmp_path, lambda: Dense(tmp_path, tiny, layout)


@pytest.mark.parametrize("file", ["embeddings.npy", "encoder.json"])
def test_half_a_file_is_a_value_error(file, written):
    folder, reopen = written
    content = (folder / file).read_bytes()
    for size in {0, 1, 7, 12, 60, 100, len(content) // 2, len(content) - 3}:
        (folder / file).write_bytes(content[:size])
        with pytest.raises(ValueError):
            reopen()
    (folder / file).unlink()
    with pytest.raises(OSError):
        reopen()


@pytest.mark.parametrize("old_and_new", [("{", "("), ("{", ","), ("(6,", "(6("), ("6", "9")])
def test_a_damaged_header_of_embeddings_is_a_value_error(old_and_new, written):
    folder, reopen = written
    content = (folder / "embeddings.npy").read_bytes()
    old, new = map(str.encode, old_and_new)
    (folder / "embeddings.npy").write_bytes(content.replace(old, new, 1))
    with pytest.raises(ValueError):
        reopen()


SHAPES = [(5, 32), (7, 32), (6, 31), (32, 6), (6 * 32,)]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [*((shape, "float16") for shape in SHAPES), *(((6, 32), name) for name in ("f4", "i2", "O"))],
)
def test_embeddings_of_another_shape_or_type_are_a_value_error(shape, dtype, written):
    folder, reopen = written
    np.save(folder / "embeddings.npy", np.zeros(shape, dtype))
    with pytest.raises(ValueError):
        reopen()


@pytest.mark.parametrize("content", ["[]", '"text"', "null", "{}", '{"sha256": 5}'])
def test_what_describes_no_encoder_is_a_value_error(content, written):
    folder, reopen = written
    (folder / "encoder.json").write_text(content)
    with pytest.raises(ValueError, match=r"encoder\.json names no"):
        reopen()


@pytest.mark.parametrize("precision", [None, "fp8", ["bf16"]])
def test_an_unknown_precision_is_a_value_error(precision, tiny, written):
    folder, reopen = written
    about = {"sha256": tiny.sha256, "precision": precision}
    (folder / "encoder.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"encoder\.json has the precision"):
        reopen()
