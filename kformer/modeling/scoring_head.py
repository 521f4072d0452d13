"""What turns the state of one token into the score of its choice."""

import torch
from torch import Tensor, nn

from kformer.modeling.configuration import KformerConfig


class ScoringHead(nn.Module):
    """Scores one token's state (R, D): dropout, dense, tanh, dropout, one number (R,).

    Also under autocast it computes in the precision of its weights: of logits in bf16, with eight
    significant bits, many would be equal.
    """

    def __init__(self, config: KformerConfig) -> None:
        super().__init__()
        width = config.encoder.hidden_size
        self.dropout = nn.Dropout(config.head_dropout)
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, 1)

    def forward(self, state: Tensor) -> Tensor:
        with torch.autocast(state.device.type, enabled=False):
            state = self.dropout(state.to(self.dense.weight.dtype))
            state = torch.tanh(self.dense(state))
            return self.out_proj(self.dropout(state)).squeeze(-1)
