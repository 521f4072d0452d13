"""Every family of encoders: it learns, facts count, what is masked does not, and the formula."""

import pytest
import torch
from torch.nn import functional as F

from kformer.errors import KformerError
from kformer.modeling.encoder_families import ADAPTERS
from kformer.modeling.model import KformerForMultipleChoice

from .conftest import (
    FACTS,
    FAMILIES,
    INPUTS,
    close,
    logits,
    make_model,
    to_tensors,
    without_dropout,
)

ACTIVATIONS = {"llama": F.silu, "mistral": F.silu, "qwen2": F.silu, "qwen3": F.silu}
METHODS = ["none", "ffn", "attention", "static", "contextual", "contextual attention"]

every_family = pytest.mark.parametrize("family", FAMILIES)


def test_every_adapter_is_tested():
    assert FAMILIES.keys() == ADAPTERS.keys()


@every_family
@pytest.mark.parametrize("method", METHODS)
def test_it_learns_and_reads_facts(family, method):
    inits = {"key_init": "identity", "value_init": "identity"}  # also of keys of another width
    model = make_model(method, family, lively=False, **inits).train()
    tensors = to_tensors(INPUTS, FACTS, filler=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        loss = model(**tensors, labels=torch.tensor([0, 2])).loss
        assert loss.isfinite()
        loss.backward()
        optimizer.step()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    # AdamW decays every weight that has a gradient, so what stays took no part.
    assert before.keys() - moved <= {n for n in before if n.endswith("bias")}
    model.eval()
    with_facts, plain = logits(model, tensors), logits(model, to_tensors(INPUTS, filler=1))
    masked = tensors | {"fact_attention_mask": torch.zeros_like(tensors["fact_attention_mask"])}
    close(logits(model, masked), plain)
    assert torch.allclose(with_facts, plain, atol=1e-5) == (method in ("none", "static"))


@every_family
@pytest.mark.parametrize("method", METHODS)
def test_a_logit_depends_on_its_question_alone(family, method):
    """Not on padding, wherever it is, on the order of facts, or on other questions."""
    model = make_model(method, family)
    expected = logits(model, to_tensors(INPUTS, FACTS))
    padding = {"wider": 4, "more_choices": 1, "more_facts": 2, "longer_facts": 1}
    for filler in (0, 1, 9):
        padded = to_tensors(INPUTS, FACTS, filler=filler, **padding)
        close(logits(model, padded)[:, :3], expected)
    backwards = [[ids[::-1] for ids in choices] for choices in INPUTS]
    padded_left = to_tensors(backwards, FACTS, filler=1)
    for name in ("input_ids", "attention_mask"):
        padded_left[name] = padded_left[name].flip(-1)
    assert padded_left["attention_mask"][0, 1].tolist() == [0, 0, 0, 0, 1, 1, 1]
    close(logits(model, padded_left), expected)
    close(logits(model, to_tensors(INPUTS, [facts[::-1] for facts in FACTS])), expected)
    for i in range(2):
        alone = to_tensors(INPUTS[i : i + 1], FACTS[i : i + 1])
        close(logits(model, alone), expected[i : i + 1])


@every_family
@pytest.mark.parametrize("method", ["ffn", "static"])
def test_slots_are_added_to_the_feed_forward_layer(family, method):
    """FFN'(x) = FFN(x) + Σ_i act(x · k_i) v_i, with k, v and x read at the module's edges."""
    model = make_model(method, family, facts=2)
    sites = model.adapter.sites(model.encoder)
    seen, slots = {}, {}
    for number in range(4):
        site = sites[number]
        site.feed_forward_in.register_forward_pre_hook(
            lambda _, args, n=number: seen.setdefault(n, []).append(args[0])
        )
        site.feed_forward_out.register_forward_hook(
            lambda module, args, out, n=number: seen[n].extend([module.forward(*args), out])
        )
    for number, layer in enumerate(model.injection.layers, start=1):
        for part in (layer.key, layer.value):
            part.register_forward_hook(
                lambda _, args, out, n=number: slots.setdefault(n, []).append(out)
            )
    one_input, two_facts = [[[2, 11, 12, 13, 3]]], [[[31, 32, 33], [34]]]
    with torch.no_grad():
        output = model(**to_tensors(one_input, two_facts), output_facts=True)
    activation = ACTIVATIONS.get(family, F.gelu)
    for number in range(4):
        x, plain, found = seen[number]
        if number not in (1, 2):
            assert torch.equal(found, plain)
            continue
        keys, values = slots[number]
        fired = activation(x[0] @ keys.T)
        close(found[0], plain[0] + fired @ values)
        strongest = fired.amax(0)
        if method == "ffn":  # where kept facts stand best first
            strongest = strongest[output.kept_facts[0, 0]]
        close(output.fact_activations[0, 0, number - 1], strongest)


@every_family
def test_attention_weights_of_facts_are_shares(family):
    model = make_model("attention", family)
    with torch.no_grad():
        output = model(**to_tensors(INPUTS, FACTS), output_facts=True)
    assert output.fact_activations.shape == (2, 3, 2, 3)
    is_fact = (output.kept_facts >= 0)[:, :, None].expand(-1, -1, 2, -1)
    assert (output.fact_activations[is_fact] > 0).all() and (output.fact_activations < 1).all()
    assert (output.fact_activations[~is_fact] == 0).all() and (~is_fact).any()


@every_family
@pytest.mark.parametrize("method", METHODS)
def test_gradient_checkpointing_keeps_each_batch_with_its_facts(family, method):
    """Also when another batch was computed before the first one's backward pass."""
    model = make_model(method, family, encoder=without_dropout(family)).train()
    first, second = to_tensors(INPUTS[:1], FACTS[:1]), to_tensors(INPUTS[1:], FACTS[1:])

    def gradients():
        model.zero_grad()
        losses = [model(**each, labels=torch.tensor([0])).loss for each in (first, second)]
        losses[0].backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    expected = gradients()
    model.activation_checkpointing_enable()
    states = []
    model.head.register_forward_pre_hook(lambda *_: states.append(len(layer_runs)))
    layer_runs = []
    site = model.adapter.sites(model.encoder)[1].feed_forward_in
    site.register_forward_pre_hook(lambda *_: layer_runs.append(1))
    found = gradients()
    assert len(layer_runs) > states[-1]  # the backward pass computed the layer again
    assert found.keys() == expected.keys()
    for name in expected:
        close(found[name], expected[name])
    assert model.injection.facts is None  # none are kept after the backward pass


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_a_decoder_is_scored_at_its_last_token(family):
    model = make_model("ffn", family)
    scored = []
    model.head.register_forward_pre_hook(lambda _, args: scored.append(args[0]))
    states = []
    model.encoder.register_forward_hook(lambda *call: states.append(call[2].last_hidden_state))
    logits(model, to_tensors(INPUTS[:1], FACTS[:1], wider=2))
    assert torch.equal(scored[0], states[0][torch.arange(3), [4, 2, 6]])


@pytest.mark.parametrize("width", [8, 32])
@pytest.mark.parametrize(
    ("family", "projection"),
    [("electra", "embeddings_project"), ("deberta-v2", "embeddings.embed_proj")],
)
def test_narrower_or_wider_word_embeddings_are_projected(family, projection, width):
    model = make_model("ffn", family, encoder={"embedding_size": width})
    assert model.fact_embeddings.weight.shape == (60, width)
    widened = []
    model.encoder.get_submodule(projection).register_forward_hook(
        lambda *call: widened.append(call[2])
    )
    read = []
    model.injection.layers[0].key.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    logits(model, to_tensors([[[2, 11, 3]]], [[[31, 32]]]))
    assert torch.equal(read[0], widened[0]) and read[0].shape == (1, 16)


AS_TOKENS = {"key_init": "encoder", "value_init": "encoder"}


@pytest.mark.parametrize("family", [name for name in FAMILIES if ADAPTERS[name].own_projections])
def test_keys_and_values_of_facts_may_start_as_those_of_tokens(family, tmp_path):
    """A fact's slots are what the first injected layer makes of the fact as an input."""
    make_model("none", family).encoder.save_pretrained(tmp_path)
    settings = {"injection": "attention", "fact_encoder": "layers", "layers": (1, 3)}
    model = KformerForMultipleChoice.from_encoder(tmp_path, **settings, **AS_TOKENS).eval()
    attention = model.adapter.sites(model.encoder)[1].attention
    slots, read, made = model.injection.layers[0], [], []
    slots.key.register_forward_hook(lambda *call: made.append(call[2]))
    slots.value.register_forward_hook(lambda *call: made.append(call[2]))
    attention.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True,
    )
    fact = [2, 31, 32, 3]
    logits(model, to_tensors([[[2, 11, 3]]], [[fact]]))
    read.clear()
    logits(model, to_tensors([[fact]]))
    own = model.adapter.own_projections(attention)
    for found, (weight, bias) in zip(made, own, strict=True):
        close(found, F.linear(read[0][0], weight, bias), atol=1e-5)
    model.save_pretrained(tmp_path / "saved")
    loaded = KformerForMultipleChoice.from_pretrained(tmp_path / "saved").eval()
    tensors = to_tensors(INPUTS, FACTS)
    close(logits(loaded, tensors), logits(model, tensors))


def test_only_attention_that_reads_facts_by_layers_can_start_as_the_encoder():
    for method in ("ffn", "contextual", "attention", "static"):
        with pytest.raises(KformerError, match="key_init: encoder is for injection: attention"):
            make_model(method, **AS_TOKENS)
    with pytest.raises(KformerError, match="give encoder for both or none"):
        make_model("contextual attention", key_init="encoder")
    with pytest.raises(KformerError, match="key_init: encoder is not for the family 'qwen3'"):
        make_model("contextual attention", "qwen3", **AS_TOKENS)
    make_model("none", **AS_TOKENS)  # reads it not
