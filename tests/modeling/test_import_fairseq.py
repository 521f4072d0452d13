"""Released checkpoints: they compute the same here, and nothing else is let in."""

import argparse
import math
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from typer.testing import CliRunner

from kformer.cli import app
from kformer.errors import KformerError
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.import_fairseq import import_checkpoint

from .conftest import properties

GOLDEN = Path(__file__).parent / "golden"
ENCODER = "encoder.sentence_encoder"
PADDING = 1
TOLERANCE = 1e-5


@pytest.fixture(params=["social_iqa", "med_qa"])
def golden(request):
    return GOLDEN / request.param


@pytest.fixture
def contents():
    """What is in a released checkpoint, to be changed by a test."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(GOLDEN / "social_iqa/checkpoint_best.pt", weights_only=True)


@pytest.fixture
def refusal(contents, tmp_path):
    """The one line with which changed contents are refused."""

    def refused(injection="ffn"):
        torch.save(contents, tmp_path / "checkpoint.pt")
        with pytest.raises(KformerError) as error:
            import_checkpoint(tmp_path / "checkpoint.pt", tmp_path / "out", injection)
        message = str(error.value)
        assert message.startswith(str(tmp_path / "checkpoint.pt")) and "\n" not in message
        assert not (tmp_path / "out").exists()
        return message

    return refused


def imported(golden, folder, injection):
    import_checkpoint(golden / "checkpoint_best.pt", folder, injection)
    return KformerForMultipleChoice.from_pretrained(folder).eval()


def golden_inputs(golden):
    device = torch.get_default_device().type
    expected = load_file(golden / "expected.safetensors", device)
    inputs = {name: expected[name] for name in ("input_ids", "fact_input_ids", "labels")}
    inputs["attention_mask"] = (inputs["input_ids"] != PADDING).long()
    inputs["fact_attention_mask"] = (inputs["fact_input_ids"] != PADDING).long()
    return inputs, expected


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("injection", ["none", "ffn", "attention"])
def test_logits_are_those_of_the_released_implementation(golden, injection, tmp_path):
    inputs, expected = golden_inputs(golden)
    with torch.no_grad():
        found = imported(golden, tmp_path / "model", injection)(**inputs).logits
    close(found, expected[f"{injection}_logits"])


def test_states_loss_and_gradients_are_those_of_the_released_implementation(golden, tmp_path):
    inputs, expected = golden_inputs(golden)
    model = imported(golden, tmp_path / "model", "ffn")
    states = []
    model.head.register_forward_pre_hook(lambda _, args: states.append(args[0]))
    loss = model(**inputs).loss
    loss.backward()
    close(states[0].view_as(expected["ffn_cls"]), expected["ffn_cls"])
    close(loss[None], expected["ffn_loss"])
    first = model.injection.layers[0]
    for name, weight in {
        "grad_kfc1_first": first.key.weight,
        "grad_kfc2_first": first.value.weight,
        "grad_kembed": model.fact_embeddings.weight,
        "grad_embed": model.encoder.get_input_embeddings().weight,
    }.items():
        difference = (weight.grad - expected[name]).abs().max() / expected[name].abs().max()
        assert difference < TOLERANCE, name


def test_the_config_is_that_of_the_released_model(tmp_path):
    config = imported(GOLDEN / "med_qa", tmp_path / "model", "ffn").config
    assert (config.injection_layers, config.facts) == ([2, 4], 5)
    assert (config.max_tokens, config.max_fact_tokens) == (64, 256)
    assert (config.encoder.model_type, config.encoder.pad_token_id) == ("roberta", PADDING)
    assert (config.encoder.hidden_dropout_prob, config.head_dropout) == (0.1, 0.0)


def test_a_tokenizer_is_saved_with_the_model_if_asked_for(contents, tiny_encoder, tmp_path):
    from transformers import AutoTokenizer

    rows = len(AutoTokenizer.from_pretrained(tiny_encoder))
    for name in ("embed_tokens", "kembed_tokens"):
        contents["model"][f"{ENCODER}.{name}.weight"] = torch.randn(rows, 32)
    torch.save(contents, tmp_path / "checkpoint.pt")
    arguments = [str(tmp_path / "checkpoint.pt"), str(tmp_path / "out")]
    outcome = CliRunner().invoke(
        app, ["import-fairseq", *arguments, "--tokenizer", str(tiny_encoder)]
    )
    assert outcome.exit_code == 0 and "facts into [2, 4)" in outcome.output
    features = KformerProcessor.from_pretrained(tmp_path / "out")("", "who?", ["a", "b"], ["c"])
    assert features.choices


def test_a_tokenizer_with_more_tokens_than_are_embedded_is_refused(tiny_encoder, tmp_path):
    checkpoint, tokenizer = GOLDEN / "med_qa/checkpoint_best.pt", str(tiny_encoder)
    with pytest.raises(KformerError, match=r"--tokenizer: .* tokens, .* embeds 61"):
        import_checkpoint(checkpoint, tmp_path / "out", tokenizer=tokenizer)
    assert not (tmp_path / "out").exists()


def test_half_precision_and_the_notes_of_a_training_are_read(contents, tmp_path):
    contents["model"] = {name: value.half() for name, value in contents["model"].items()}
    contents["extra_state"] = {"best": np.float64(0.7), "val_loss": np.float32(1), "epoch": 3}
    torch.save(contents, tmp_path / "checkpoint.pt")
    model = import_checkpoint(tmp_path / "checkpoint.pt", tmp_path / "out")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


# --- what is refused


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


def test_code_is_refused_and_never_run(contents, refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contents["extra_state"] = Attack()
    message = refusal()
    assert "refused" in message and "system" in message
    assert not Path("attacked").exists()


def test_weights_that_do_not_fit_are_named(contents, refusal):
    head = "classification_heads.sentence_classification_head.out_proj.weight"
    weights = contents["model"]
    del weights[f"{ENCODER}.layers.3.kfc2.bias"]
    weights[f"{ENCODER}.layers.1.kfc1.bias"] = torch.zeros(32)
    weights[head] = torch.zeros(3, 32)
    message = refusal()
    assert f"missing: {ENCODER}.layers.3.kfc2.bias" in message
    assert f"unknown: {ENCODER}.layers.1.kfc1.bias" in message
    assert f"{head} (3, 32), expected (1, 32)" in message


def test_without_injection_the_weights_of_facts_are_not_needed(contents, tmp_path):
    for name in list(contents["model"]):
        if ".kfc" in name or "kembed" in name:
            del contents["model"][name]
    torch.save(contents, tmp_path / "checkpoint.pt")
    import_checkpoint(tmp_path / "checkpoint.pt", tmp_path / "out", "none")
    assert (tmp_path / "out/model.safetensors").is_file()


def fields_of(contents, part):
    return vars(contents["args"]) if part == "args" else contents["model"]


@pytest.mark.parametrize(
    ("part", "name", "values", "said"),
    [
        ("args", "activation_fn", ["relu"], "args.activation_fn: only gelu"),
        ("args", "pooler_activation_fn", ["gelu"], "args.pooler_activation_fn: only tanh"),
        ("args", "knowledge_layer", ["all", [2, 9]], "args: "),
        ("args", "encoder_embed_dim", ["wide", -1], "args: "),
        ("args", "dropout", [None, 3.0, math.nan], "args: "),
        ("args", "pooler_dropout", [-1, math.nan], "args: pooler_dropout: "),
        ("args", "encoder_attention_heads", [5, 0, 10**9], "args: "),
        (
            "args",
            "encoder_layers",
            [3, 5, 10**6, "4", None],
            "encoder_layers: the weights are of 4",
        ),
        ("args", "encoder_embed_dim", [10**9], "of another shape: "),
        ("args", "encoder_ffn_embed_dim", [10**12], "of another shape: "),
        ("args", "encoder_ffn_embed_dim", [10**30], "args: "),
        (
            "model",
            f"{ENCODER}.embed_tokens.weight",
            [torch.tensor(1.0), torch.ones(0, 32)],
            "args: ",
        ),
        (
            "model",
            f"{ENCODER}.emb_layer_norm.bias",
            [
                [1],
                torch.full((32,), torch.nan),
                torch.full((32,), 1e300, dtype=torch.float64),  # infinite in single precision
                torch.ones(32).cfloat(),
                torch.ones(32).to_sparse(),
                torch.ones(1).expand(32),
                torch.ones(1).expand(10**13),
            ],
            f"no tensor of finite numbers: {ENCODER}.emb_layer_norm.bias",
        ),
    ],
)
def test_values_that_cannot_be_imported_are_named(part, name, values, said, contents, refusal):
    for value in values:
        fields_of(contents, part)[name] = value
        assert said in refusal()


def test_a_message_names_a_few_of_many_weights_and_no_endless_name(contents, refusal):
    contents["model"] |= {f"more{number}": torch.ones(1) for number in range(2000)}
    contents["model"]["y" * 10**6] = torch.ones(1)
    assert "unknown: more0, " in (message := refusal())
    assert len(message) < 1000


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("args", "encoder_layers"),
        ("model", f"{ENCODER}.embed_tokens.weight"),
        ("model", f"{ENCODER}.embed_positions.weight"),
    ],
)
def test_what_is_missing_is_named(part, name, contents, refusal):
    del fields_of(contents, part)[name]
    assert name in refusal()


@properties(max_examples=40)
@given(damage=st.binary(max_size=200) | st.integers(0, 216_000))
def test_damaged_files_are_one_line(damage, tmp_path):
    whole = (GOLDEN / "med_qa/checkpoint_best.pt").read_bytes()
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(damage if isinstance(damage, bytes) else whole[:damage])
    with pytest.raises(KformerError, match=str(file)) as error:
        import_checkpoint(file, tmp_path / "out")
    assert "\n" not in str(error.value)


WHOLE = (GOLDEN / "med_qa/checkpoint_best.pt").read_bytes()


@properties(max_examples=40)
@given(position=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_a_bit_that_flipped_changes_no_weight(position, bit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flipped")
    flipped = bytearray(WHOLE)
    flipped[position] ^= 1 << bit
    (folder / "checkpoint.pt").write_bytes(flipped)
    try:
        found = import_checkpoint(folder / "checkpoint.pt", folder / "out").state_dict()
    except KformerError as error:
        assert str(folder) in str(error) and "\n" not in str(error)
    else:  # a bit that means nothing, such as one of the padding between tensors
        whole = import_checkpoint(GOLDEN / "med_qa/checkpoint_best.pt", folder / "whole")
        assert all(torch.equal(found[name], weight) for name, weight in whole.state_dict().items())


@pytest.fixture
def rewritten(contents, tmp_path):
    """A checkpoint whose archive's members a test changes, with checksums that are right."""

    def rewrite(change, compression=zipfile.ZIP_STORED):
        torch.save(contents, tmp_path / "checkpoint.pt")
        with zipfile.ZipFile(tmp_path / "checkpoint.pt") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(tmp_path / "checkpoint.pt", "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(name, change(name, content))
        return tmp_path / "checkpoint.pt"

    return rewrite


SHAPE, WIDE = b"K \x85", b"M\xff\xff\x85"  # (32,) and (65535,) as a pickle has them


@pytest.mark.parametrize(
    ("change", "compression", "said"),
    [
        (lambda name, content: content, zipfile.ZIP_DEFLATED, "torch.save does not write such"),
        (lambda name, content: content.replace(SHAPE, WIDE), zipfile.ZIP_STORED, "can be read"),
        (lambda name, content: content[:64], zipfile.ZIP_STORED, "can be read"),
    ],
)
def test_an_archive_that_claims_more_than_it_holds_is_refused(
    change, compression, said, rewritten, tmp_path
):
    with pytest.raises(KformerError, match=said) as error:
        import_checkpoint(rewritten(change, compression), tmp_path / "out")
    assert "\n" not in str(error.value)


def test_a_file_without_checksums_is_refused(contents, tmp_path):
    torch.save(contents, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(KformerError, match=r"old\.pt: this is no whole archive .* PyTorch 1\.6"):
        import_checkpoint(tmp_path / "old.pt", tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [{}, [1], "text", {"args": None, "model": {}}, {"args": argparse.Namespace(), "model": None}],
)
def test_another_kind_of_checkpoint_is_one_line(content, tmp_path):
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(content, protocol=2))
    torch.save(content, tmp_path / "torch.pt")
    for name, said in (("plain.pt", ""), ("torch.pt", "this is no released checkpoint")):
        with pytest.raises(KformerError, match=f"{name}: {said}") as error:
            import_checkpoint(tmp_path / name, tmp_path / "out")
        assert "\n" not in str(error.value)


def test_what_lies_in_the_output_folder_is_never_touched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("precious")
    with pytest.raises(KformerError, match="there already"):
        import_checkpoint(GOLDEN / "med_qa/checkpoint_best.pt", tmp_path / "mine")
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["notes.txt"]
