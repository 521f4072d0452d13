"""The word embeddings of facts: a copy of the encoder's own, trained separately."""

from torch import Tensor
from torch.nn import functional as F

from kformer.modeling.partly_trained import PartlyTrainedEmbedding


class FactEmbeddings(PartlyTrainedEmbedding):
    """A table (V, E) that turns facts into the mean of their tokens' embeddings."""

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


def embedding_sum(ids: Tensor, table: Tensor, mask: Tensor) -> Tensor:
    """The sums (F, E) of the rows of a table (V, E) for the ids (F, T) under the mask (F, T)."""
    return F.embedding_bag(ids, table, mode="sum", per_sample_weights=mask.to(table.dtype))
