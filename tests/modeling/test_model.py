"""What the model promises: masks, facts that count, initialisation, saving, clear errors."""

import copy
import pickle

import pytest
import torch
from transformers import (
    AutoModelForMultipleChoice,
    BertModel,
    GPT2Config,
    MPNetModel,
    PreTrainedModel,
    RobertaModel,
)

from kformer.errors import KformerError
from kformer.modeling import KformerConfig, KformerForMultipleChoice

from .conftest import (
    FACTS,
    FAMILIES,
    INPUTS,
    VARIANTS,
    close,
    encoder_config,
    logits,
    make_model,
    to_tensors,
)

METHODS = ["none", "ffn", "attention", "static", *VARIANTS]
INJECTED = ["ffn", "attention", *VARIANTS]


# --- masks


def test_a_choice_that_is_all_padding_is_never_the_answer():
    tensors = to_tensors([INPUTS[0], INPUTS[1][:1]], FACTS, more_choices=1)
    output = make_model("ffn")(**tensors, labels=torch.tensor([1, 0]))
    probabilities = output.logits.softmax(-1)
    assert probabilities[0, 3] == 0 and probabilities[1, 1:].sum() == 0
    assert probabilities[1, 0] == 1
    output.loss.backward()
    assert output.loss.isfinite()


@pytest.mark.parametrize("method", INJECTED)
def test_a_fact_that_is_there_twice_counts_twice(method):
    model = make_model(method)
    once = logits(model, to_tensors(INPUTS[:1], [[[31, 32]]]))
    twice = logits(model, to_tensors(INPUTS[:1], [[[31, 32], [31, 32]]]))
    also_twice = logits(model, to_tensors(INPUTS[:1], [[[31, 32], [32, 31]]]))
    assert not torch.allclose(once, twice, atol=1e-6)
    if "contextual" not in method:  # which tells the order of a fact's words
        close(also_twice, twice)


@pytest.mark.parametrize(
    ("facts", "padding"),
    [
        ([[], []], {}),
        ([[], []], {"longer_facts": 3}),
        ([[[], [], []]] * 2, {"per_choice": True}),
        ([[], []], {"more_facts": 4, "longer_facts": 2, "filler": 8}),  # all masked
        ([[[]], [[], []]], {}),  # facts without tokens
    ],
)
@pytest.mark.parametrize("method", INJECTED)
def test_facts_that_are_none_change_nothing(method, facts, padding):
    model = make_model(method)
    tensors = to_tensors(INPUTS, facts, **padding)
    model(**to_tensors(INPUTS, FACTS))  # whose facts must be forgotten
    output = model(**tensors, labels=torch.tensor([0, 1]))
    close(output.logits, logits(model, to_tensors(INPUTS)), atol=1e-6)
    output.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("per_choice", [False, True], ids=["per question", "per choice"])
@pytest.mark.parametrize("method", INJECTED)
def test_distinct_facts_and_their_positions_are_the_same_facts(method, per_choice):
    model = make_model(method)
    distinct = [[31, 32, 33], [34], [35, 36]]
    positions = torch.tensor([[0, 1, 0], [2, -1, -1]])
    facts = [[distinct[0], distinct[1], distinct[0]], [distinct[2]]]
    if per_choice:
        positions = torch.stack([positions, positions.flip(0), positions], dim=1)
        facts = [[facts[i], facts[1 - i], facts[i]] for i in (0, 1)]
    expanded = to_tensors(INPUTS, facts, per_choice)
    once = to_tensors(INPUTS[:1], [distinct])
    names = ("fact_input_ids", "fact_attention_mask")
    shared = expanded | {name: once[name][0] for name in names} | {"fact_positions": positions}
    close(logits(model, shared), logits(model, expanded))


def test_kept_facts_are_positions_with_minus_one_for_none():
    model = make_model("ffn", facts=4)
    output = model(**to_tensors(INPUTS, [FACTS[0], [[], [44, 45]]]), output_facts=True)
    assert output.kept_facts.shape == (2, 3, 4)
    assert all(len({*kept}) == 4 and min(kept) >= 0 for kept in output.kept_facts[0].tolist())
    assert output.kept_facts[1].tolist() == [[1, -1, -1, -1]] * 3
    assert model(**to_tensors(INPUTS, FACTS)).kept_facts is None


