"""From the candidate facts of a batch to what slots are made of, and which each input keeps.

Shapes: R rows, L tokens, U distinct facts of the batch, N facts kept, E width of word embeddings.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kformer.modeling.batch_facts import BatchFacts, RowSlots
from kformer.modeling.candidates import Candidates
from kformer.modeling.choice_grid import ChoiceGrid
from kformer.modeling.fact_states import fact_states

if TYPE_CHECKING:
    from kformer.modeling.model import KformerForMultipleChoice


def read_facts(
    model: "KformerForMultipleChoice",
    rows: Tensor,
    is_token: Tensor,
    grid: ChoiceGrid,
    candidates: Candidates,
) -> BatchFacts | None:
    """The facts to inject: those that fit each row best; None where there are none.

    Args:
        model: it embeds them.
        rows: the token ids of the inputs, (R, L).
        is_token: their mask, (R, L).
        grid: which choices the rows are.
        candidates: of the whole batch.
    """
    if candidates.is_empty:
        return None
    config, words = model.config, model.get_input_embeddings()
    if model.fact_embeddings is not None:
        embeddings = model.fact_embeddings(candidates.ids, candidates.tokens)
    else:
        embeddings = _mean(words, candidates.ids, candidates.tokens)
    groups = grid.groups(len(candidates.positions), rows.device)
    best = candidates.best(_mean(words, rows, is_token), embeddings, groups, config.facts)
    kept = candidates.positions[groups].gather(1, best)
    mask, kept = kept >= 0, kept.clamp(min=0)
    if config.fact_encoder == "layers":
        read, kept = kept.unique(return_inverse=True)  # no layer reads what nobody keeps
        tokens = candidates.tokens[read]
        embeddings = fact_states(model, candidates.ids[read], tokens)
        if not len(embeddings):
            return None  # all facts are padding
        of_rows = RowSlots.several(kept, mask, tokens.sum(-1))
    else:
        if model.adapter.projection and embeddings.shape[-1] != config.encoder.hidden_size:
            embeddings = model.encoder.get_submodule(model.adapter.projection)(embeddings)
        of_rows = RowSlots.one_each(kept, mask)
    facts = BatchFacts(embeddings, mask, of_rows, candidates=best)
    if config.scores_in_keys:
        assert candidates.scores is not None, "this model reads the scores of facts: give them"
        scores = candidates.scores[groups].gather(1, best).float()
        facts.scores = (scores - config.score_mean) / config.score_std
    return facts


@torch.no_grad()
def _mean(words: nn.Module, ids: Tensor, tokens: Tensor) -> Tensor:
    """The mean embeddings (…, E) of the words of texts (…, L) with their mask."""
    total: Tensor = (words(ids) * tokens[..., None]).sum(-2).float()
    return total / tokens.sum(-1, keepdim=True).clamp(min=1)
