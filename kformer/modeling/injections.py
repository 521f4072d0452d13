"""The ways in which facts get into a model: one small class each, named in `INJECTIONS`.

A class says what its method reads; config, keys, processor, model and prediction ask it. This
module loads neither torch nor transformers: what a method adds to an encoder, `Injection.build`
makes from the parts in `kformer.modeling.slots`.

A method may also come from any installed package, which names its class as an entry point:

    [project.entry-points."kformer.injections"]
    gated = "my_package.gated:GatedInjection"
"""

from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from kformer.errors import KformerError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from kformer.modeling.configuration import KformerConfig
    from kformer.modeling.slots import InjectionModule

ENTRY_POINTS = "kformer.injections"
INJECTION_SETTINGS = frozenset({"layers", "facts", "key_init", "key_scale", "max_fact_tokens"})
"""Fields of the `Model` settings that only some methods read; a run depends on all others."""


class SettingsOfAnyMethod(Protocol):
    """What decides which other settings are read; `kformer.modeling.settings.Model` is one."""

    @property
    def key_init(self) -> str: ...


class Injection:
    """How facts get into a model.

    Attributes:
        fact_input: how the model is given facts: not at all, as text in its input, or as tokens
            of their own, which it embeds.
        has_slots: whether layers of the encoder get slots, a key and a value for each fact.
        joins_attention: whether these slots are read by the self-attention, for which the encoder
            must be built with an attention that takes facts.
    """

    fact_input: ClassVar[Literal["none", "text", "embeddings"]] = "none"
    has_slots: ClassVar[bool] = False
    joins_attention: ClassVar[bool] = False

    @classmethod
    def reads(cls, settings: SettingsOfAnyMethod) -> set[str]:
        """Which of `INJECTION_SETTINGS` the method reads; the others change nothing."""
        names = set()
        if cls.fact_input != "none":
            names |= {"facts", "max_fact_tokens"}
        if cls.has_slots:
            names |= {"layers", "facts", "key_init"}
            if settings.key_init == "identity":
                names.add("key_scale")
        return names

    @classmethod
    def build(cls, config: "KformerConfig", encoder: "PreTrainedModel") -> "InjectionModule":
        """What the method adds to an encoder, attached to it already; here, nothing."""
        from kformer.modeling.slots import InjectionModule

        return InjectionModule(config, encoder)


class NoInjection(Injection):
    """Plain fine-tuning: the encoder as it is."""


class ConcatInjection(Injection):
    """Facts as text in the input, where `kformer.modeling.processor` puts them."""

    fact_input = "text"


class FeedForwardInjection(Injection):
    """Kformer: facts as further slots of the feed-forward key-value memory."""

    fact_input = "embeddings"
    has_slots = True

    @classmethod
    def build(cls, config: "KformerConfig", encoder: "PreTrainedModel") -> "InjectionModule":
        from kformer.modeling.slots import FeedForwardSlots, InjectionModule

        return InjectionModule(config, encoder, FeedForwardSlots)


class AttentionInjection(Injection):
    """Facts as further keys and values of the self-attention."""

    fact_input = "embeddings"
    has_slots = True
    joins_attention = True

    @classmethod
    def build(cls, config: "KformerConfig", encoder: "PreTrainedModel") -> "InjectionModule":
        from kformer.modeling.slots import AttentionSlots, InjectionModule

        return InjectionModule(config, encoder, AttentionSlots)


class StaticInjection(Injection):
    """Control: Kformer's slots, trained but made from no fact, the same ones for every question.

    What this gains is owed to parameters, not to knowledge.
    """

    has_slots = True

    @classmethod
    def build(cls, config: "KformerConfig", encoder: "PreTrainedModel") -> "InjectionModule":
        from kformer.modeling.slots import StaticSlots

        return StaticSlots(config, encoder)


INJECTIONS: dict[str, type[Injection]] = {
    "none": NoInjection,
    "concat": ConcatInjection,
    "attention": AttentionInjection,
    "ffn": FeedForwardInjection,
    "static": StaticInjection,
}


def known_injections() -> list[str]:
    """The names of all methods: those above, then those of other packages."""
    others = {point.name for point in entry_points(group=ENTRY_POINTS)}
    return [*INJECTIONS, *sorted(others - INJECTIONS.keys())]


def package_of(name: str) -> str | None:
    """The package and version that a method from outside comes from, such as ``gated 1.0``."""
    points = () if name in INJECTIONS else entry_points(group=ENTRY_POINTS, name=name)
    return next((f"{point.dist.name} {point.dist.version}" for point in points if point.dist), None)


def find_injection(name: str) -> type[Injection]:
    """A method by its name; the names above cannot be taken by other packages.

    Raises:
        KformerError: there is no such method, two packages name one so, or it cannot be loaded.
    """
    if name in INJECTIONS:
        return INJECTIONS[name]
    points = list(entry_points(group=ENTRY_POINTS, name=name))
    if not points:
        known = known_injections()
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise KformerError(
            f"{name!r} is no injection; {hint}known are {', '.join(map(repr, known))}"
        )
    if len(points) > 1:
        values = " and ".join(sorted(point.value for point in points))
        raise KformerError(f"{name!r} is the injection of two packages, {values}; uninstall one")
    try:
        found = points[0].load()
    except (ImportError, AttributeError) as error:
        raise KformerError(
            f"{name!r}: the injection {points[0].value} cannot be loaded "
            f"({' '.join(str(error).split())}); correct its entry point or its package"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Injection)):
        raise KformerError(
            f"{name!r}: {points[0].value} is no subclass of {__name__}.{Injection.__name__}"
        )
    return found
