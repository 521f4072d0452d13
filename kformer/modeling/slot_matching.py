"""When a slot of the feed-forward layer fires, other than by the dot product of the released model.

Shapes: R rows (question-choice pairs), L tokens, S slots of a row, D width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from kformer.modeling.batch_facts import BatchFacts


class Cosine(nn.Module):
    """Matches a slot where the cosine of state and key exceeds a threshold.

    ``scale · (cos(x, k) − threshold)``, both learned. As LayerNorm on the keys of KBLaM (Wang et
    al., arXiv 2410.10450) does, it keeps the many slots that are not meant from drowning the few
    that are; and it makes them fire from the first step, whatever the length of states.
    """

    _SCALE, _THRESHOLD = 12.0, 0.4

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width
        self.scale = nn.Parameter(torch.empty(()))
        self.threshold = nn.Parameter(torch.empty(()))

    def initialise(self, std: float) -> None:
        init.constant_(self.scale, self._SCALE)
        init.constant_(self.threshold, self._THRESHOLD)

    def keys(self, keys: Tensor) -> Tensor:
        """Keys (…, D) of length 1."""
        return F.normalize(keys.float(), dim=-1).to(keys.dtype)

    def forward(self, states: Tensor, keys: Tensor) -> Tensor:
        """How well states (R, L, D) match keys (R, S, D) of length 1, (R, L, S)."""
        scale = self.scale / math.sqrt(self._width)  # the length of what is normalised
        normalised = F.layer_norm(states, (self._width,)).to(keys.dtype)
        matched = normalised @ keys.transpose(1, 2)
        return matched * scale.to(keys.dtype) - (self.scale * self.threshold).to(keys.dtype)


class OfScore(nn.Module):
    """What a fact's retrieval score adds to how well its slots match: one more dimension of keys.

    Where every choice has facts of its own, these all have the words of their choice; the score
    says which of them also speak of the question. How much it counts is learned, from 1 on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(()))

    def initialise(self, std: float) -> None:
        init.constant_(self.weight, 1.0)

    def forward(self, facts: BatchFacts) -> Tensor:
        """(R, 1, S)."""
        assert facts.scores is not None
        return self.weight * facts.scores.gather(1, facts.of_rows.facts)[:, None]
