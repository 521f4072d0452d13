"""Running a part of an encoder: its lower layers alone, or the upper ones from given states.

What lies below every layer that is trained or injected into makes the same states of the same
input each time. They are computed once with `states_below`, and `given_states` then runs the rest.
While that lasts, the ``forward`` of the modules that are left out is replaced on the instance:
parameters keep their names, and the model stays whole.

Shapes: B batch, C choices, L tokens, D width, R rows that are computed.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kformer.modeling.encoder_families import Adapter

if TYPE_CHECKING:
    from kformer.modeling.model import KformerForMultipleChoice


@torch.no_grad()
def states_below(
    model: "KformerForMultipleChoice", layer: int, input_ids: Tensor, attention_mask: Tensor
) -> Tensor:
    """The states that enter a layer of the encoder, without dropout.

    Args:
        model: nothing may be injected below the layer.
        layer: 0-based; the number of all layers gives what the last one makes.
        input_ids: (B, C, L).
        attention_mask: (B, C, L), 1 for tokens.

    Returns:
        (B, C, L, D), each row's tokens first, wherever padding was; padding is zero.
    """
    encoder, adapter = model.encoder, model.adapter
    upper = adapter.layers_of(encoder)[layer:]
    computed: list[Tensor] = []
    keep = encoder.register_forward_hook(lambda *call: computed.append(call[2].last_hidden_state))
    was_training = model.training
    model.eval()
    try:
        with _skipping(adapter, upper), _replaced(adapter.modules_above(encoder), _state):
            model(input_ids, attention_mask, output_facts=True)  # the states of all tokens
    finally:
        keep.remove()
        model.train(was_training)
    states = computed[0].unflatten(0, input_ids.shape[:2])
    is_token = attention_mask.bool().sort(descending=True, stable=True).values
    return states.masked_fill(~is_token[..., None], 0.0)


@contextmanager
def given_states(model: "KformerForMultipleChoice", states: Tensor | None) -> Iterator[None]:
    """Lets the encoder start at ``model.states_layer``, from states (R, L, D); None = anew."""
    if states is None:
        yield
        return
    layer, adapter, encoder = model.states_layer, model.adapter, model.encoder
    assert layer is not None, "say which layer the states enter: model.states_layer"
    rows = states.to(encoder.dtype)
    embeddings, *others = adapter.modules_below(encoder)
    with (
        _replaced([embeddings], lambda *_, **__: rows),
        _replaced(others, _state),
        _skipping(adapter, adapter.layers_of(encoder)[:layer]),
    ):
        yield


def _skipping(adapter: Adapter, layers: Iterable[nn.Module]) -> Any:
    """Lets layers hand on the states that they are given."""
    return _replaced(layers, _state_in_tuple if adapter.layers_return_tuples else _state)


@contextmanager
def _replaced(modules: Iterable[nn.Module], forward: Callable[..., Any]) -> Iterator[None]:
    replaced = list(modules)
    for module in replaced:
        module.forward = forward
    try:
        yield
    finally:
        for module in replaced:
            del module.forward


def _state(state: Tensor, *_: Any, **__: Any) -> Tensor:
    return state


def _state_in_tuple(state: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
    return state, None
