"""An injection as somebody's own package has it: Kformer with a gate that starts closed.

The gate is that of LLaMA-Adapter (Zhang et al., arXiv 2303.16199).
"""

import torch
from torch import nn

from kformer.modeling.injections import FeedForwardInjection
from kformer.modeling.slots import FeedForwardSlots, InjectionModule


class GatedSlots(FeedForwardSlots):
    """Slots whose values are scaled by a trained number, zero at first."""

    def __init__(self, config, site):
        super().__init__(config, site)
        self.gate = nn.Parameter(torch.empty(1))

    def initialise(self, std):
        nn.init.zeros_(self.gate)

    def keys_values_mask(self):
        keys, values, mask = super().keys_values_mask()
        return keys, self.gate * values, mask


class GatedInjection(FeedForwardInjection):
    """Facts as slots of the feed-forward memory, behind a gate for each layer."""

    @classmethod
    def build(cls, config, encoder):
        return InjectionModule(config, encoder, GatedSlots)