# --- other ways to compute


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_stays_close_to_full_precision(method, device, tmp_path):
    model = make_model(method, key_init="identity", facts=5)  # all are kept, none is a near tie
    tensors = to_tensors(INPUTS, FACTS)
    expected = logits(model, tensors)
    # Almost five of bf16's eight significant bits; a cosine is scaled up before it fires.
    share = 0.2 if model.config.match == "cosine" else 0.05
    tolerance = share * expected.abs().max()
    with torch.autocast(device, torch.bfloat16):
        assert (logits(model, tensors) - expected).abs().max() < tolerance
    model.save_pretrained(tmp_path)
    half = KformerForMultipleChoice.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    found = half(**tensors, output_facts=True)
    assert (found.logits - expected).abs().max() < tolerance and found.logits.dtype == torch.float32


def test_the_choice_of_facts_is_the_same_under_autocast(device):
    model = make_model("ffn")
    facts = [[[30 + i, 31 + i] for i in range(25)]]
    tensors = to_tensors(INPUTS[:1], facts)
    expected = model(**tensors, output_facts=True).kept_facts
    with torch.autocast(device, torch.bfloat16):
        assert torch.equal(model(**tensors, output_facts=True).kept_facts, expected)


@pytest.mark.parametrize("method", ["ffn", "attention", "cosine"])
def test_a_compiled_model_computes_the_same(method):
    """In one graph; the backend that writes no C++ is enough to see that."""
    model = make_model(method, encoder={"num_hidden_layers": 3})
    tensors = to_tensors(INPUTS, FACTS)
    torch.set_default_device(None)  # torch.compile cannot look through it
    with torch.no_grad():
        expected = model(**tensors, output_facts=True)
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        found = compiled(**tensors, output_facts=True)
    close(found.logits, expected.logits)
    close(found.fact_activations, expected.fact_activations)
    assert torch.equal(found.kept_facts, expected.kept_facts)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("method", METHODS)
def test_a_copy_reads_facts_of_its_own(method, copied):
    model = make_model(method)
    tensors = to_tensors(INPUTS, FACTS)
    expected = logits(model, tensors)
    twin = copied(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    close(logits(twin, tensors), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 4, 2), (3, 4, 2), (3, 2, 4, 2)])
def test_facts_that_belong_to_no_question_are_refused_with_the_shapes(shape):
    facts = {"fact_input_ids": torch.full(shape, 31), "fact_attention_mask": torch.ones(shape)}
    with pytest.raises(AssertionError, match=r"neither per question nor per choice .*\(2, 3, 7\)"):
        make_model("ffn")(**to_tensors(INPUTS), **facts)


def test_masks_may_be_of_any_type():
    model, tensors = make_model("ffn"), to_tensors(INPUTS, FACTS)
    for kind in (torch.bool, torch.float32):
        masks = {name: mask.to(kind) for name, mask in tensors.items() if "mask" in name}
        close(logits(model, tensors | masks), logits(model, tensors))


@pytest.mark.parametrize("method", ["ffn", "attention"])
def test_facts_are_embedded_once_for_all_choices(method):
    model, embedded = make_model(method), []
    model.fact_embeddings.register_forward_pre_hook(lambda _, args: embedded.append(len(args[0])))
    logits(model, to_tensors(INPUTS, FACTS))
    assert embedded == [2 * 5]  # of two questions with three choices each


def test_facts_are_forgotten_after_an_error():
    model, tensors = make_model("ffn"), to_tensors(INPUTS)
    expected = logits(model, tensors)
    handle = model.encoder.encoder.layer[2].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(**to_tensors(INPUTS, FACTS))
    handle.remove()
    assert model.injection.facts is None
    close(logits(model, tensors), expected)


