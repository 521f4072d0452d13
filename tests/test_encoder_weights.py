"""Weights that are not those of the model built for them stop the load, and all others load."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

from kformer.errors import KformerError
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.pretrained import check_encoder, load_encoder, load_tokenizer
from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder
from kformer.retrieval.embeddings.sentence_modules import check_modules

WORDS = "embeddings.word_embeddings.weight"
LOADS = [load_encoder, check_encoder, SentenceEncoder, check_modules]
every_load = pytest.mark.parametrize("load", LOADS)


@pytest.fixture
def changed(tiny_encoder, tmp_path):
    """Copies the tiny encoder with other weights and another config.json."""

    def change(weights=lambda weights: weights, **config):
        folder = shutil.copytree(tiny_encoder, tmp_path / "changed", dirs_exist_ok=True)
        new = weights(load_file(tiny_encoder / "model.safetensors"))
        save_file(new, folder / "model.safetensors", metadata={"format": "pt"})
        old = json.loads((tiny_encoder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(old | config))
        return folder

    return change


def refusal(load, folder):
    """The one line that refuses an encoder."""
    with pytest.raises(KformerError) as error:
        load(str(folder))
    key, message = str(error.value).split(": ", 1)
    assert key == (
        "model.encoder" if load in (load_encoder, check_encoder) else "retrieval.encoder"
    )
    assert str(folder) in message and "\n" not in message
    return message


def prefixed(prefix):
    return lambda weights: {f"{prefix}{name}": value for name, value in weights.items()}


def without(part):
    return lambda weights: {name: value for name, value in weights.items() if part not in name}


def with_value(value):
    def spoil(weights):
        weights[WORDS][3, 5] = value
        return weights

    return spoil


# --- names and shapes


@every_load
@pytest.mark.parametrize("prefix", ["module.", "encoder_q.", "model.bert.", "0.auto_model."])
def test_weights_with_other_names_are_missing(load, prefix, changed, capfd):
    message = refusal(load, changed(prefixed(prefix)))
    assert "71 of 71 weights are missing" in message
    assert f"({WORDS}, …; it is there as {prefix}{WORDS})" in message
    assert capfd.readouterr() == ("", "")


@every_load
@pytest.mark.parametrize(
    ("weights", "config", "said"),
    [
        (without("layer.2."), {}, "16 of 71 weights are missing"),
        (without(WORDS), {}, f"1 of 71 weights are missing in .* \\({WORDS}\\)"),
        (dict, {"num_hidden_layers": 6}, "32 of 103 weights are missing .*encoder.layer.4"),
        (dict, {"num_hidden_layers": 3}, "16 of the weights in .* no place in .*encoder.layer.3"),
        (
            prefixed("bert."),
            {"num_hidden_layers": 3},
            "16 of the weights in .* no place in .*layer.3",
        ),
        (dict, {"intermediate_size": 48}, r"12 of 71 weights .* shape .*\(64,\), expected \(48,\)"),
        (dict, {"vocab_size": 40}, rf"1 of 71 weights .* another shape .*{WORDS}"),
        (dict, {"max_position_embeddings": 512}, "1 of 71 weights .* another shape"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused(
    load, weights, config, said, changed, capfd
):
    message = refusal(load, changed(weights, **config))
    assert re.search(said, message), message
    assert capfd.readouterr() == ("", "")


@every_load
def test_an_encoder_that_is_turned_into_a_decoder_is_refused(load, changed):
    assert "lets each token see only those before it, which is not how bert encodes" in refusal(
        load, changed(is_decoder=True)
    )
    refusal(load, changed(add_cross_attention=True))
    refusal(load, changed(is_decoder=True, add_cross_attention=True))


@pytest.mark.parametrize("load", [load_encoder, check_encoder])
@pytest.mark.parametrize("kind", ["bin", "sharded", "sharded bin"])
def test_weights_are_checked_in_every_kind_of_file(load, kind, changed):
    folder = changed()
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for good in (True, False):
        named = weights if good else prefixed("module.")(weights)
        halves = [dict(list(named.items())[::2]), dict(list(named.items())[1::2])]
        if kind == "bin":
            torch.save(named, folder / "pytorch_model.bin")
        else:
            base, end = (
                ("pytorch_model", "bin") if kind.endswith("bin") else ("model", "safetensors")
            )
            files = [f"{base}-0000{number}-of-00002.{end}" for number in (1, 2)]
            for file, half in zip(files, halves, strict=True):
                if end == "bin":
                    torch.save(half, folder / file)
                else:
                    save_file(half, folder / file, metadata={"format": "pt"})
            where = {name: file for file, half in zip(files, halves, strict=True) for name in half}
            index = {"metadata": {"total_size": 1}, "weight_map": where}
            (folder / f"{base}.{end}.index.json").write_text(json.dumps(index))
        if good:
            load(str(folder))
        else:
            assert "71 of 71 weights are missing" in refusal(load, folder)


@every_load
def test_what_released_checkpoints_lack_or_hold_besides_is_fine(load, tiny_encoder, tmp_path):
    config = BertConfig.from_pretrained(tiny_encoder)
    model = BertForMaskedLM(config)  # has a head, has no pooler, and other names
    model.bert.load_state_dict(BertModel.from_pretrained(tiny_encoder).state_dict(), strict=False)
    model.half().save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert "bert.pooler.dense.weight" not in stored
    assert "cls.predictions.bias" in stored
    stored["bert.embeddings.position_ids"] = torch.arange(96)[None]
    save_file(stored, tmp_path / "model.safetensors", metadata={"format": "pt"})
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    load(str(tmp_path))


@every_load
def test_more_embeddings_than_tokens_are_fine(load, changed):
    def padded(weights):
        rows = weights[WORDS]
        return weights | {WORDS: torch.cat([rows, rows[:7]])}

    tokens = len(AutoTokenizer.from_pretrained(changed()))
    load(str(changed(padded, vocab_size=tokens + 7)))


@pytest.mark.parametrize("load", [check_encoder, SentenceEncoder, check_modules])
def test_fewer_embeddings_than_tokens_are_refused(load, changed):
    tokens = len(AutoTokenizer.from_pretrained(changed()))
    folder = changed(lambda weights: weights | {WORDS: weights[WORDS][:40]}, vocab_size=40)
    assert f"the tokenizer has {tokens} tokens, " in refusal(load, folder)


def test_fewer_embeddings_than_tokens_are_refused_where_a_model_is_trained(changed):
    folder = changed(lambda weights: weights | {WORDS: weights[WORDS][:40]}, vocab_size=40)
    model = KformerForMultipleChoice.from_encoder(folder)
    with pytest.raises(KformerError, match=r"^model\.encoder: the tokenizer has .* embed 40; "):
        KformerProcessor(load_tokenizer(folder), model.config)


@pytest.mark.parametrize("load", [load_encoder, SentenceEncoder])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers_are_refused(load, value, changed):
    message = refusal(load, changed(with_value(value)))
    assert (
        "1 of the weights in" in message
        and "hold NaN or infinity" in message
        and f"{WORDS}); get them again" in message
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"layer_norm_eps": -10.0}, "computes is NaN or infinite"),
        ({"return_dict": False}, "cannot be loaded"),
        ({"chunk_size_feed_forward": []}, "cannot be loaded"),
    ],
)
def test_an_encoder_that_cannot_compute_is_refused(config, said, changed):
    assert said in refusal(load_encoder, changed(**config))


# --- saved models


@pytest.fixture
def trained(tiny_encoder, tmp_path):
    """A saved model, whose weights a test changes."""
    folder = tmp_path / "model"
    KformerForMultipleChoice.from_encoder(tiny_encoder, injection="ffn").save_pretrained(folder)

    def change(weights):
        new = weights(load_file(folder / "model.safetensors"))
        save_file(new, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return change


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (without("out_proj.bias"), r"1 of \d+ weights are missing in {} \(head.out_proj.bias\)"),
        (prefixed("module."), r"are missing in {} \(.*it is there as module\."),
        (lambda weights: weights | {"head.more": torch.ones(1)}, r"no place .*\(head.more\)"),
        (lambda weights: weights | {"other": torch.ones(1)}, r"no place .*\(other\)"),
        (lambda weights: weights | {"head.dense.bias": torch.ones(3)}, r"\(3,\), expected \(32,\)"),
        (lambda w: w | {"head.dense.bias": torch.full((32,), torch.nan)}, r"NaN or infinity"),
    ],
)
def test_a_saved_model_has_all_its_weights_and_no_others(weights, said, trained, capfd):
    folder = trained(weights)
    capfd.readouterr()
    with pytest.raises(KformerError, match=r"^model: .*" + said.format(folder)) as error:
        KformerForMultipleChoice.from_pretrained(folder)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"half of it"])
def test_a_damaged_saved_model_is_one_line(file, content, trained):
    folder = trained(dict)
    (folder / file).write_bytes(content)
    with pytest.raises(KformerError, match=rf"^model: '{folder}' cannot be loaded") as error:
        KformerForMultipleChoice.from_pretrained(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_saved_model_that_lacks_a_file_is_one_line(file, trained):
    folder = trained(dict)
    (folder / file).unlink()
    with pytest.raises(KformerError, match=rf"^model: .*{folder}") as error:
        KformerForMultipleChoice.from_pretrained(folder)
    assert "\n" not in str(error.value)


def test_what_was_not_right_can_be_asked_for_as_of_any_model(trained):
    model, report = KformerForMultipleChoice.from_pretrained(
        trained(dict), output_loading_info=True
    )
    assert isinstance(model, KformerForMultipleChoice)
    assert not any(report.values())


# --- hubs


@pytest.fixture(scope="module")
def server():
    """A hub that answers each request with an error, and notes what it was asked for."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


