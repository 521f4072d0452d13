"""The candidate facts of a batch, and which of them each input keeps.

Shapes: B batch, C choices, M candidates, U distinct facts, T fact tokens, G groups of inputs that
share their candidates (B, or B·C where facts are per choice), R inputs, N facts kept, E width of
word embeddings.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Candidates:
    """The facts that are offered to a batch, each distinct one once.

    Attributes:
        ids: token ids (U, T).
        tokens: their mask (U, T).
        positions: which of these facts the candidates of each group are, (G, M); -1 for none.
        scores: what retrieval scored each of them, (G, M); None where nobody reads it.
    """

    ids: Tensor
    tokens: Tensor
    positions: Tensor
    scores: Tensor | None = None

    @classmethod
    def of(
        cls,
        inputs: torch.Size,
        ids: Tensor,
        mask: Tensor,
        positions: Tensor | None,
        scores: Tensor | None = None,
    ) -> Self:
        """The candidates as the model is given them.

        Args:
            inputs: the shape (B, C, L) of the inputs.
            ids: (U, T) with positions; without, (B, M, T) or (B, C, M, T).
            mask: the same shape; a fact that is all padding is no fact.
            positions: (B, M) or (B, C, M), see `positions`; None = each candidate has its own.
            scores: of the same shape.
        """
        assert ids.shape == mask.shape, f"facts and their mask differ: {ids.shape, mask.shape}"
        if positions is None:
            positions = torch.arange(ids.shape[:-1].numel(), device=ids.device)
            positions = positions.view(ids.shape[:-1])
            ids, mask = ids.flatten(0, -2), mask.flatten(0, -2)
        assert positions.shape[:-1] in (inputs[:1], inputs[:2]), (
            f"facts {tuple(positions.shape)}: neither per question nor per choice of inputs "
            f"{tuple(inputs)}"
        )
        tokens = mask.bool()
        positions = positions.flatten(0, -2)
        if len(ids):
            is_fact = (positions >= 0) & tokens.any(-1)[positions.clamp(min=0)]
            positions = positions.masked_fill(~is_fact, -1)
        return cls(ids, tokens, positions, None if scores is None else scores.flatten(0, -2))

    @property
    def is_empty(self) -> bool:
        """Whether no input of the batch has any candidate."""
        return self.ids.numel() == 0 or self.positions.numel() == 0

    def first(self, groups: Tensor, most: int) -> Tensor:
        """Which candidates (R, N) are the first of each input's group; N is at most ``most``."""
        number = min(most, self.positions.shape[1])
        return torch.arange(number, device=groups.device).expand(len(groups), -1)

    def best(self, inputs: Tensor, embeddings: Tensor, groups: Tensor, most: int) -> Tensor:
        """Which candidates (R, N) fit each input best, best first; N is at most ``most``.

        Args:
            inputs: the mean embeddings of the inputs, answers included, (R, E).
            embeddings: of the distinct facts, (U, E).
            groups: the group (R,) of each input.
        """
        positions = self.positions[groups]
        # In full precision also under autocast: rounding must not change a rank.
        with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
            fit = (inputs.float() @ embeddings.float().T).gather(1, positions.clamp(min=0))
        fit = fit.masked_fill(positions < 0, -torch.inf)
        return fit.topk(min(most, positions.shape[1])).indices
