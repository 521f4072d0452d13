"""Facts read by the encoder's own lower layers: one slot for each token, in its context.

Shapes: U facts, T tokens of a fact, D width.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from kformer.modeling.kept_states import states_below

if TYPE_CHECKING:
    from kformer.modeling.model import KformerForMultipleChoice


@torch.no_grad()
def fact_states(model: "KformerForMultipleChoice", ids: Tensor, mask: Tensor) -> Tensor:
    """What slots are made of (U, T, D), of facts (U, T) with their mask.

    The states of a fact's tokens after the layers below the injected ones, normalised, and of
    length 1. No gradient flows back into these layers: the questions train them, and they read
    facts as they are at each step, without dropout.
    """
    layer = model.config.injection_layers[0]
    states = states_below(model, layer, ids[None], mask[None].long())[0].float()
    normalised = F.layer_norm(states, states.shape[-1:]) / states.shape[-1] ** 0.5
    return normalised.to(model.dtype)
