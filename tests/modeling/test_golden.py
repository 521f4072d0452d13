"""Agreement with what the released implementation computed, where its numbers are at hand."""

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import RobertaConfig

from kformer.modeling import KformerConfig, KformerForMultipleChoice

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"
PADDING = 1
TOLERANCE = 1e-5
NAMES = (  # of the released checkpoint, and ours
    ("encoder.sentence_encoder.kembed_tokens", "fact_embeddings"),
    ("encoder.sentence_encoder.embed_tokens", "encoder.embeddings.word_embeddings"),
    ("encoder.sentence_encoder.embed_positions", "encoder.embeddings.position_embeddings"),
    ("encoder.sentence_encoder.emb_layer_norm", "encoder.embeddings.LayerNorm"),
    ("encoder.sentence_encoder.layers.", "encoder.encoder.layer."),
    ("classification_heads.sentence_classification_head", "head"),
    ("self_attn.q_proj", "attention.self.query"),
    ("self_attn.k_proj", "attention.self.key"),
    ("self_attn.v_proj", "attention.self.value"),
    ("self_attn.out_proj", "attention.output.dense"),
    ("self_attn_layer_norm", "attention.output.LayerNorm"),
    (".fc1.", ".intermediate.dense."),
    (".fc2.", ".output.dense."),
    ("final_layer_norm", "output.LayerNorm"),
)

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden numbers at {GOLDEN}")


@pytest.fixture(params=["social_iqa", "med_qa"])
def golden(request):
    """The released checkpoint and what it computed."""
    folder = GOLDEN / request.param
    with torch.serialization.safe_globals([argparse.Namespace]):
        checkpoint = torch.load(folder / "checkpoint_best.pt", weights_only=True)
    return checkpoint["args"], checkpoint["model"], load_file(folder / "expected.safetensors")


def renamed(name: str, first_layer: int) -> str:
    for theirs, ours in NAMES:
        name = name.replace(theirs, ours)
    if ".kfc" in name:
        _, _, _, layer, part, kind = name.split(".")
        role = {"kfc1": "key", "kfc2": "value"}[part]
        return f"injection.layers.{int(layer) - first_layer}.{role}.{kind}"
    return name


def released_model(golden, injection: str) -> KformerForMultipleChoice:
    args, weights, _ = golden
    words = weights["encoder.sentence_encoder.embed_tokens.weight"]
    positions = weights["encoder.sentence_encoder.embed_positions.weight"]
    encoder = RobertaConfig(
        vocab_size=len(words),
        hidden_size=args.encoder_embed_dim,
        num_hidden_layers=args.encoder_layers,
        num_attention_heads=args.encoder_attention_heads,
        intermediate_size=args.encoder_ffn_embed_dim,
        max_position_embeddings=len(positions),
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=PADDING,
    )
    start, end = (int(layer) for layer in args.knowledge_layer)
    model = KformerForMultipleChoice(
        KformerConfig(encoder=encoder, injection=injection, injection_layers=(start, end), facts=5)
    )
    ours = {renamed(name, start): value.float() for name, value in weights.items()}
    missing = model.load_state_dict(ours, strict=False).missing_keys
    assert missing == ["encoder.embeddings.token_type_embeddings.weight"]
    torch.nn.init.zeros_(model.encoder.embeddings.token_type_embeddings.weight)
    return model.eval()


def golden_inputs(expected) -> dict[str, torch.Tensor]:
    inputs = {name: expected[name].long() for name in ("input_ids", "fact_input_ids", "labels")}
    inputs["attention_mask"] = (inputs["input_ids"] != PADDING).long()
    inputs["fact_attention_mask"] = (inputs["fact_input_ids"] != PADDING).long()
    return inputs


@pytest.mark.parametrize("injection", ["none", "ffn", "attention"])
def test_logits_are_those_of_the_released_implementation(golden, injection):
    expected = golden[2]
    with torch.no_grad():
        found = released_model(golden, injection)(**golden_inputs(expected)).logits
    torch.testing.assert_close(found, expected[f"{injection}_logits"], atol=TOLERANCE, rtol=0)


def test_loss_and_gradients_are_those_of_the_released_implementation(golden):
    expected = golden[2]
    model = released_model(golden, "ffn")
    loss = model(**golden_inputs(expected)).loss
    loss.backward()
    assert loss.item() == pytest.approx(expected["ffn_loss"].item(), abs=TOLERANCE)
    first = model.injection.layers[0]
    for name, weight in {
        "grad_kfc1_first": first.key.weight,
        "grad_kfc2_first": first.value.weight,
        "grad_kembed": model.fact_embeddings.weight,
        "grad_embed": model.encoder.get_input_embeddings().weight,
    }.items():
        largest = expected[name].abs().max().item()
        torch.testing.assert_close(weight.grad, expected[name], atol=1e-4 * largest, rtol=0)
