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
    """The facts to inject, those that each row keeps; None where there are none.

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
    reads_words = "words" in (config.filter, config.fact_encoder)
    embeddings = _mean_words(model, candidates) if reads_words else None
    groups = grid.groups(len(candidates.positions), rows.device)
    if config.filter == "retrieval":
        best = candidates.first(groups, config.facts)
    else:
        assert embeddings is not None
        best = candidates.best(_mean(words, rows, is_token), embeddings, groups, config.facts)
    kept = candidates.positions[groups].gather(1, best)
    facts = _with_slots(model, candidates, embeddings, kept)
    facts.candidates = best
    if config.scores_in_keys:
        assert candidates.scores is not None, "this model reads the scores of facts: give them"
        scores = candidates.scores[groups].gather(1, best).float()
        facts.scores = (scores - config.score_mean) / config.score_std
    return facts


def _with_slots(
    model: "KformerForMultipleChoice", candidates: Candidates, words: Tensor | None, kept: Tensor
) -> BatchFacts:
    """The facts (R, N) that rows keep, -1 for none, with what their slots are made of.

    Args:
        words: the mean embeddings (U, E) of the words of all facts; None where nothing reads them.
    """
    mask, kept = kept >= 0, kept.clamp(min=0)
    if model.config.fact_encoder == "layers":
        read, kept = kept.unique(return_inverse=True)  # no layer reads what nobody keeps
        tokens = candidates.tokens[read]
        states = fact_states(model, candidates.ids[read], tokens)
        if not len(states):  # all facts are padding: slots that are none need one to point at
            states = states.new_zeros(1, states.shape[1])
        return BatchFacts(states, mask, RowSlots.several(kept, mask, tokens.sum(-1)))
    assert words is not None
    if model.adapter.projection and words.shape[-1] != model.config.encoder.hidden_size:
        words = model.encoder.get_submodule(model.adapter.projection)(words)
    return BatchFacts(words, mask, RowSlots.one_each(kept, mask))


def _mean_words(model: "KformerForMultipleChoice", candidates: Candidates) -> Tensor:
    """The mean word embeddings (U, E) of facts, by the table of facts where there is one."""
    if model.fact_embeddings is not None:
        embeddings: Tensor = model.fact_embeddings(candidates.ids, candidates.tokens)
        return embeddings
    return _mean(model.get_input_embeddings(), candidates.ids, candidates.tokens)


@torch.no_grad()
def _mean(words: nn.Module, ids: Tensor, tokens: Tensor) -> Tensor:
    """The mean embeddings (…, E) of the words of texts (…, L) with their mask."""
    total: Tensor = (words(ids) * tokens[..., None]).sum(-2).float()
    return total / tokens.sum(-1, keepdim=True).clamp(min=1)
