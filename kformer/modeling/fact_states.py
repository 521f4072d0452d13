"""Facts read by the encoder's own lower layers: one slot for each token, in its context.

Shapes: U facts, T tokens of a fact, D width.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kformer.modeling.kept_states import states_below

if TYPE_CHECKING:
    from kformer.modeling.model import KformerForMultipleChoice


class FactStates(nn.Module):
    """The states of facts' tokens, centred on the mean of many and brought to length 1.

    All states of an encoder have much in common; what tells one token from another is what is left
    without it. No gradient flows back into the layers that read: they are trained by the questions,
    and read facts as they are at each step.

    Attributes:
        mean: of the states of tokens (D,), see `measure`; zero until then.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(width))

    @torch.no_grad()
    def measure(self, model: "KformerForMultipleChoice", ids: Tensor, mask: Tensor) -> None:
        """Sets the mean to that over the tokens of some facts, (U, T) with their mask."""
        if mask.any():
            self.mean.copy_(self._read(model, ids, mask)[mask].mean(0))

    @torch.no_grad()
    def forward(self, model: "KformerForMultipleChoice", ids: Tensor, mask: Tensor) -> Tensor:
        """What slots are made of (U, T, D), of facts (U, T) with their mask."""
        return F.normalize(self._read(model, ids, mask) - self.mean, dim=-1)

    def _read(self, model: "KformerForMultipleChoice", ids: Tensor, mask: Tensor) -> Tensor:
        layer = model.config.injection_layers[0]
        return states_below(model, layer, ids[None], mask[None].long())[0].float()
