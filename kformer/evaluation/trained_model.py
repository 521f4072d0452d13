"""A trained model as evaluation uses it: in the precision of its training, on the device that is
there, a batch of questions at a time.

Shapes: C choices, M candidate facts, N facts kept, P injected layers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kformer.errors import KformerError
from kformer.evaluation.choice import NotNumbers
from kformer.io.output_names import RunFolder
from kformer.io.training_summary import read_trained
from kformer.modeling import Features, KformerForMultipleChoice, KformerProcessor
from kformer.modeling.question_features import Example
from kformer.progress import track

_BATCH_SIZE = 16  # questions


class Answer(NamedTuple):
    """What a model makes of a question."""

    logits: list[float]
    """(C,)"""
    kept: list[list[int]] | None
    """(C, N), which of the M candidates were injected, -1 for none; None if there were none"""
    activations: list[list[list[float]]] | None
    """(C, P, N), how strongly each of these fired; None if no layer has slots"""


class TrainedModel:
    """The model of a training run.

    Attributes:
        run: the folder of the run.
        summary: what training noted.
    """

    def __init__(self, run: Path) -> None:
        """Loads the model.

        Raises:
            KformerError: the run was not trained, or its model or summary is damaged.
        """
        self.run = RunFolder(run)
        self.summary = read_trained(self.run)
        self.model = KformerForMultipleChoice.from_pretrained(self.run.model)
        torch.nn.Module.to(self.model, torch.accelerator.current_accelerator() or "cpu").eval()
        self.processor = KformerProcessor.from_pretrained(self.run.model)

    def answers(self, batch: Sequence[Features], states: Tensor | None = None) -> list[Answer]:
        """What the model makes of the questions of a batch.

        Args:
            states: those that enter the model's ``states_layer``, where they were kept.
        """
        inputs = self.processor.collate(batch)
        if states is not None:
            inputs["states"] = states
        device = self.model.device
        on_device = {name: tensor.to(device) for name, tensor in inputs.items()}
        bf16 = self.summary.precision == "bf16"
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output = self.model(**on_device, output_facts=True)
        of_choices = (
            _of_choices(each, batch)
            for each in (output.logits, output.kept_facts, output.fact_activations)
        )
        return [Answer(*each) for each in zip(*of_choices, strict=True)]

    def facts_read(self, example: Example, answer: Answer) -> list[list[int]]:
        """The ids of the facts that the model read for an answer, per choice."""
        choices = len(example.features.choices)
        candidates = example.candidates
        if not candidates or (answer.kept is None and not self.processor.facts_as_text):
            return [[] for _ in range(choices)]
        per_choice = [candidates[i if len(candidates) > 1 else 0] for i in range(choices)]
        if answer.kept is None:  # facts were given as text
            return [ids[: self.processor.config.facts] for ids in per_choice]
        return [[ids[i] for i in answer.kept[c] if i >= 0] for c, ids in enumerate(per_choice)]

    @contextmanager
    def naming_the_run(self) -> Iterator[None]:
        """Raises KformerError with the run and what to do where scores are not numbers."""
        try:
            yield
        except NotNumbers as error:
            raise KformerError(
                f"{self.run.path}: {error}; delete this run and train it again with a lower "
                "training.learning_rate"
            ) from None


def _of_choices(values: Tensor | None, batch: Sequence[Features]) -> list[Any]:
    """What the choices of each question have, padding left out; None where there is nothing."""
    if values is None:
        return [None] * len(batch)
    pairs = zip(values.tolist(), batch, strict=True)
    return [of_question[: len(features.choices)] for of_question, features in pairs]


def in_batches(longest_first: Sequence[int]) -> Iterator[Sequence[int]]:
    """The numbers of questions that are answered at once, showing how many batches are done."""
    starts = range(0, len(longest_first), _BATCH_SIZE)
    for start in track(starts, "answering batches", len(starts)):
        yield longest_first[start : start + _BATCH_SIZE]
