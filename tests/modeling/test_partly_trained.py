"""Word embeddings of which some rows are trained: the same numbers, saved and loaded whole."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from kformer.modeling.partly_trained import PartlyTrainedEmbedding

from .conftest import FACTS, INPUTS, close, make_model, to_tensors, without_dropout

TOKENS = {token for question in INPUTS for ids in question for token in ids}
FACT_TOKENS = {token for facts in FACTS for ids in facts for token in ids}


def taken_over(padding=None):
    torch.manual_seed(0)
    embedding = nn.Embedding(10, 4, padding_idx=padding)
    twin = copy.deepcopy(embedding)
    PartlyTrainedEmbedding.take_over(embedding)
    return embedding, twin


@pytest.mark.parametrize("rows", [None, [], [1, 4, 7]])
def test_it_embeds_as_before_whichever_rows_are_trained(rows):
    embedding, plain = taken_over(padding=0)
    if rows is not None:
        embedding.train_only(rows)
    ids = torch.tensor([[1, 2, 0], [7, 7, 4]])
    assert torch.equal(embedding(ids), plain(ids))
    assert embedding.state_dict().keys() == plain.state_dict().keys()
    twin = pickle.loads(pickle.dumps(copy.deepcopy(embedding)))
    assert torch.equal(twin(ids), plain(ids))


def test_training_the_rows_that_occur_is_training_the_whole_table():
    ids = torch.tensor([[1, 4], [7, 4]])
    tables = [taken_over()[0] for _ in range(2)]
    tables[0].train_only([7, 1, 4])
    for table in tables:
        optimizer = AdamW([p for p in table.parameters() if p.requires_grad], weight_decay=0)
        for step in range(3):
            optimizer.zero_grad()
            (table(ids).sum() * (step + 1)).backward()
            optimizer.step()
    assert torch.equal(tables[0].whole(), tables[1].whole())
    saved = tables[0].state_dict()
    for rows in (None, [2, 4]):
        other = taken_over()[0]
        if rows:
            other.train_only(rows)
        other.load_state_dict(saved)
        assert torch.equal(other.whole(), tables[1].weight)


@pytest.mark.parametrize("family", ["bert", "mpnet", "deberta-v2", "modernbert", "llama"])
@pytest.mark.parametrize("method", ["none", "ffn", "attention"])
def test_a_model_that_trains_the_rows_of_its_texts_learns_the_same(family, method, tmp_path):
    options = {"encoder": without_dropout(family), "key_init": "identity"}
    models = [make_model(method, family, **options).train() for _ in range(2)]
    models[0].train_only(TOKENS, FACT_TOKENS)
    tensors = to_tensors(INPUTS, FACTS, filler=0) | {"labels": torch.tensor([1, 0])}
    for model in models:
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = AdamW(trained, lr=0.01, weight_decay=0)
        for _ in range(3):
            optimizer.zero_grad()
            model(**tensors).loss.backward()
            optimizer.step()
    some, whole = (model.state_dict() for model in models)
    assert some.keys() == whole.keys()
    for name in whole:
        close(some[name], whole[name], atol=1e-4)
    models[0].save_pretrained(tmp_path)
    loaded = type(models[0]).from_pretrained(tmp_path).eval()
    close(loaded(**tensors).logits, models[0].eval()(**tensors).logits)


def test_a_frozen_encoder_stays_frozen():
    model = make_model("ffn")
    model.encoder.requires_grad_(False)
    model.train_only(TOKENS, FACT_TOKENS)
    assert not any(each.requires_grad for each in model.encoder.parameters())
    assert model.fact_embeddings.rows.requires_grad
