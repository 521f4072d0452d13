"""The facts of a batch, as slots read them.

Shapes: R rows (question-choice pairs), L tokens, U facts of the batch, N facts kept, S slots a
fact, D width.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class BatchFacts:
    """The facts of the batch that is being computed.

    Attributes:
        embeddings: what slots are made of, for all distinct facts of the batch, (U, S, D).
        kept: which of them each row keeps, (R, N).
        mask: which of these are facts at all, (R, N).
        slots: which of a fact's S slots there are, (U, S); None = all.
        scores: what retrieval scored the kept facts, standardised, (R, N); None = nobody reads it.
        candidates: which of its question's candidates these are, (R, N); None where a method has
            facts of its own.
        tokens: the mask (R, L) of the input if activations are to be recorded, else None.
    """

    embeddings: Tensor
    kept: Tensor
    mask: Tensor
    slots: Tensor | None = None
    scores: Tensor | None = None
    candidates: Tensor | None = None
    tokens: Tensor | None = None

    @property
    def slot_mask(self) -> Tensor:
        """Which slots of each row there are, (R, N·S)."""
        mask = self.mask[..., None].expand(-1, -1, self.embeddings.shape[1])
        return (mask if self.slots is None else mask & self.slots[self.kept]).flatten(1)
