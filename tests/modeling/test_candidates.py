"""Facts that several questions of a batch share are given, embedded and projected once."""

import pytest
import torch

from .conftest import INPUTS, close, make_model, to_tensors

DISTINCT = [[31, 32, 33], [34], [35, 36], []]  # the last is all padding


def shared(positions):
    """Candidates as positions among the distinct facts, and as facts of their own."""
    ids = torch.zeros(4, 3, dtype=torch.long)
    for row, fact in enumerate(DISTINCT):
        ids[row, : len(fact)] = torch.tensor(fact, dtype=torch.long)
    mask = (ids > 0).long()
    table = torch.tensor(positions)
    tensors = {"fact_input_ids": ids, "fact_attention_mask": mask, "fact_positions": table}
    own = (table >= 0)[..., None] * mask[table.clamp(min=0)]
    return tensors, {"fact_input_ids": ids[table.clamp(min=0)], "fact_attention_mask": own}


@pytest.mark.parametrize("method", ["ffn", "attention"])
@pytest.mark.parametrize(
    "positions",
    [
        [[0, 1, 2], [2, 1, -1]],
        [[3, 0, -1], [-1, -1, -1]],
        [[[0, 1], [1, 2], [2, 0]], [[2, -1], [0, 0], [3, 1]]],
    ],
)
def test_shared_facts_give_what_facts_of_their_own_give(method, positions):
    model = make_model(method, facts=2).train()
    for module in model.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    embedded = []
    model.fact_embeddings.register_forward_hook(lambda _, args, out: embedded.append(len(out)))
    gradients, outputs = [], []
    for facts in shared(positions):
        model.zero_grad()
        inputs = to_tensors(INPUTS) | facts
        output = model(**inputs, labels=torch.tensor([0, 2]), output_facts=True)
        output.loss.backward()
        outputs.append(output)
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    close(outputs[0].logits, outputs[1].logits)
    assert torch.equal(outputs[0].kept_facts, outputs[1].kept_facts)
    for one, other in zip(*gradients, strict=True):
        close(one, other)
    assert embedded[0] == 4 and embedded[1] == torch.tensor(positions).numel()


def test_the_first_found_are_kept_where_retrieval_filters():
    model = make_model("first found", facts=2)
    tensors, _ = shared([[2, 0, 1], [-1, -1, -1]])
    output = model(**to_tensors(INPUTS), **tensors, output_facts=True)
    assert output.kept_facts[0].tolist() == [[0, 1]] * 3
    assert output.kept_facts[1].tolist() == [[-1, -1]] * 3
    without = {"fact_positions": torch.tensor([[2, 0], [-1, -1]])}
    close(output.logits, model(**to_tensors(INPUTS), **tensors | without).logits)
