"""What a model returns.

Shapes: B batch, C choices, M candidate facts, N facts kept, P injected layers.
"""

from dataclasses import dataclass

from torch import Tensor
from transformers.modeling_outputs import MultipleChoiceModelOutput


@dataclass
class KformerOutput(MultipleChoiceModelOutput):
    """Loss and logits (B, C); with ``output_facts`` also what the model did with the facts.

    Attributes:
        kept_facts: (B, C, N), positions among the M candidates, best first, −1 for none.
        fact_activations: (B, C, P, N), how strongly each kept fact fired in each injected layer,
            the highest over the tokens of the input: for ``ffn`` the FFN's activation
            ``gelu(x · k_i)``, for ``attention`` the attention weight, mean over heads.
    """

    kept_facts: Tensor | None = None
    fact_activations: Tensor | None = None