# In a process of its own, for the client reads its address once; it sleeps between its tries.
LOADING = """
import time
time.sleep = lambda seconds: None
from kformer.errors import KformerError
from {0.__module__} import {0.__name__} as load
try:
    load("no-org/no-model")
except KformerError as error:
    print(error)
"""


@pytest.mark.parametrize("load", [load_encoder, load_tokenizer, SentenceEncoder])
def test_a_hub_that_fails_is_one_line(load, server, tmp_path):
    address, asked = server
    asked.clear()
    done = subprocess.run(
        [sys.executable, "-c", LOADING.format(load)],
        env=dict(os.environ, HF_ENDPOINT=address, HF_HOME=str(tmp_path), NO_PROXY="127.0.0.1"),
        text=True,
        capture_output=True,
    )
    assert len(asked) > 1
    assert "'no-org/no-model' cannot be loaded" in done.stdout and done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_the_command_checks_what_is_here_and_leaves_what_must_be_downloaded(
    changed, kformer, tmp_path, monkeypatch
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    spoiled = changed(prefixed("module."))
    snapshot = tmp_path / "models--org--cached/snapshots/abc"
    shutil.copytree(spoiled, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc")
    elsewhere = ["check-encoders", "--model", "no-org/no-model", "--retrieval", "no-org/no-model"]
    assert kformer(*elsewhere) == (0, "", "")
    for option in ("model", "retrieval"):
        for name in (str(spoiled), "org/cached"):
            status, out, said = kformer(*elsewhere, f"--{option}", name)
            assert (status, out, said.count("\n")) == (1, "", 1)
            begin = f"error: {option}.encoder: 71 of 71 weights are missing in {name} ({WORDS}, "
            assert said.startswith(begin)
