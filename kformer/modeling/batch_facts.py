"""The facts of a batch, as slots read them.

Shapes: R rows (question-choice pairs), L tokens, U facts of the batch, T slots of these, N facts
kept, S slots of a row, D width.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class RowSlots:
    """The slots of each row: those of the facts that it keeps.

    Attributes:
        slots: which of the batch's slots they are, (R, S).
        facts: whose they are, of the facts that the row keeps, (R, S).
        mask: which of these are slots at all, (R, S).
    """

    slots: Tensor
    facts: Tensor
    mask: Tensor

    @classmethod
    def one_each(cls, kept: Tensor, mask: Tensor) -> Self:
        """Of facts (R, N), of all U, that have a slot each."""
        facts = torch.arange(kept.shape[1], device=kept.device)
        return cls(kept, facts.expand_as(kept), mask)

    @classmethod
    def several(cls, kept: Tensor, mask: Tensor, counts: Tensor) -> Self:
        """Of facts (R, N) that have so many slots (U,), all of them one after the other.

        A row's slots have no gaps: padding is only what makes rows of the same length.
        """
        first = counts.cumsum(0) - counts
        of_kept = counts[kept].masked_fill(~mask, 0)
        ends = of_kept.cumsum(1)
        places = torch.arange(max(1, int(ends[:, -1].max())), device=ends.device)
        places = places.expand(len(ends), -1).contiguous()
        facts = torch.searchsorted(ends, places, right=True).clamp(max=ends.shape[1] - 1)
        is_slot = places < ends[:, -1:]
        slots = (first[kept] - ends + of_kept).gather(1, facts) + places
        return cls(slots.masked_fill(~is_slot, 0), facts, is_slot)


@dataclass
class BatchFacts:
    """The facts of the batch that is being computed.

    Attributes:
        embeddings: what the slots of all distinct facts of the batch are made of, (T, D).
        mask: which of the facts that each row keeps there are at all, (R, N).
        of_rows: the slots of each row.
        scores: what retrieval scored the kept facts, standardised, (R, N); None = nobody reads it.
        candidates: which of its question's candidates these are, (R, N); None where a method has
            facts of its own.
        tokens: the mask (R, L) of the input if activations are to be recorded, else None.
    """

    embeddings: Tensor
    mask: Tensor
    of_rows: RowSlots
    scores: Tensor | None = None
    candidates: Tensor | None = None
    tokens: Tensor | None = None
