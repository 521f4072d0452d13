"""What of a model is trained, and at which rate.

The injection, fact embeddings and the scoring head always are. Of the encoder, all is by default;
`training.encoder_layers` leaves its top layers, and `training.lora_rank` low-rank additions to
them (LoRA, Hu et al., arXiv 2106.09685), which are merged into its weights in the end.
"""

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from torch import nn

from kformer.encoder_lookup import lowest_trained_layer
from kformer.errors import KformerError
from kformer.modeling import KformerForMultipleChoice
from kformer.training.settings import TrainSettings

if TYPE_CHECKING:
    from peft import LoraModel


class Recipe:
    """How one model is trained.

    Attributes:
        lowest_changing: the lowest layer of the encoder that is trained or injected into; the
            number of all layers = none is. What enters it stays the same.
    """

    def __init__(self, model: KformerForMultipleChoice, settings: TrainSettings) -> None:
        """Freezes what is not trained, and adds LoRA's parameters.

        Args:
            model: as it is built; it is changed.
            settings: those that it was built from, and of training.

        Raises:
            KformerError: the encoder has not so many layers, or no states that could be kept.
        """
        depth = model.config.encoder.num_hidden_layers
        self._model, self._settings = model, settings.training
        self._lora: LoraModel | None = None
        settings.check_depth(depth)
        self.lowest_changing = settings.lowest_changing_layer(depth)
        if settings.training.keep_states:
            _check_known_layers(model, settings)
        if settings.training.encoder_layers != "all" or settings.training.lora_rank is not None:
            self._train_from(lowest_trained_layer(settings.training.encoder_layers, depth))

    def _train_from(self, lowest: int) -> None:
        """Freezes the encoder up to a layer, or whole where LoRA is trained."""
        adapter, encoder = self._model.adapter, self._model.encoder
        layers = adapter.layers_of(encoder)
        encoder.requires_grad_(False)
        for module in [*adapter.modules_below(encoder), *layers[:lowest]]:
            module.register_forward_pre_hook(_without_dropout)
        if self._settings.lora_rank is not None:
            alpha = self._settings.lora_alpha or 2 * self._settings.lora_rank
            self._lora = _with_lora(encoder, layers[lowest:], self._settings.lora_rank, alpha)
        elif lowest < len(layers):
            for module in [*layers[lowest:], *adapter.modules_above(encoder)]:
                module.requires_grad_(True)

    @property
    def trained_parameters(self) -> int:
        """How many parameters are trained."""
        return sum(each.numel() for each in self._model.parameters() if each.requires_grad)

    def parameter_groups(self, decayed: Container[str]) -> list[dict[str, Any]]:
        """What the optimiser trains: parameters with their weight decay and learning rate.

        Args:
            decayed: the names of the parameters that weight decay is applied to.
        """
        added = (self._model.injection, self._model.fact_embeddings)
        of_injection = {id(each) for module in added if module for each in module.parameters()}
        settings = self._settings
        rate = settings.injection_learning_rate or settings.learning_rate
        rates = {False: settings.learning_rate, True: rate}
        decays = {True: settings.weight_decay, False: 0.0}
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad:
                kind = (id(parameter) in of_injection, name in decayed)
                groups.setdefault(kind, []).append(parameter)
        return [
            {"params": groups[kind], "lr": rates[kind[0]], "weight_decay": decays[kind[1]]}
            for kind in sorted(groups)  # the encoder and the head come first: their rate is logged
        ]

    def merge(self) -> None:
        """Adds what LoRA has learnt to the encoder's weights; a plain model is left."""
        if self._lora is not None:
            self._lora.merge_and_unload()
            self._lora = None


def _check_known_layers(model: KformerForMultipleChoice, settings: TrainSettings) -> None:
    """Raises KformerError for an injection of which nobody knows where it attaches."""
    if not settings.model.method.has_slots and any(True for _ in model.injection.parameters()):
        raise KformerError(
            f"training.keep_states: model.injection: {settings.model.injection} does not say which "
            "layers it changes; set it to false"
        )


def _with_lora(encoder: nn.Module, layers: list[nn.Module], rank: int, alpha: float) -> "LoraModel":
    """Adds LoRA to all linear layers of attention and FFN; the encoder's layers have no others."""
    from peft import LoraConfig, LoraModel  # takes a second, and few need it

    names = [
        f"{layer_name}.{name}"
        for layer_name, layer in encoder.named_modules()
        if any(layer is each for each in layers)
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear)
    ]
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names)  # type: ignore[arg-type]
    return LoraModel(encoder, config, "default")


def _without_dropout(module: nn.Module, _: Any) -> None:
    """Sets what is in a frozen module to evaluation, whatever mode the model was set to since.

    The module itself keeps its mode: by it, layers decide whether to be checkpointed.
    """
    for child in module.children():
        child.eval()
