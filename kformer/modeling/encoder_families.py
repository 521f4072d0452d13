"""The modules of each family of encoders that injections attach to, by their names.

This module loads neither torch nor transformers, so that reading a config can tell whether a family
is supported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from kformer.errors import KformerError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig

ATTENTION = "kformer"
"""The name under which transformers finds our scaled dot-product attention."""
ATTENTION_WITH_FACTS = "kformer_with_facts"
"""The same with a mask that is always there, which facts extend."""


Weights = tuple["Tensor", "Tensor | None"]
"""The weight of a linear layer, and its bias if it has one."""


@dataclass(frozen=True)
class LayerSites:
    """Where an injection attaches to one layer of an encoder.

    Attributes:
        feed_forward_in: the module whose first argument is the FFN's input x.
        feed_forward_out: the module whose result is the FFN's, before dropout and residual.
        attention: the module that passes the keyword argument ``fact_slots`` on to where keys
            and values are attended to.
    """

    feed_forward_in: "nn.Module"
    feed_forward_out: "nn.Module"
    attention: "nn.Module"


def _own(keys: str, values: str, attention: Any) -> list[Weights]:
    """The projections of an attention that has two modules of these names for them."""
    modules = [getattr(attention, name) for name in (keys, values)]
    return [(module.weight, module.bias) for module in modules]


def _leave(encoder: Any) -> None:
    """Most encoders are ready as they are."""


def _cannot_be_cut(layer: Any) -> tuple[None, None]:
    """Where the scored token is the last, or a layer adds its input to all of its attention."""
    return None, None


@dataclass(frozen=True)
class Adapter:
    """What injections and the scoring head must know about a family of encoders.

    Attributes:
        site: finds the sites of a layer.
        own_projections: finds the weights and biases with which the attention of a site makes
            keys, and those with which it makes values, of the states that enter the layer; None
            where it normalises them first, or turns them by position.
        activation: the field of the encoder's config that names the FFN's activation.
        scored_token: the token whose state is scored: the first, or the last where tokens see
            only those before them.
        projection: the encoder's module that brings word embeddings to the width of its layers,
            if theirs may be another.
        attention_with_facts: the attention implementation that the encoder needs for facts to
            join it; None where the layers' own attention, once prepared, takes facts.
        prepare: changes a new encoder's modules where they lack what injections need.
        last_layer: finds where a last layer can be cut to the first token, the arguments of
            `kformer.modeling.scored_token.ScoredTokenOnly`.
        layers: the encoder's module that lists its layers.
        below: the encoder's modules that turn tokens into what the first layer reads, the one that
            is given the tokens first; those that an encoder has not are left out.
        above: the encoder's module that its last layer's states pass through, if there is one.
        layers_return_tuples: whether a layer returns its states as the first of a tuple.
    """

    site: Callable[[Any], LayerSites]
    own_projections: Callable[[Any], list[Weights]] | None = None
    activation: str = "hidden_act"
    scored_token: Literal["first", "last"] = "first"
    projection: str | None = None
    attention_with_facts: str | None = ATTENTION_WITH_FACTS
    prepare: Callable[[Any], None] = _leave
    last_layer: Callable[[Any], "tuple[nn.Module | None, nn.Module | None]"] = _cannot_be_cut
    layers: str = "encoder.layer"
    below: tuple[str, ...] = ("embeddings",)
    above: str | None = None
    layers_return_tuples: bool = False

    def layers_of(self, encoder: Any) -> "list[nn.Module]":
        """All layers of an encoder, first layer first."""
        return list(encoder.get_submodule(self.layers))

    def sites(self, encoder: Any) -> list[LayerSites]:
        """The sites of all layers of an encoder, first layer first."""
        return [self.site(layer) for layer in self.layers_of(encoder)]

    def modules_below(self, encoder: Any) -> "list[nn.Module]":
        """The modules of ``below`` that an encoder has."""
        has = dict(encoder.named_modules()).keys()
        return [encoder.get_submodule(name) for name in self.below if name in has]

    def modules_above(self, encoder: Any) -> "list[nn.Module]":
        """The module of ``above``, or none."""
        return [encoder.get_submodule(self.above)] if self.above else []


def _bert_site(layer: Any) -> LayerSites:
    return LayerSites(layer.intermediate, layer.output.dense, layer.attention.self)


def _bert_last_layer(layer: Any) -> "tuple[nn.Module, nn.Module]":
    return layer.attention.self, layer.attention.output


def _prepare_deberta(encoder: Any) -> None:
    from kformer.modeling.attention import DisentangledAttentionWithFacts

    for layer in encoder.encoder.layer:  # the same parameters, another forward
        layer.attention.self.__class__ = DisentangledAttentionWithFacts


def _mpnet_site(layer: Any) -> LayerSites:
    return LayerSites(layer.intermediate, layer.output.dense, layer.attention.attn)


def _mpnet_last_layer(layer: Any) -> "tuple[nn.Module, None]":
    return layer.attention.attn, None


def _prepare_mpnet(encoder: Any) -> None:
    from kformer.modeling.mpnet import prepare_mpnet

    prepare_mpnet(encoder)


def _modernbert_site(layer: Any) -> LayerSites:
    return LayerSites(layer.mlp, layer.mlp, layer.attn)


def _decoder_site(layer: Any) -> LayerSites:
    return LayerSites(layer.mlp, layer.mlp, layer.self_attn)


_BERT = Adapter(_bert_site, partial(_own, "key", "value"), last_layer=_bert_last_layer)
_DECODER = Adapter(
    _decoder_site, scored_token="last", layers="layers", below=("embed_tokens",), above="norm"
)

ADAPTERS = {
    "bert": _BERT,
    "deberta-v2": Adapter(
        _bert_site,
        partial(_own, "key_proj", "value_proj"),
        projection="embeddings.embed_proj",
        attention_with_facts=None,
        prepare=_prepare_deberta,
        last_layer=_bert_last_layer,
        # Its convolution adds to the first layer's states what it makes of the embeddings.
        below=("embeddings", "encoder.conv"),
        layers_return_tuples=True,
    ),
    "electra": Adapter(
        _bert_site,
        partial(_own, "key", "value"),
        projection="embeddings_project",
        last_layer=_bert_last_layer,
        below=("embeddings", "embeddings_project"),
    ),
    "llama": _DECODER,
    "mistral": _DECODER,
    "mpnet": Adapter(
        _mpnet_site,
        partial(_own, "k", "v"),
        attention_with_facts=None,
        prepare=_prepare_mpnet,
        last_layer=_mpnet_last_layer,
        layers_return_tuples=True,
    ),
    "modernbert": Adapter(
        _modernbert_site, activation="hidden_activation", layers="layers", above="final_norm"
    ),
    "qwen2": _DECODER,
    "qwen3": _DECODER,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
}


def adapter_for(encoder: "PreTrainedConfig") -> Adapter:
    """The adapter of an encoder's family.

    Raises:
        KformerError: no adapter knows this family.
    """
    check_family(encoder.model_type)
    return ADAPTERS[encoder.model_type]


def check_family(family: object) -> None:
    """Raises KformerError for a family, the ``model_type`` of a config, that no adapter knows."""
    if family not in list(ADAPTERS):  # it may be no text
        raise KformerError(
            f"model.encoder: the family {family!r} is not supported; "
            f"supported are {', '.join(sorted(ADAPTERS))}"
        )


def check_own_projections(family: str) -> None:
    """Raises KformerError for a family whose own projections slots cannot start as."""
    if ADAPTERS[family].own_projections is None:
        raise KformerError(
            f"model.key_init: encoder is not for the family {family!r}, whose layers do not attend "
            "to states as they are; take identity"
        )
