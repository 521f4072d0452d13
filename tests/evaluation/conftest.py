"""Folders as training runs leave them, of models with large random weights."""

from functools import cache

import pytest
import torch

from kformer.io.output_names import RunFolder
from kformer.io.training_summary import TrainingSummary
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.pretrained import load_tokenizer
from kformer.training.finished import finish

FACTS = 3  # that a model reads


@pytest.fixture(scope="session")
def trained(tiny_encoder, tmp_path_factory):
    """Makes a folder as a training run leaves it, with large random weights."""
    counted = ("seed", "steps", "train_questions", "inputs_cut", "parameters", "added_parameters")
    measured = ("seconds_per_step", "train_seconds", "validation_accuracy", "peak_memory_mb")
    summary = TrainingSummary(
        **dict.fromkeys(counted, 1),
        **dict.fromkeys((*measured, "best_step")),
        **{"precision": "fp32", "device": "cpu", "version": "1"},
    )

    @cache
    def make(injection, precision="fp32", **settings):
        torch.manual_seed(0)
        settings = {"facts": FACTS, "max_tokens": 64} | settings
        model = KformerForMultipleChoice.from_encoder(tiny_encoder, injection=injection, **settings)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
        run = RunFolder.of(tmp_path_factory.mktemp("run"), injection, 1)
        run.path.mkdir(parents=True)
        processor = KformerProcessor(load_tokenizer(tiny_encoder), model.config)
        noted = summary.model_copy(update={"precision": precision})
        finish(run, model, processor, noted)
        return run.path

    return make
