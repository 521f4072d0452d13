"""Kformer as a Hugging Face model: configuration, model, and the processor that feeds it."""

from transformers import AutoConfig, AutoModelForMultipleChoice

from kformer.modeling.configuration import KformerConfig
from kformer.modeling.model import KformerForMultipleChoice, KformerOutput
from kformer.modeling.processor import Features, KformerProcessor

AutoConfig.register(KformerConfig.model_type, KformerConfig)
AutoModelForMultipleChoice.register(KformerConfig, KformerForMultipleChoice)

__all__ = [
    "Features",
    "KformerConfig",
    "KformerForMultipleChoice",
    "KformerOutput",
    "KformerProcessor",
]
