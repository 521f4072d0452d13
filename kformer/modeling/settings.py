"""Which encoder, and what is injected where: the `model` section of the config."""

from collections.abc import Set
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from kformer.config_section import Reference, Section, Share
from kformer.errors import KformerError
from kformer.modeling.injections import (
    INJECTION_SETTINGS,
    INJECTIONS,
    Injection,
    described_injection,
    find_injection,
)


def _known(name: str) -> str:
    try:
        find_injection(name)
    except KformerError as error:
        raise ValueError(str(error)) from None
    return name


def _suggest_names(schema: dict[str, Any]) -> None:
    """The names that every installation knows, and any other: it may be that of a package."""
    schema["anyOf"] = [{"enum": list(INJECTIONS), "type": "string"}, {"type": schema.pop("type")}]


InjectionName = Annotated[str, AfterValidator(_known), Field(json_schema_extra=_suggest_names)]


def _ends_after_it_starts(layers: Any) -> Any:
    if not isinstance(layers, str) and layers[0] >= layers[1]:
        raise ValueError(f"{list(layers)} must be [start, end] with start < end")
    return layers


Layers = Annotated[
    Literal["top3", "bottom3", "all"] | tuple[NonNegativeInt, PositiveInt],
    AfterValidator(_ends_after_it_starts),
]


class Model(Section):
    """The encoder, and what is injected where."""

    encoder: Reference = "roberta-base"
    """A Hugging Face id, a local folder, or `bundled/all-MiniLM-L6-v2`."""
    injection: InjectionName = "none"
    """How facts get in: not at all, as text, as attention keys and values, as FFN slots; `static`:
    a control, FFN slots that are trained but come from no fact. Or the name of a method that
    another package brings along."""
    layers: Layers = "top3"
    """The injected layers: a name, or [start, end), 0-based and half open."""
    facts: PositiveInt = 5
    """N, how many facts are kept per choice."""
    filter: Literal["words", "retrieval"] = "words"
    """Which of the facts that retrieval found slots are made of: those whose word embeddings fit
    the input best, as released, or those that retrieval found best."""
    key_init: Literal["normal", "identity", "encoder"] = "normal"
    """How key projections start: N(0, 0.02) as released; `identity`: that plus a scaled identity;
    `encoder`, for `attention` with `fact_encoder: layers`: as the layer's own, so that facts are
    attended to as tokens are."""
    key_scale: PositiveFloat = 4.0
    """Scale of the identity in `key_init: identity`."""
    value_init: Literal["normal", "identity", "encoder"] = "normal"
    """How value projections start: as with `key_init`."""
    value_scale: PositiveFloat = 1.0
    """Scale of the identity in `value_init: identity`."""
    fact_encoder: Literal["words", "layers"] = "words"
    """What slots are made of: `words`: one a fact, from the mean of its word embeddings, as
    released; `layers`: one a token of a fact, from its state after the encoder's layers below the
    injected ones, which read each fact."""
    match: Literal["dot", "cosine"] = "dot"
    """When a slot of the FFN fires: `dot`: by the dot product with its key, as released; `cosine`:
    where the cosine with its key exceeds a threshold, which is learned."""
    scores_in_keys: bool = False
    """Whether the score that retrieval gave a fact is one more dimension of its keys in the FFN, so
    that better finds fire more strongly; how much more is learned."""
    max_tokens: PositiveInt = 512
    """L, the longest input of one choice, in tokens."""
    max_fact_tokens: PositiveInt = 45
    """T, the longest fact, in tokens."""
    head_dropout: Share = 0.0
    """Dropout in the scoring head."""

    @property
    def method(self) -> type[Injection]:
        """The injection itself, which says what it reads."""
        return find_injection(self.injection)

    def relevant_settings(self) -> dict[str, Any]:
        """The settings that a run depends on: all but those that its injection does not read.

        Raises:
            KformerError: the injection says that it reads what is no setting of an injection.
        """
        read = self.method.reads(self)
        if not (isinstance(read, Set) and read <= INJECTION_SETTINGS):
            raise KformerError(
                f"{described_injection(self.injection)} reads {read!r}; its `reads` must return a "
                f"set of {', '.join(sorted(INJECTION_SETTINGS))}"
            )
        return self.model_dump(mode="json", exclude=set(INJECTION_SETTINGS - read))

    def check_combination(self) -> None:
        """Raises ValueError for settings that cannot be used together."""
        try:
            self.method.check(self)
        except KformerError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _reads_known_settings(self) -> Self:
        try:
            self.relevant_settings()
        except KformerError as error:
            raise ValueError(str(error)) from None
        return self