def test_what_would_lose_the_facts_is_refused():
    model = make_model("ffn")
    with pytest.raises(NotImplementedError, match="DistributedDataParallel"):
        model.injection._replicate_for_data_parallel()  # as torch.nn.DataParallel calls it
    with pytest.raises(ValueError, match="use_reentrant=False"):
        model.activation_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(NotImplementedError, match="from_encoder"):
        model.resize_token_embeddings(70)
    assert model.encoder.get_input_embeddings().weight.shape == (60, 16)


@pytest.mark.parametrize(
    ("method", "built"), [("ffn", "eager"), ("attention", "kformer_with_facts")]
)
def test_the_attention_asked_for_is_used_unless_facts_join_it(method, built, tmp_path):
    model = make_model(method)
    model.save_pretrained(tmp_path)
    again = KformerForMultipleChoice.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert again.encoder.config._attn_implementation == built
    tensors = to_tensors(INPUTS, FACTS)
    expected = logits(model, tensors)
    close(logits(again, tensors), expected)
    model.set_attn_implementation("eager")
    close(logits(model, tensors), expected)
    if method == "attention":
        model.encoder.set_attn_implementation("eager")  # past the model
        with pytest.raises(AssertionError, match="kformer_with_facts"):
            model(**tensors)


# --- how it starts, how it is kept


@pytest.mark.parametrize("method", INJECTED)
@pytest.mark.parametrize("key_init", ["normal", "identity"])
@pytest.mark.parametrize("value_init", ["normal", "identity"])
def test_projections_start_as_configured(method, key_init, value_init):
    width = {"hidden_size": 128, "num_hidden_layers": 3, "intermediate_size": 16}
    inits = {"key_init": key_init, "key_scale": 3.0, "value_init": value_init, "value_scale": 0.5}
    model = make_model(method, lively=False, encoder=width, **inits)
    added = 3.0 * (key_init == "identity"), 0.5 * (value_init == "identity")
    for projection in model.injection.layers:
        weights = (projection.key.weight, projection.value.weight)
        for weight, identity in zip(weights, added, strict=True):
            rest = weight - identity * torch.eye(128)
            assert rest.mean().item() == pytest.approx(0, abs=0.002)
            assert rest.std().item() == pytest.approx(0.02, rel=0.1)
            assert rest.diagonal().std().item() == pytest.approx(0.02, rel=0.3)
            assert rest.diagonal().mean().item() == pytest.approx(0, abs=0.01)
        assert projection.key.bias.abs().sum() == projection.value.bias.abs().sum() == 0


@pytest.mark.parametrize(
    ("method", "family"),
    [(method, "bert") for method in (*METHODS, "concat")]
    + [("attention", family) for family in FAMILIES if family != "bert"],
)
def test_a_saved_model_comes_back_exactly(method, family, tmp_path):
    value = {"value_init": "identity", "value_scale": 0.5}
    model = make_model(method, family, key_init="identity", facts=2, key_scale=5.0, **value)
    model.save_pretrained(tmp_path)
    again = AutoModelForMultipleChoice.from_pretrained(tmp_path).eval()
    assert isinstance(again, KformerForMultipleChoice)
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    tensors = to_tensors(INPUTS, FACTS)
    close(logits(again, tensors), logits(model, tensors), atol=1e-6)
    assert again.config.to_dict().keys() == model.config.to_dict().keys()
    assert again.config.injection == model.config.injection
    assert (again.config.facts, again.config.key_scale) == (2, 5.0)
    assert (again.config.value_init, again.config.value_scale) == ("identity", 0.5)


def test_the_identity_is_not_added_to_weights_that_were_loaded(tmp_path):
    inits = {"key_init": "identity", "key_scale": 5.0, "value_init": "identity"}
    model = make_model("ffn", **inits)
    biases = ("key.bias", "value.bias")
    kept = {name: w for name, w in model.state_dict().items() if not name.endswith(biases)}
    model.save_pretrained(tmp_path, state_dict=kept)  # so that the projection is initialised anew
    # Its own `from_pretrained` would refuse what lacks weights.
    again = PreTrainedModel.from_pretrained.__func__(KformerForMultipleChoice, tmp_path)
    for projection, loaded in zip(model.injection.layers, again.injection.layers, strict=True):
        assert torch.equal(loaded.key.weight, projection.key.weight)
        assert torch.equal(loaded.value.weight, projection.value.weight)


