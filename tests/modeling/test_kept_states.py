"""An encoder that runs from kept states gives what it gives from the tokens, in every family."""

import pytest
import torch

from kformer.modeling.kept_states import states_below

from .conftest import FACTS, FAMILIES, INPUTS, close, make_model, to_tensors, without_dropout

METHODS = ["none", "ffn", "attention", "static", "contextual", "contextual attention"]

every_family = pytest.mark.parametrize("family", FAMILIES)


def frozen_below(model, layer):
    """Freezes what comes before a layer, as recipes do."""
    encoder, adapter = model.encoder, model.adapter
    encoder.requires_grad_(False)
    for module in [*adapter.layers_of(encoder)[layer:], *adapter.modules_above(encoder)]:
        module.requires_grad_(True)
    model.states_layer = layer
    return model


def results(model, tensors, **given):
    """Output and gradients of a pass."""
    model.zero_grad()
    output = model(**tensors, **given, labels=torch.tensor([0, 2]), output_facts=True)
    output.loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return output, gradients


def assert_same(found, expected):
    (output, gradients), (expected_output, expected_gradients) = found, expected
    close(output.logits, expected_output.logits, atol=1e-6)
    for name in ("kept_facts", "fact_activations"):
        if getattr(expected_output, name) is not None:
            of_choices = (getattr(each, name)[:, :3] for each in (output, expected_output))
            close(*of_choices, atol=1e-6)
    assert gradients.keys() == expected_gradients.keys() and gradients
    for name, gradient in expected_gradients.items():
        close(gradients[name], gradient, atol=1e-6)


@every_family
@pytest.mark.parametrize("method", METHODS)
def test_states_give_the_same_logits_facts_and_gradients(family, method):
    layers = (2,) if method != "none" else (1, 2, 4)
    for layer in layers:
        model = make_model(method, family, injection_layers=(2, 3), encoder=without_dropout(family))
        frozen_below(model, layer).train()
        tensors = to_tensors(INPUTS, FACTS, filler=1, more_choices=1)
        states = states_below(model, layer, tensors["input_ids"], tensors["attention_mask"])
        assert states.shape == (2, 4, 7, 16) and not states.requires_grad and model.training
        assert_same(results(model, tensors, states=states), results(model, tensors))


@every_family
def test_states_are_read_instead_of_tokens(family):
    model = frozen_below(make_model("none", family), 2)
    tensors = to_tensors(INPUTS, filler=1)
    states = states_below(model, 2, tensors["input_ids"], tensors["attention_mask"])
    with torch.no_grad():
        plain, other = model(**tensors).logits, model(**tensors, states=2 * states).logits
        assert not torch.allclose(plain, other)
        assert torch.equal(model(**tensors).logits, plain)  # the encoder is whole again


@every_family
@pytest.mark.parametrize("method", ["ffn", "attention"])
def test_layers_above_the_states_can_be_checkpointed(family, method):
    model = make_model(method, family, injection_layers=(2, 3), encoder=without_dropout(family))
    frozen_below(model, 2).train()
    tensors = to_tensors(INPUTS, FACTS, filler=1)
    states = states_below(model, 2, tensors["input_ids"], tensors["attention_mask"])
    expected = results(model, tensors)
    model.activation_checkpointing_enable()
    assert_same(results(model, tensors, states=states), expected)


@every_family
def test_states_depend_on_their_own_input_alone(family):
    """Not on padding or other questions, and padding is zero, so that it need not be kept."""
    model = make_model("none", family).train()
    together = to_tensors(INPUTS, filler=1, wider=3)
    states = states_below(model, 3, together["input_ids"], together["attention_mask"])
    for question, inputs in enumerate(INPUTS):
        for choice, ids in enumerate(inputs):
            alone = to_tensors([[ids]], filler=1)
            expected = states_below(model, 3, alone["input_ids"], alone["attention_mask"])
            close(states[question, choice, : len(ids)], expected[0, 0])
            assert (states[question, choice, len(ids) :] == 0).all()


def test_padding_on_the_left_gives_the_states_of_padding_on_the_right():
    model = make_model("none", "bert")
    right = to_tensors(INPUTS[:1], filler=0)
    left = to_tensors([[ids[::-1] for ids in INPUTS[0]]], filler=0)
    left = {name: tensor.flip(-1) for name, tensor in left.items()}
    from_right, from_left = (
        states_below(model, 2, each["input_ids"], each["attention_mask"]) for each in (right, left)
    )
    close(from_left, from_right)


def test_a_convolution_beside_the_first_layer_belongs_to_what_is_kept():
    model = make_model("none", "deberta-v2", encoder={"conv_kernel_size": 3})
    frozen_below(model, 2)
    tensors = to_tensors(INPUTS, filler=1)
    states = states_below(model, 2, tensors["input_ids"], tensors["attention_mask"])
    assert_same(results(model, tensors, states=states), results(model, tensors))


def test_names_of_parameters_stay_while_states_are_used():
    model = frozen_below(make_model("ffn", injection_layers=(2, 3)), 2)
    tensors = to_tensors(INPUTS, FACTS)
    states = states_below(model, 2, tensors["input_ids"], tensors["attention_mask"])
    names, while_used = list(model.state_dict()), []
    model.encoder.register_forward_hook(lambda *_: while_used.extend(model.state_dict()))
    model(**tensors, states=states)
    assert while_used == names == list(model.state_dict())
