"""The fact table: means, training of some rows only, and that it is saved whole."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import AdamW

from kformer.modeling.fact_embeddings import FactEmbeddings

from .conftest import properties, to_tensors

ROWS = [3, 5, 8]


def table(rows=None, seed=0):
    """A table with random weights; with ``rows`` only these are trained."""
    torch.manual_seed(seed)
    embeddings = FactEmbeddings(10, 4)
    if rows is not None:
        embeddings.train_only(rows)
    return embeddings


def ids_and_mask(facts):
    tensors = to_tensors([facts])
    return tensors["input_ids"][0], tensors["attention_mask"][0]


@pytest.mark.parametrize("chosen", [None, [], ROWS, range(10)])
@properties(max_examples=30)
@given(facts=st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=5))
def test_a_fact_is_the_mean_of_its_tokens_whichever_rows_are_trained(chosen, facts):
    words = table().weight
    embeddings = table(chosen)
    found = embeddings(*ids_and_mask(facts))
    assert found.shape == (len(facts), 4)
    for fact, embedding in zip(facts, found, strict=True):
        expected = words[fact].mean(0) if fact else torch.zeros(4)
        torch.testing.assert_close(embedding, expected)


def trained(embeddings, steps=3):
    """Trains on facts of ROWS only."""
    optimizer = AdamW([p for p in embeddings.parameters() if p.requires_grad], weight_decay=0)
    for step in range(steps):
        optimizer.zero_grad()
        (embeddings(*ids_and_mask([[3, 5, 5], [8]])).sum() * (step + 1)).backward()
        optimizer.step()
    return embeddings


def test_training_the_rows_that_occur_is_training_the_whole_table():
    some = table([5, 8, 3, 5])
    torch.testing.assert_close(trained(some).whole(), trained(table()).whole())


def test_gradients_are_as_small_as_the_rows():
    embeddings = table(ROWS)
    embeddings(*ids_and_mask([[3, 5], [8, 1]])).sum().backward()
    assert embeddings.weight.grad is None and not embeddings.weight.requires_grad
    assert embeddings.rows.grad.shape == (3, 4)
    assert embeddings.rows.grad.tolist() == [[0.5] * 4] * 3


@pytest.mark.parametrize("onto", [None, [], ROWS, [1, 2]])
@pytest.mark.parametrize("chosen", [None, [], ROWS])
def test_saved_and_loaded_is_the_whole_table(chosen, onto):
    source, target = table(chosen), table(onto, seed=1)
    if chosen != []:
        trained(source)
    saved = source.state_dict()
    assert saved.keys() == {"weight"} and torch.equal(saved["weight"], source.whole())
    target.load_state_dict(saved)
    assert torch.equal(target.whole(), saved["weight"])
