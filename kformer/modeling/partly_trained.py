"""Word embeddings of which just those rows are trained that the training texts use.

A gradient of the whole table and the optimiser's pass over it would cost as much as all layers of a
small encoder, though the texts of a data set use few of its rows: a batch of 400 tokens takes
longer to bring to 11.7 million numbers of word embeddings than to compute.

Shapes: V tokens of the vocabulary, E width.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PartlyTrainedEmbedding(nn.Embedding):
    """A table (V, E) of which some rows can be trained alone; it is saved and loaded whole."""

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__(num_embeddings, embedding_dim)
        self._begin_whole()

    @classmethod
    def take_over(cls, embedding: nn.Embedding) -> None:
        """Makes an embedding one of these, in its place: the same weight, under the same name."""
        assert type(embedding) is nn.Embedding, type(embedding)
        embedding.__class__ = cls
        assert isinstance(embedding, cls)
        embedding._begin_whole()

    def _begin_whole(self) -> None:
        self.rows: nn.Parameter | None = None
        self.register_buffer("row_of_token", None, persistent=False)
        self.register_state_dict_post_hook(_save_whole)
        self.register_load_state_dict_pre_hook(_load_rows)

    def train_only(self, tokens: Iterable[int]) -> None:
        """Makes the rows of these tokens trainable and freezes all others.

        No other row gets a gradient if these are all the tokens of the training texts, so that
        this only saves time. Call it before the optimiser is made.
        """
        assert self.rows is None, "the rows to train have been chosen already"
        self.weight.requires_grad_(False)
        ids = torch.tensor(sorted(set(tokens)), dtype=torch.long, device=self.weight.device)
        if len(ids) == 0:
            return
        self.row_of_token = torch.full((self.num_embeddings,), -1, device=ids.device)
        self.row_of_token[ids] = torch.arange(len(ids), device=ids.device)
        self.rows = nn.Parameter(self.weight[ids])

    def forward(self, ids: Tensor) -> Tensor:
        """The embeddings (…, E) of tokens (…)."""
        frozen = super().forward(ids)
        if self.rows is None:
            return frozen
        rows = self.row_of_token[ids]
        trained = F.embedding(rows.clamp(min=0), self.rows)
        return torch.where(rows[..., None] >= 0, trained, frozen)

    def whole(self) -> Tensor:
        """The table (V, E) with the trained rows put in, without gradient."""
        table = self.weight.detach()
        if self.rows is None:
            return table
        return table.index_put((self.row_of_token >= 0,), self.rows.detach())


def _save_whole(module: PartlyTrainedEmbedding, state: dict[str, Any], prefix: str, _: Any) -> None:
    if state.pop(f"{prefix}rows", None) is not None:
        state[f"{prefix}weight"] = module.whole()


def _load_rows(module: PartlyTrainedEmbedding, state: dict[str, Any], prefix: str, *_: Any) -> None:
    if module.rows is not None and f"{prefix}weight" in state:
        trained = (module.row_of_token >= 0).cpu()
        state[f"{prefix}rows"] = state[f"{prefix}weight"][trained]