def test_a_model_from_an_encoder_starts_with_its_weights(tiny_encoder):
    pretrained = BertModel.from_pretrained(tiny_encoder).state_dict()
    model = KformerForMultipleChoice.from_encoder(tiny_encoder, injection="ffn", facts=2)
    assert (model.config.injection_layers, model.config.facts) == ((1, 4), 2)
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, pretrained[name]), name
    words = model.encoder.get_input_embeddings().weight
    assert torch.equal(model.fact_embeddings.weight, words)
    assert model.fact_embeddings.weight.data_ptr() != words.data_ptr()  # a copy of its own
    with torch.no_grad():
        model.fact_embeddings.weight.add_(1)
    assert torch.equal(words, pretrained["embeddings.word_embeddings.weight"])


def test_an_encoder_in_half_precision_is_trained_in_full(tiny_encoder, tmp_path):
    BertModel.from_pretrained(tiny_encoder).bfloat16().save_pretrained(tmp_path / "half")
    model = KformerForMultipleChoice.from_encoder(tmp_path / "half", injection="ffn")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_static_slots_start_small_and_of_the_configured_number():
    slots = make_model("static", lively=False, facts=500).injection.embeddings
    assert slots.shape == (500, 16)
    assert slots.std().item() == pytest.approx(0.02, rel=0.1)


# --- mistakes


def test_layers_out_of_range_are_refused_where_they_are_injected_into(tiny_encoder):
    for method in ("ffn", "attention", "static"):
        with pytest.raises(KformerError, match=r"model\.layers.* 4 layers"):
            make_model(method, injection_layers=(3, 5))
    for method in ("none", "concat"):
        make_model(method, injection_layers=(9, 12))
        KformerForMultipleChoice.from_encoder(tiny_encoder, layers=(9, 12), injection=method)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"injecton": "ffn"}, "injecton"),
        ({"injection": "telepathy"}, "'telepathy' is no injection"),
        ({"layers": "top2", "injection": "ffn"}, "model.layers: 'top2'"),
        ({"facts": 0}, "model.facts: 0"),
        ({"max_tokens": -1}, "model.max_tokens: -1"),
    ],
)
def test_impossible_settings_are_refused(settings, named, tiny_encoder):
    with pytest.raises(KformerError, match=named):
        KformerForMultipleChoice.from_encoder(tiny_encoder, **settings)


def test_inputs_are_no_longer_than_an_encoder_has_positions_for(tiny_encoder, tmp_path):
    RobertaModel(encoder_config("roberta")).save_pretrained(tmp_path / "roberta")
    MPNetModel(encoder_config("mpnet")).save_pretrained(tmp_path / "mpnet")
    lengths = {tiny_encoder: 96, tmp_path / "roberta": 38, tmp_path / "mpnet": 38}
    for encoder, expected in lengths.items():
        assert KformerForMultipleChoice.from_encoder(encoder).config.max_tokens == expected


@pytest.mark.parametrize("method", ["none", "ffn"])
def test_an_unsupported_family_is_refused_with_the_supported_ones(method):
    encoder = GPT2Config(n_embd=16, n_layer=4, n_head=2, vocab_size=20, n_positions=8)
    config = KformerConfig(encoder=encoder, injection=method, injection_layers=(1, 3))
    with pytest.raises(KformerError, match=f"{encoder.model_type!r}.* bert, deberta-v2, "):
        KformerForMultipleChoice(config)


@pytest.mark.parametrize("asked", [None, "sdpa"])
def test_unless_another_one_is_asked_for_the_attention_is_ours(asked, tiny_encoder):
    """Of a pre-trained encoder, too: PyTorch's own is slow where it drops weights on a CPU."""
    config = encoder_config("bert")
    config._attn_implementation = asked
    built = KformerForMultipleChoice(KformerConfig(encoder=config))
    trained = KformerForMultipleChoice.from_encoder(tiny_encoder)
    for model in (built, trained):
        assert model.encoder.config._attn_implementation == "kformer"
