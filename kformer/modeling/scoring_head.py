"""What turns the state of one token into the score of its choice."""

import torch
from torch import Tensor, nn

from kformer.modeling.configuration import KformerConfig


class ScoringHead(nn.Module):
    """Scores one token's state (R, D): dropout, dense, tanh, dropout, one number (R,)."""

    def __init__(self, config: KformerConfig) -> None:
        super().__init__()
        width = config.encoder.hidden_size
        self.dropout = nn.Dropout(config.head_dropout)
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, 1)

    def forward(self, state: Tensor) -> Tensor:
        state = torch.tanh(self.dense(self.dropout(state)))
        return self.out_proj(self.dropout(state)).squeeze(-1)
