"""Facts read by the encoder's own lower layers: one slot for each token, in its context.

Shapes: U facts, L tokens of the longest, T tokens of all facts, D width.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from kformer.modeling.kept_states import states_below

if TYPE_CHECKING:
    from kformer.modeling.model import KformerForMultipleChoice

_READ_AT_ONCE = 64  # facts of like lengths: computing little padding, and not many small parts


@torch.no_grad()
def fact_states(model: "KformerForMultipleChoice", ids: Tensor, mask: Tensor) -> Tensor:
    """What slots are made of (T, D), of facts (U, L) with their mask, fact after fact.

    The states of a fact's tokens after the layers below the injected ones, which without any are
    their embeddings: normalised, and of length 1, unless slots start as the layers' own
    projections, which read them as they are. No gradient flows back into these layers: the
    questions train them, and they read facts as they are at each step, without dropout.
    """
    layer = model.config.injection_layers[0]
    mask, order = mask.sort(descending=True, stable=True)  # moves all padding to the right
    ids, lengths = ids.gather(1, order), mask.sum(-1)
    states = torch.empty(*ids.shape, model.config.encoder.hidden_size, device=ids.device)
    for facts in lengths.argsort(stable=True).split(_READ_AT_ONCE):
        longest = max(1, int(lengths[facts[-1]]))
        read = states_below(model, layer, ids[facts, :longest][None], mask[facts, :longest][None])
        states[facts, :longest] = read[0].float()
    of_tokens = states[mask]
    if model.reads_states_as_tokens:
        return of_tokens.to(model.dtype)
    normalised = F.layer_norm(of_tokens, of_tokens.shape[-1:]) / of_tokens.shape[-1] ** 0.5
    return normalised.to(model.dtype)
