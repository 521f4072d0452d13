"""Dropout on a CPU: its shares, its gradient, its dependence on PyTorch's generator alone."""

import copy
import pickle

import pytest
import torch
from torch import nn

from kformer.modeling.dropout import FastDropout, dropout, use_fast_dropout


@pytest.fixture(autouse=True)
def on_the_cpu(on_the_device):
    torch.set_default_device(None)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.97])
def test_so_many_are_dropped_and_the_others_scaled(p, kind):
    torch.manual_seed(0)
    states = torch.ones(1000, 1001, dtype=kind)
    found = dropout(states, p, training=True)
    assert found.dtype == kind and found.shape == states.shape
    share = (found == 0).double().mean().item()
    assert share == pytest.approx(p, abs=5 * (p * (1 - p) / 1_001_000) ** 0.5)
    assert found[found != 0].float().unique().item() == pytest.approx(1 / (1 - p), rel=4e-3)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    zero = (dropout(torch.ones(400_000), 0.3, training=True) == 0).double()
    for distance in (1, 2, 3, 4, 5, 8):
        together = (zero[distance:] * zero[:-distance]).mean().item()
        assert together == pytest.approx(0.09, abs=0.003)


def test_the_gradient_has_the_same_mask():
    torch.manual_seed(0)
    states = torch.full((7, 13), 2.0, requires_grad=True)
    found = dropout(states, 0.4, training=True)
    found.sum().backward()
    assert torch.equal(found.detach(), 2 * states.grad)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 1), (0, 5)])
def test_any_shape_will_do(shape):
    assert dropout(torch.ones(shape), 0.5, training=True).shape == shape


def test_masks_differ_and_come_from_the_seed():
    states = torch.ones(64, 64)

    def masks(seed):
        torch.manual_seed(seed)
        return [dropout(states, 0.5, training=True) for _ in range(2)]

    first, second = masks(1)
    assert not torch.equal(first, second)
    assert torch.equal(first, masks(1)[0]) and torch.equal(second, masks(1)[1])
    assert not torch.equal(first, masks(2)[0])


def test_nothing_is_dropped_outside_of_training_or_at_zero():
    states = torch.ones(64, 64)
    before = torch.get_rng_state()
    assert dropout(states, 0.5, training=False) is states
    assert torch.equal(dropout(states, 0.0, training=True), states)
    assert torch.equal(torch.get_rng_state(), before)
    assert not dropout(states, 1.0, training=True).any()


def test_all_dropout_of_a_module_is_replaced_and_its_names_stay():
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.2)))
    names = module.state_dict().keys()
    use_fast_dropout(module)
    assert [type(each) for each in module.modules()].count(FastDropout) == 2
    assert module.state_dict().keys() == names
    twin = pickle.loads(pickle.dumps(copy.deepcopy(module)))
    assert isinstance(twin[1], FastDropout) and twin[1].p == 0.5
