"""Facts that the encoder's lower layers read: one slot a token, as the encoder sees it."""

import pytest
import torch
from torch.nn import functional as F

from kformer.modeling.fact_states import fact_states

from .conftest import FACTS, INPUTS, close, logits, make_model, to_tensors


def test_slots_are_made_of_the_states_below_the_injected_layers():
    model = make_model("contextual", injection_layers=(2, 4))
    ids = torch.tensor([[31, 32, 33], [34, 0, 0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    of_facts = fact_states(model, ids, mask).split([3, 1])
    with torch.no_grad():
        for fact, length in enumerate((3, 1)):
            alone = model.encoder(
                input_ids=ids[fact : fact + 1, :length], output_hidden_states=True
            )
            expected = F.layer_norm(alone.hidden_states[2][0], (16,)) / 4
            close(of_facts[fact], expected)


def test_the_layers_that_read_facts_read_without_dropout_and_learn_from_questions_alone():
    model = make_model("contextual").train()
    ids, mask = torch.tensor([[31, 32, 33]]), torch.ones(1, 3, dtype=torch.bool)
    once, again = fact_states(model, ids, mask), fact_states(model, ids, mask)
    assert torch.equal(once, again) and not once.requires_grad and model.training
    model(**to_tensors(INPUTS, FACTS)).logits.sum().backward()
    words = model.encoder.get_input_embeddings().weight.grad
    assert not words[[31, 32, 33]].any() and words[11].any()


def test_a_token_means_something_else_beside_another():
    model = make_model("contextual")
    one, other = ([[[31, word]], [[44]]] for word in (32, 33))
    alike = make_model("ffn", injection_layers=(1, 3))
    for each in (model, alike):
        assert not torch.allclose(
            logits(each, to_tensors(INPUTS, one)), logits(each, to_tensors(INPUTS, other))
        )
    swapped = logits(model, to_tensors(INPUTS, [[[32, 31]], [[44]]]))
    assert not torch.allclose(swapped, logits(model, to_tensors(INPUTS, one)), atol=1e-4)


@pytest.mark.parametrize("method", ["contextual", "contextual attention"])
def test_each_distinct_fact_that_an_input_keeps_is_read_once(method):
    model, read = make_model(method, facts=1), []
    layer = model.encoder.encoder.layer[0]
    layer.register_forward_pre_hook(lambda _, args: read.append(len(args[0])))
    output = model(**to_tensors(INPUTS, FACTS), output_facts=True)
    kept = {
        (question, fact)
        for question in (0, 1)
        for fact in output.kept_facts[question].flatten().tolist()
    }
    assert sorted(read) == sorted([6, len(kept)])  # the inputs, and the facts


def test_activations_are_those_of_a_fact_s_strongest_token():
    model = make_model("contextual", facts=5)
    together = model(**to_tensors(INPUTS[:1], [[[31, 32, 33]]]), output_facts=True)
    assert together.fact_activations.shape == (1, 3, 2, 1)
    assert together.fact_activations.isfinite().all()


def test_facts_are_chosen_by_the_words_as_they_are_trained(tmp_path):
    """In training, where some rows of the embeddings are trained alone, as in the saved model."""
    model = make_model("contextual", facts=2)
    model.train_only(range(5, 60), [])
    with torch.no_grad():
        words = model.encoder.get_input_embeddings()
        words.rows.copy_(torch.randn_like(words.rows))
    tensors = to_tensors(INPUTS, FACTS)
    expected = model(**tensors, output_facts=True)
    model.save_pretrained(tmp_path)
    saved = type(model).from_pretrained(tmp_path).eval()
    found = saved(**tensors, output_facts=True)
    assert torch.equal(found.kept_facts, expected.kept_facts)
    close(found.logits, expected.logits)
