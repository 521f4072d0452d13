"""The word embeddings of facts: a copy of the encoder's own, trained separately."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FactEmbeddings(nn.Embedding):
    """A table (V, E) that turns facts into the mean of their tokens' embeddings.

    A gradient of this table and the optimiser's pass over it would cost as much as those of the
    encoder's own, though the facts of a data set use few of its rows: `train_only` trains just
    these. The whole table is saved and loaded.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__(num_embeddings, embedding_dim)
        self.rows: nn.Parameter | None = None
        self.register_buffer("row_of_token", None, persistent=False)
        self.register_state_dict_post_hook(_save_whole)
        self.register_load_state_dict_pre_hook(_load_rows)

    def train_only(self, tokens: Iterable[int]) -> None:
        """Makes the rows of these tokens trainable and freezes all others.

        No other row gets a gradient if these are all the tokens of the training facts, so that
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

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """The mean embedding (F, E) of the tokens of F facts, (F, T) with their mask.

        A fact without tokens is zero.
        """
        if ids.numel() == 0:
            return self.weight.new_zeros(ids.shape[0], self.embedding_dim)
        is_token = mask.bool()
        if self.rows is None:
            total = embedding_sum(ids, self.weight, is_token)
        else:
            rows = self.row_of_token[ids]
            total = embedding_sum(rows.clamp(min=0), self.rows, is_token & (rows >= 0))
            total = total + embedding_sum(ids, self.weight, is_token & (rows < 0))
        return total / is_token.sum(-1, keepdim=True).clamp(min=1)

    def whole(self) -> Tensor:
        """The table (V, E) with the trained rows put in, without gradient."""
        table = self.weight.detach()
        if self.rows is None:
            return table
        return table.index_put((self.row_of_token >= 0,), self.rows.detach())


def embedding_sum(ids: Tensor, table: Tensor, mask: Tensor) -> Tensor:
    """The sums (F, E) of the rows of a table (V, E) for the ids (F, T) under the mask (F, T)."""
    return F.embedding_bag(ids, table, mode="sum", per_sample_weights=mask.to(table.dtype))


def facts_at(positions: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Facts (…, M, T) and their mask, of U facts (U, T) and which of them each is (…, M)."""
    return ids[positions], mask[positions] * (positions >= 0)[..., None]


def check_facts(inputs: torch.Size, facts: Tensor, mask: Tensor) -> None:
    """Asserts that facts (B, M, T) or (B, C, M, T) and their mask belong to inputs (B, C, L)."""
    assert facts.shape == mask.shape, f"facts and their mask differ: {facts.shape, mask.shape}"
    assert facts.shape[:-2] in (inputs[:1], inputs[:2]), (
        f"facts {tuple(facts.shape)}: neither per question nor per choice of inputs {tuple(inputs)}"
    )


def _save_whole(module: FactEmbeddings, state: dict[str, Any], prefix: str, _: Any) -> None:
    if state.pop(f"{prefix}rows", None) is not None:
        state[f"{prefix}weight"] = module.whole()


def _load_rows(module: FactEmbeddings, state: dict[str, Any], prefix: str, *_: Any) -> None:
    if module.rows is not None and f"{prefix}weight" in state:
        trained = (module.row_of_token >= 0).cpu()
        state[f"{prefix}rows"] = state[f"{prefix}weight"][trained]
