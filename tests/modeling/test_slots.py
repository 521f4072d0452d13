"""The slots against the formulas of the paper, written out in NumPy, row by row, unpadded."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf, softmax

from kformer.modeling.slot_matching import Cosine

from .conftest import INPUTS, PADDING, close, make_model, properties, to_tensors

METHODS = ["ffn", "attention"]


def gelu(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


class Reference:
    """The whole model for one input and its facts, in NumPy and float64."""

    def __init__(self, model):
        self.weights = {
            name: value.numpy(force=True) for name, value in model.double().state_dict().items()
        }
        self.config, self.encoder = model.config, model.config.encoder

    def score(self, tokens, facts):
        """The logit of one unpadded input, and the positions of the kept facts, best first."""
        embeddings, kept = self.filtered(tokens, facts)
        self.fired = []  # how strongly each kept fact did, per injected layer
        x = self.embed(tokens)
        for layer in range(self.encoder.num_hidden_layers):
            x = self.layer(layer, x, embeddings)
        state = np.tanh(self.linear("head.dense", x[0]))
        return self.linear("head.out_proj", state)[0], kept

    def filtered(self, tokens, facts):
        words = self.weights["encoder.embeddings.word_embeddings.weight"]
        table = self.weights.get("fact_embeddings.weight", words)
        present = [i for i, fact in enumerate(facts) if fact]
        embeddings = {i: table[facts[i]].mean(0) for i in present}
        query = words[tokens].mean(0)
        kept = sorted(present, key=lambda i: -(embeddings[i] @ query))[: self.config.facts]
        return np.array([embeddings[i] for i in kept]).reshape(-1, words.shape[1]), kept

    def embed(self, tokens):
        first = 2 if self.encoder.model_type == "roberta" else 0
        part = "encoder.embeddings"
        total = self.weights[f"{part}.word_embeddings.weight"][tokens]
        total = total + self.weights[f"{part}.position_embeddings.weight"][first:][: len(tokens)]
        total = total + self.weights[f"{part}.token_type_embeddings.weight"][0]
        return self.norm(f"{part}.LayerNorm", total)

    def layer(self, number, x, facts):
        start, end = self.config.injection_layers
        inject = self.config.injection if start <= number < end and len(facts) else "none"
        slots = f"injection.layers.{number - start}"
        prefix = f"encoder.encoder.layer.{number}"

        query, key, value = (
            self.linear(f"{prefix}.attention.self.{name}", x) for name in ("query", "key", "value")
        )
        if inject == "attention":
            key = np.concatenate([self.linear(f"{slots}.key", facts), key])
            value = np.concatenate([self.linear(f"{slots}.value", facts), value])
        query, key, value = (self.heads(each) for each in (query, key, value))
        weights = softmax(query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1]), axis=-1)
        if inject == "attention":
            self.fired.append(weights[:, :, : len(facts)].mean(0).max(0))
        mixed = (weights @ value).transpose(1, 0, 2).reshape(x.shape)
        mixed = self.linear(f"{prefix}.attention.output.dense", mixed)
        x = self.norm(f"{prefix}.attention.output.LayerNorm", x + mixed)

        fired = gelu(self.linear(f"{prefix}.intermediate.dense", x))
        out = self.linear(f"{prefix}.output.dense", fired)
        if inject == "ffn":
            fired = [gelu(x @ self.linear(f"{slots}.key", fact)) for fact in facts]
            for strength, fact in zip(fired, facts, strict=True):
                out = out + strength[:, None] * self.linear(f"{slots}.value", fact)
            self.fired.append(np.max(fired, axis=1))
        return self.norm(f"{prefix}.output.LayerNorm", x + out)

    def heads(self, x):
        return x.reshape(len(x), self.encoder.num_attention_heads, -1).transpose(1, 0, 2)

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + self.encoder.layer_norm_eps)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def check_against_reference(model, tensors, inputs, facts_of):
    """Compares logits and kept facts of a batch with the reference, row by row."""
    reference = Reference(model)
    output = model(**tensors, output_facts=True)
    for b, choices in enumerate(inputs):
        for c, tokens in enumerate(choices):
            facts = facts_of(b, c)
            logit, kept = reference.score(tokens, facts)
            assert output.logits[b, c].item() == pytest.approx(logit, abs=1e-5, rel=1e-5)
            if output.kept_facts is not None:
                shown = [i for i in output.kept_facts[b, c].tolist() if i >= 0]
                assert shown == kept
                found = output.fact_activations[b, c, :, : len(kept)].numpy(force=True)
                if kept:
                    np.testing.assert_allclose(found, reference.fired, atol=1e-5, rtol=1e-5)
    return output


FACTS = [
    [[31, 32, 33], [34], [], [35, 36], [37, 38, 39, 40, 41], [42, 43]],
    [[44, 45]],
]
FACTS_PER_CHOICE = [
    [FACTS[0], [[46], [47, 48]], []],
    [[[49]], [[50], [51, 52], [53, 54], [55, 56, 57]], [[]]],
]


@pytest.mark.parametrize(("family", "span"), [("bert", (1, 3)), ("roberta", (0, 4))])
@pytest.mark.parametrize("method", [*METHODS, "none"])
def test_facts_are_injected_as_the_paper_says(method, family, span):
    model = make_model(method, family, injection_layers=span)
    filler = model.config.encoder.pad_token_id
    tensors = to_tensors(INPUTS, FACTS, filler=filler, more_facts=2, wider=3)
    output = check_against_reference(model, tensors, INPUTS, lambda b, c: FACTS[b])
    if method != "none":  # each choice keeps facts of its own
        assert len({tuple(kept) for kept in output.kept_facts[0].tolist()}) > 1
    padding = {"wider": 2, "more_choices": 2, "more_facts": 3, "longer_facts": 1}
    tensors = to_tensors(INPUTS, FACTS_PER_CHOICE, per_choice=True, filler=filler, **padding)
    check_against_reference(model, tensors, INPUTS, lambda b, c: FACTS_PER_CHOICE[b][c])
    check_against_reference(model, to_tensors(INPUTS), INPUTS, lambda b, c: [])


word = st.integers(5, 59)
texts = st.lists(st.lists(word, max_size=4, unique=True), max_size=6)
rows = st.lists(word, min_size=1, max_size=6)


@pytest.mark.parametrize("method", METHODS)
@properties(max_examples=30)
@given(
    questions=st.lists(st.tuples(rows, rows, texts), min_size=1, max_size=4),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
)
def test_any_ragged_batch_agrees_with_each_input_alone(method, questions, padding):
    inputs = [[first, second] for first, second, _ in questions]
    facts = [_without_ties(given_facts) for _, _, given_facts in questions]
    tensors = to_tensors(inputs, facts, filler=7, **dict(zip(PADDING, padding, strict=True)))
    check_against_reference(make_model(method), tensors, inputs, lambda b, c: facts[b])


def _without_ties(facts):
    """Drops facts that are equal up to the order of their words, whose rank is arbitrary."""
    return list({frozenset(fact): fact for fact in facts}.values())


def test_only_kept_facts_learn():
    model = make_model("ffn")
    facts = [[[30 + i] for i in range(8)]]
    output = model(**to_tensors([[[2, 11, 3]]], facts), output_facts=True)
    output.logits.sum().backward()
    learning = model.fact_embeddings.weight.grad.abs().sum(-1).nonzero().flatten().tolist()
    assert sorted(learning) == sorted(30 + i for i in output.kept_facts[0, 0].tolist())


def test_a_cosine_does_not_depend_on_the_length_of_keys():
    model = make_model("cosine", lively=False).eval()
    tensors = to_tensors(INPUTS, FACTS)
    with torch.no_grad():
        expected = model(**tensors).logits
        for layer in model.injection.layers:
            layer.key.weight.mul_(7.0)
        close(model(**tensors).logits, expected)


def test_a_slot_fires_where_the_cosine_exceeds_the_threshold():
    cosine = Cosine(4)
    cosine.initialise(0.02)
    states = torch.tensor([[[3.0, -3.0, 0.0, 0.0], [0.0, 0.0, 5.0, -5.0]]])
    keys = cosine.keys(torch.tensor([[[9.0, -9.0, 0.0, 0.0]]]))
    with torch.no_grad():
        close(cosine(states, keys)[0, :, 0], torch.tensor([12 * 0.6, -12 * 0.4]), atol=1e-3)


def test_a_better_score_lets_a_fact_fire_more():
    model = make_model("scored", facts=5, score_mean=1.0, score_std=0.5)
    tensors = to_tensors(INPUTS[:1], FACTS[:1])
    seen = []
    for layer in model.injection.layers:
        layer.of_score.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    output = model(**tensors, output_facts=True)
    facts, added = seen[0]
    kept = output.kept_facts[0]
    expected = (tensors["fact_scores"][0][kept] - 1.0) / 0.5
    close(facts.scores, expected)
    close(added[:, 0], model.injection.layers[0].of_score.weight.detach() * expected)


def test_a_model_that_reads_scores_asks_for_them():
    with pytest.raises(AssertionError, match="scores of facts"):
        make_model("scored")(**to_tensors(INPUTS, FACTS) | {"fact_scores": None})
