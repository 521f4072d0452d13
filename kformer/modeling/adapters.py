"""Where the parts of each family of encoders live: the one place that knows their names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from kformer.errors import KformerError


@dataclass(frozen=True)
class LayerSites:
    """Where an injection attaches to one layer of an encoder.

    Attributes:
        feed_forward_in: the module whose first argument is the FFN's input x.
        feed_forward_out: the module whose result is fc2(gelu(fc1 x)), before dropout.
        attention: the module that passes its keyword arguments on to the attention function.
    """

    feed_forward_in: nn.Module
    feed_forward_out: nn.Module
    attention: nn.Module


def _bert_like(encoder: Any) -> list[LayerSites]:
    return [
        LayerSites(layer.intermediate, layer.output.dense, layer.attention.self)
        for layer in encoder.encoder.layer
    ]


ADAPTERS: dict[str, Callable[[PreTrainedModel], list[LayerSites]]] = {
    "bert": _bert_like,
    "electra": _bert_like,
    "roberta": _bert_like,
    "xlm-roberta": _bert_like,
}


def layer_sites(encoder: PreTrainedModel) -> list[LayerSites]:
    """The sites of every layer, first layer first.

    Raises:
        KformerError: no adapter knows this family of encoders.
    """
    family = encoder.config.model_type
    if family not in ADAPTERS:
        raise KformerError(
            f"model.encoder: the family {family!r} is not supported; "
            f"supported are {', '.join(sorted(ADAPTERS))}"
        )
    return ADAPTERS[family](encoder)
