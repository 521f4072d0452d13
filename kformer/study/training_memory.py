"""How much memory a training needs, so that no more of them run at once than a machine holds.

The formula is that of a machine without a GPU, which computes in single precision. Its numbers are
rough, and above all peaks that were seen: 12.6 GB for a training of Social IQA with a base-size
encoder that took 10.0, and 5.9 in bf16; 37 GB for one of MedQA that took 21 in bf16; 1.9 GB for one
of the demo that took 1.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kformer.encoder_lookup import encoder_config, layer_span
from kformer.io.token_tables import open_token_table
from kformer.modeling.settings import Model
from kformer.study.layout import Layout
from kformer.study.machine import threads_of_a_training
from kformer.training.settings import Training

UNKNOWN_MB = 16_000  # where an encoder has yet to be downloaded
_PROCESS_MB = 1_000  # Python and its libraries
_BYTES_OF_A_PARAMETER = 20  # with gradient, two means of AdamW, and a copy that is being saved
_BYTES_OF_A_STATE = 110  # each number that goes from layer to layer: all that a layer keeps of it
_BYTES_OF_A_WEIGHT = 16  # of the attention
_BYTES_OF_A_SLOT = 30  # each number of its key and value, and what it takes to read its fact
_SPECIAL_TOKENS = 5  # of an input
_BASE_SIZE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "vocab_size": 50_000,
    "max_position_embeddings": 512,
}


def threads_of_trainings(study: Layout, cores: int, memory: int) -> dict[str, int]:
    """The threads of a training of each condition, with so many cores and MB of memory.

    Of a condition that needs much memory fewer run at once, with more threads each.
    """
    trained = [run.condition for run in study.runs if run.seed is not None]
    needed = {
        name: memory_mb(each.model, each.training, usual_inputs(each.model, each.training))
        for name, each in study.conditions.items()
        if name in trained
    }
    return {
        name: threads_of_a_training(len(trained), cores, memory, each)
        for name, each in needed.items()
    }


def memory_of_training(study: Layout, condition: str, question_tokens: Path) -> int:
    """The memory in MB of training a condition, as the tokens of its questions tell."""
    model, training = study.conditions[condition].model, study.conditions[condition].training
    return memory_mb(model, training, largest_inputs(question_tokens, model, training))


@dataclass(frozen=True)
class Inputs:
    """The largest batch that can be.

    Attributes:
        rows: inputs of it.
        tokens: of the longest of them.
    """

    rows: int
    tokens: int


def usual_inputs(model: Model, training: Training) -> Inputs:
    """Before anything is known of the questions: four choices, texts of common lengths."""
    return Inputs(4 * training.batch_size, _with_facts(model, 100))


def largest_inputs(question_tokens: Path, model: Model, training: Training) -> Inputs:
    """The batch of the longest questions, from the table of their tokens.

    Raises:
        KformerError: there is no such table, or it is damaged.
    """
    table = open_token_table(question_tokens, "question_tokens")
    choices = table.columns["choice_tokens"]
    counts = np.diff(choices.offsets.to_numpy())
    of_choices = np.diff(choices.values.offsets.to_numpy())
    longest = np.maximum.reduceat(of_choices, choices.offsets.to_numpy()[:-1])
    lengths = table.tokens("context").lengths + table.tokens("question").lengths + longest
    tokens = _with_facts(model, int(lengths.max()) + _SPECIAL_TOKENS)
    return Inputs(int(counts.max()) * training.batch_size, tokens)


def _with_facts(model: Model, tokens: int) -> int:
    """The length of an input with so many tokens beside the facts that it reads as text."""
    facts = model.facts * model.max_fact_tokens if model.method.fact_input == "text" else 0
    return min(tokens + facts, model.max_tokens)


def memory_mb(model: Model, training: Training, inputs: Inputs) -> int:
    """The memory of a training whose largest batch has these inputs."""
    encoder = encoder_config(model.encoder)
    if encoder is None:
        return UNKNOWN_MB
    width, layers = _number(encoder, "hidden_size"), _number(encoder, "num_hidden_layers")
    rows = inputs.rows
    if training.max_tokens_per_pass:
        rows = max(1, min(rows, training.max_tokens_per_pass // inputs.tokens))
    states = rows * inputs.tokens * width * _BYTES_OF_A_STATE
    weights = inputs.tokens * _number(encoder, "num_attention_heads") * _BYTES_OF_A_WEIGHT
    needed = layers * (states + rows * inputs.tokens * weights)
    if model.method.has_slots:
        start, end = layer_span(model.layers, layers)
        of_a_slot = width * _BYTES_OF_A_SLOT + (weights if model.method.joins_attention else 0)
        needed += rows * _slots(model) * (end - start) * of_a_slot
    needed += _BYTES_OF_A_PARAMETER * _parameters(encoder, model)
    return _PROCESS_MB + needed // 2**20


def _slots(model: Model) -> int:
    """The most slots that an input reads: one for each fact, or for each token of one."""
    reads_tokens = model.method.fact_input == "embeddings" and model.fact_encoder == "layers"
    return model.facts * (model.max_fact_tokens if reads_tokens else 1)


def _parameters(encoder: Mapping[str, Any], model: Model) -> int:
    """Of the encoder, and of the embeddings of facts."""
    width = _number(encoder, "hidden_size")
    words = width * (_number(encoder, "vocab_size") + _number(encoder, "max_position_embeddings"))
    feed_forward = 2 * width * _number(encoder, "intermediate_size")
    layers = _number(encoder, "num_hidden_layers") * (4 * width**2 + feed_forward)
    of_facts = model.method.fact_input == "embeddings" and model.fact_encoder == "words"
    return words * (2 if of_facts else 1) + layers


def _number(encoder: Mapping[str, Any], field: str) -> int:
    """A size of an encoder; where its config.json leaves it out, that of base-size ones."""
    found = encoder.get(field)
    return found if isinstance(found, int) else _BASE_SIZE[field]
