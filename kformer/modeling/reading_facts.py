"""From the candidate facts of a batch to what slots are made of, and which each input keeps.

Shapes: R rows, L tokens, U distinct facts of the batch, N facts kept, E width of word embeddings.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kformer.modeling.batch_facts import BatchFacts
from kformer.modeling.candidates import Candidates
from kformer.modeling.choice_grid import ChoiceGrid
from kformer.modeling.fact_states import fact_states

if TYPE_CHECKING:
    from kformer.modeling.model import KformerForMultipleChoice


def read_facts(
    model: "KformerForMultipleChoice",
    rows: Tensor,
    tokens: Tensor,
    grid: ChoiceGrid,
    candidates: Candidates,
) -> BatchFacts | None:
    """The facts to inject: those that fit each row best; None where there are no candidates.

    Args:
        model: it embeds them.
        rows: the token ids of the inputs, (R, L).
        tokens: their mask, (R, L).
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
    best = candidates.best(_mean(words, rows, tokens), embeddings, groups, config.facts)
    kept = candidates.positions[groups].gather(1, best)
    facts = BatchFacts(embeddings[:, None], kept.clamp(min=0), kept >= 0, candidates=best)
    if config.scores_in_keys:
        assert candidates.scores is not None, "this model reads the scores of facts: give them"
        scores = candidates.scores[groups].gather(1, best).float()
        facts.scores = (scores - config.score_mean) / config.score_std
    if config.fact_encoder == "layers":
        facts.embeddings = fact_states(model, candidates.ids, candidates.tokens)
        facts.slots = candidates.tokens
    elif model.adapter.projection and embeddings.shape[-1] != config.encoder.hidden_size:
        facts.embeddings = model.encoder.get_submodule(model.adapter.projection)(facts.embeddings)
    return facts


@torch.no_grad()
def _mean(words: nn.Module, ids: Tensor, tokens: Tensor) -> Tensor:
    """The mean embeddings (…, E) of the words of texts (…, L) with their mask."""
    total: Tensor = (words(ids) * tokens[..., None]).sum(-2).float()
    return total / tokens.sum(-1, keepdim=True).clamp(min=1)
