"""The ways in which facts get into a model: one small class each, named in `INJECTIONS`.

A class says what its method reads; config, keys, processor, model and prediction ask it. This
module loads neither torch nor transformers: what a method adds to an encoder, `Injection.build`
makes from the parts in `kformer.modeling.slots`.

A method may also come from any installed package, which names its class as an entry point:

    [project.entry-points."kformer.injections"]
    gated = "my_package.gated:GatedInjection"

The names of kformer's own methods are taken.
"""

import sys
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, get_args

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from kformer.modeling.configuration import KformerConfig
    from kformer.modeling.slots import InjectionModule

ENTRY_POINTS = "kformer.injections"
INJECTION_SETTINGS = frozenset(
    {
        "layers",
        "facts",
        "filter",
        "key_init",
        "key_scale",
        "value_init",
        "value_scale",
        "fact_encoder",
        "match",
        "scores_in_keys",
        "max_fact_tokens",
    }
)
"""Fields of the `Model` settings that only some methods read; a run depends on all others."""

FactInput = Literal["none", "text", "embeddings"]


class SettingsOfAnyMethod(Protocol):
    """What decides which other settings are read; `kformer.modeling.settings.Model` is one."""

    @property
    def key_init(self) -> str: ...

    @property
    def value_init(self) -> str: ...

    @property
    def filter(self) -> str: ...

    @property
    def fact_encoder(self) -> str: ...

    @property
    def match(self) -> str: ...

    @property
    def scores_in_keys(self) -> bool: ...


class Injection:
    """How facts get into a model.

    Attributes:
        fact_input: how the model is given facts: not at all, as text in its input, or as tokens
            of their own, which it embeds.
        has_slots: whether layers of the encoder get slots, a key and a value for each fact.
        joins_attention: whether these slots are read by the self-attention, for which the encoder
            must be built with an attention that takes facts.
    """

    fact_input: ClassVar[FactInput] = "none"
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
            # As released, these are no part of what a run is known by: once there was no choice.
            reads_facts = cls.fact_input == "embeddings"
            if settings.value_init != "normal":
                names.add("value_init")
            if settings.value_init == "identity":
                names.add("value_scale")
            if reads_facts and settings.filter != "words":
                names.add("filter")
            if reads_facts and settings.fact_encoder != "words":
                names.add("fact_encoder")
            if not cls.joins_attention and settings.match != "dot":
                names.add("match")
            if reads_facts and not cls.joins_attention and settings.scores_in_keys:
                names.add("scores_in_keys")
        return names

    @classmethod
    def check(cls, settings: SettingsOfAnyMethod) -> None:
        """Raises KformerError for settings that cannot be used together."""
        starts = {settings.key_init, settings.value_init}
        if not cls.has_slots or "encoder" not in starts:
            return
        if not cls.joins_attention or settings.fact_encoder != "layers":
            raise KformerError(
                "model.key_init: encoder is for injection: attention with fact_encoder: layers, "
                "whose slots are made of what the layer's own projections read; take identity"
            )
        if len(starts) > 1:
            raise KformerError("model.key_init and model.value_init: give encoder for both or none")

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


def find_injection(name: str) -> type[Injection]:
    """A method by its name.

    Raises:
        KformerError: there is no such method, two packages give one this name, or a package gives
            it to a class that cannot be loaded or is no injection.
    """
    points = _entry_points(name)
    if name in INJECTIONS:
        if points:
            raise KformerError(
                f"{name!r} is an injection of kformer, and {_described(points[0])} has the same "
                "name; rename that one or uninstall its package"
            )
        return INJECTIONS[name]
    if not points:
        known = _known_names()
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise KformerError(
            f"{name!r} is no injection; {hint}known are {', '.join(map(repr, known))}"
        )
    if len(points) > 1:
        both = " and ".join(sorted(map(_described, points)))
        raise KformerError(f"{name!r} is the injection of two packages, {both}; uninstall one")
    return _loaded(points[0])


def origin_of(name: str) -> str | None:
    """What the code of a method from another package is: ``<package> <version> <hash>``.

    The hash is that of the file with the method's class, because a package that is installed as
    editable keeps its version while its code changes; a class without a file has none.

    Returns:
        None for a method of kformer itself.

    Raises:
        KformerError: as `find_injection` does.
    """
    method = find_injection(name)
    if name in INJECTIONS:
        return None
    file = getattr(sys.modules.get(method.__module__), "__file__", None)
    code = sha256_of(Path(file))[:10] if file and Path(file).is_file() else None
    return " ".join(filter(None, [_package(_entry_points(name)[0]), code]))


def described_injection(name: str) -> str:
    """A method for a message: its name, and the class and package of one from outside."""
    points = _entry_points(name)
    return f"{name!r}: {_described(points[0])}" if points else repr(name)


def _known_names() -> list[str]:
    """The names of all methods: those above, then those of other packages."""
    others = _installed(tuple(sys.path)).names
    return [*INJECTIONS, *sorted(others - INJECTIONS.keys())]


def _entry_points(name: str) -> list[EntryPoint]:
    return list(_installed(tuple(sys.path)).select(name=name))


@lru_cache
def _installed(search_path: tuple[str, ...]) -> EntryPoints:
    """The methods of packages on a search path.

    To look for them opens every installed package, and every condition of a config asks often.
    """
    return entry_points(group=ENTRY_POINTS)


def _loaded(point: EntryPoint) -> type[Injection]:
    """The class that another package names, once it is known to be an injection."""
    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 (code of others may raise anything)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise KformerError(
            f"{point.name!r}: {_described(point)} cannot be loaded ({reason}); correct its entry "
            "point or its package"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Injection)):
        raise KformerError(
            f"{point.name!r}: {_described(point)} is no subclass of {__name__}.{Injection.__name__}"
        )
    if found.fact_input not in get_args(FactInput):
        raise KformerError(
            f"{point.name!r}: {_described(point)} has the fact_input {found.fact_input!r}; it "
            f"must be one of {', '.join(map(repr, get_args(FactInput)))}"
        )
    return found


def _described(point: EntryPoint) -> str:
    """An entry point and its package, such as ``gated_injection:Gated of the package gated 1.0``"""
    package = _package(point)
    return f"{point.value} of the package {package}" if package else point.value


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else ""
