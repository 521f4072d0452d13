"""Which encoder, and what is injected where: the `model` section of the config."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from kformer.section import Section, Share, Text


class Model(Section):
    """The encoder, and what is injected where."""

    encoder: Text = "roberta-base"
    """A Hugging Face id, a local folder, or `bundled/all-MiniLM-L6-v2`."""
    injection: Literal["none", "concat", "attention", "ffn", "static"] = "none"
    """How facts get in: not at all, as text, as attention keys and values, as FFN slots; `static`:
    a control, FFN slots that are trained but come from no fact."""
    layers: Literal["top3", "bottom3", "all"] | tuple[NonNegativeInt, PositiveInt] = "top3"
    """The injected layers: a name, or [start, end), 0-based and half open."""
    facts: PositiveInt = 5
    """N, how many facts are kept per choice."""
    key_init: Literal["normal", "identity"] = "normal"
    """How key projections start: N(0, 0.02) as released, or that plus a scaled identity."""
    key_scale: PositiveFloat = 4.0
    """Scale of the identity in `key_init: identity`."""
    max_tokens: PositiveInt = 512
    """L, the longest input of one choice, in tokens."""
    max_fact_tokens: PositiveInt = 45
    """T, the longest fact, in tokens."""
    head_dropout: Share = 0.0
    """Dropout in the scoring head."""
