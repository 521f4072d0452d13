"""Kformer as a Hugging Face model: configuration, model, and the processor that feeds it.

Imported when they are asked for: torch and transformers take seconds to load, and a config that
only names an injection needs neither. With any of them transformers learns of the model, so that
`AutoModelForMultipleChoice` loads it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kformer.modeling.configuration import KformerConfig
    from kformer.modeling.model import KformerForMultipleChoice
    from kformer.modeling.output import KformerOutput
    from kformer.modeling.processor import Features, KformerProcessor

__all__ = [
    "Features",
    "KformerConfig",
    "KformerForMultipleChoice",
    "KformerOutput",
    "KformerProcessor",
]
_MODULES = {
    "Features": "processor",
    "KformerConfig": "configuration",
    "KformerForMultipleChoice": "model",
    "KformerOutput": "output",
    "KformerProcessor": "processor",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module(f"{__name__}.{_MODULES['KformerForMultipleChoice']}")  # which registers it
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
