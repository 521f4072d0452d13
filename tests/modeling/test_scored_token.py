"""What is not computed changes nothing: the last layer's other tokens, choices that are padding."""

import copy

import pytest
import torch

from kformer.modeling import attention
from kformer.modeling.encoder_families import ADAPTERS, Adapter

from .conftest import FACTS, FAMILIES, INPUTS, close, make_model, to_tensors, without_dropout

METHODS = ["none", "ffn", "attention", "static", "contextual", "contextual attention"]
LABELS = torch.tensor([1, 0])
CUT = [f for f in FAMILIES if ADAPTERS[f].last_layer is not Adapter.last_layer]


def lengths_in_last_layer(model):
    """The lengths of the states that the FFN of the last layer is given, pass by pass."""
    seen = []
    model.adapter.sites(model.encoder)[-1].feed_forward_in.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].shape[1])
    )
    return seen


def test_all_families_that_score_the_first_token_but_modernbert_are_cut():
    first = {family for family in FAMILIES if ADAPTERS[family].scored_token == "first"}
    assert {*CUT} == first - {"modernbert"}


@pytest.mark.parametrize("family", CUT)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_last_layer_is_computed_for_the_scored_token_alone(family, method, checkpointing):
    """With the same logits and gradients as for all tokens, which activations are reported for."""
    options = {"encoder": without_dropout(family), "injection_layers": (2, 4)}
    model = make_model(method, family, **options).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    whole = copy.deepcopy(model)
    tensors = to_tensors(INPUTS, FACTS, filler=1) | {"labels": LABELS}
    lengths, lengths_of_whole = lengths_in_last_layer(model), lengths_in_last_layer(whole)
    found, expected = model(**tensors), whole(**tensors, output_facts=True)
    close(found.logits, expected.logits)
    for output in (found, expected):
        output.loss.backward()
    assert set(lengths) == {1} and set(lengths_of_whole) == {7}
    for (name, one), other in zip(model.named_parameters(), whole.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None:
            close(one.grad, other.grad, atol=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch's attention is fast there")
@pytest.mark.parametrize("method", ["none", "attention"])
def test_attention_with_dropout_of_the_last_layer_is_computed_for_the_scored_token_alone(
    method, monkeypatch
):
    # So little that nothing is dropped.
    encoder = without_dropout("bert") | {"attention_probs_dropout_prob": 1e-9}
    model = make_model(method, "bert", encoder=encoder, injection_layers=(2, 4)).train()
    whole = copy.deepcopy(model)
    asking = []
    original = attention.attend

    def attend(query, *rest):
        asking.append(query.shape[2])
        return original(query, *rest)

    monkeypatch.setattr(attention, "attend", attend)
    tensors = to_tensors(INPUTS, FACTS, filler=1) | {"labels": LABELS}
    found, expected = model(**tensors), whole(**tensors, output_facts=True)
    assert asking == [7, 7, 7, 1] + [7] * 4
    close(found.logits, expected.logits)
    for output in (found, expected):
        output.loss.backward()
    for one, other in zip(model.parameters(), whole.parameters(), strict=True):
        if one.grad is not None:
            close(one.grad, other.grad, atol=1e-4)


def test_an_encoder_of_one_layer_with_a_convolution_computes_all_tokens():
    options = {"num_hidden_layers": 1, "conv_kernel_size": 3, "conv_act": "gelu"}
    model = make_model("none", "deberta-v2", encoder=options, injection_layers=(0, 1))
    tensors = to_tensors(INPUTS)
    close(model(**tensors).logits, model(**tensors, output_facts=True).logits)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS[:4])  # the encoder reads facts, too, in the others
def test_choices_that_are_padding_need_not_be_computed(family, method):
    model = make_model(method, family)
    inputs = [INPUTS[0], INPUTS[1][:2]]
    per_choice = [[FACTS[0][:2], FACTS[0][2:3], FACTS[0][3:]], [FACTS[1], []]]
    rows = torch.tensor([0, 1, 2, 3, 4])
    computed = []
    model.encoder.register_forward_pre_hook(
        lambda _, args, kwargs: computed.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    for facts, options in ((FACTS, {}), (per_choice, {"per_choice": True})):
        tensors = to_tensors(inputs, facts, filler=1, **options) | {"labels": LABELS}
        expected = model(**tensors, output_facts=True)
        found = model(**tensors, choice_rows=rows, output_facts=True)
        close(found.logits, expected.logits)
        close(found.loss, expected.loss)
        assert found.logits[1, 2] == torch.finfo(torch.float32).min
        if expected.fact_activations is not None:
            close(
                found.fact_activations.flatten(0, 1)[rows],
                expected.fact_activations.flatten(0, 1)[rows],
            )
        if expected.kept_facts is not None:
            kept = found.kept_facts.flatten(0, 1)
            assert torch.equal(kept[rows], expected.kept_facts.flatten(0, 1)[rows])
            assert (kept[5] == -1).all()
    assert computed == [6, 5, 6, 5]
