"""The model of a run as it answers: verified, and in the precision that it was trained in.

Shapes: C choices, M candidate facts, N facts read, P injected layers.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from kformer.errors import KformerError
from kformer.evaluation.choice import Choice, NotNumbers, choose
from kformer.io.output_names import RunFolder
from kformer.io.training_summary import read_trained
from kformer.modeling import Features, KformerForMultipleChoice, KformerProcessor
from kformer.modeling.question_features import Example, Examples
from kformer.modeling.state_store import KeptStates
from kformer.progress import track

_BATCH_SIZE = 16  # questions
_COUNTED_BATCHES = 4  # at most, of those whose operations are counted


class ReadFact(NamedTuple):
    """A fact that the model read for a choice."""

    id: int
    """as the candidates of its question name it"""
    fired: Sequence[float] | None
    """(P,) how strongly in each injected layer; None where it was read as text"""


class Answer(NamedTuple):
    """What a model makes of a question."""

    example: Example
    choice: Choice
    logits: list[float]
    """(C,)"""
    read: list[list[ReadFact]]
    """for each choice, best first"""


class Output(NamedTuple):
    """What a model computes of a question."""

    logits: list[float]
    """(C,)"""
    kept: list[list[int]] | None
    """(C, N), which of the M candidates were injected, -1 for none; None if there were none"""
    activations: list[list[list[float]]] | None
    """(C, P, N), how strongly each of these fired; None if no layer has slots"""


class TrainedModel:
    """A run's model that answers questions.

    Attributes:
        run: the folder of the run.
        summary: what training noted of it.
        model: on the device that is there.
        processor: makes inputs of questions.
    """

    def __init__(self, run: RunFolder, states: Path | None = None) -> None:
        """Reads the model.

        Args:
            run: the folder of a training run, with its ``model/`` and ``training.json``.
            states: the folder of kept states that the run was trained from; None = computed anew.

        Raises:
            KformerError: the run was not trained, its model or summary is damaged, or these are
                not the states of the run.
        """
        self.run = run
        self.summary = read_trained(run)
        self.model = KformerForMultipleChoice.from_pretrained(run.model)
        device = torch.accelerator.current_accelerator() or "cpu"
        torch.nn.Module.to(self.model, device).eval()
        self.processor = KformerProcessor.from_pretrained(run.model)
        self._states: KeptStates | None = None
        if states:
            self._states = KeptStates(states)
            origin = self._states.origin
            if origin.identity != self.summary.states:
                raise KformerError(
                    f"--states: {states}: this run was not trained from these states"
                )
            self.model.states_layer = origin.layer  # where the model then starts

    def answers(
        self, example_of: Callable[[int], Example], lengths: Sequence[int]
    ) -> Iterator[tuple[int, Answer]]:
        """Answers questions in batches of like lengths, the longest first.

        Args:
            example_of: a question by its number; each is asked for once.
            lengths: the tokens of the longest input of every question.

        Yields:
            the number of each question, and its answer.

        Raises:
            KformerError: a logit is not a finite number.
        """
        for numbers in _batches(lengths):
            batch = [example_of(number) for number in numbers]
            states = self._states.padded(batch) if self._states else None
            outputs = self._outputs([example.features for example in batch], states)
            for number, example, output in zip(numbers, batch, outputs, strict=True):
                with self.naming_the_run():
                    choice = choose(
                        example.question_id, example.choices, example.answer, output.logits
                    )
                yield number, Answer(example, choice, output.logits, self._read(example, output))

    def outputs(self, questions: Sequence[Features]) -> list[Output]:
        """What the model computes of questions, in their order; kept states are not read."""
        found: dict[int, Output] = {}
        for numbers in _batches([features.length for features in questions]):
            of_batch = self._outputs([questions[number] for number in numbers])
            found |= zip(numbers, of_batch, strict=True)
        return [found[number] for number in range(len(questions))]

    def flops_per_question(self, questions: Examples) -> float:
        """The floating-point operations of the matrix products by which a question is answered.

        They are counted on a few batches, from the longest to the shortest questions. What else a
        machine does plays no part in them.
        """
        batches = list(_batched(questions.longest_first))
        counted = batches[:: -(-len(batches) // _COUNTED_BATCHES)]
        with FlopCounterMode(display=False) as counter:
            for numbers in counted:
                self._outputs([questions[number].features for number in numbers])
        return counter.get_total_flops() / sum(map(len, counted))

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

    def _outputs(self, batch: Sequence[Features], states: Tensor | None = None) -> list[Output]:
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
        return [Output(*each) for each in zip(*of_choices, strict=True)]

    def _read(self, example: Example, output: Output) -> list[list[ReadFact]]:
        """The facts that the model read, per choice."""
        choices = len(example.features.choices)
        candidates = example.candidates
        if not candidates or (output.kept is None and not self.processor.facts_as_text):
            return [[] for _ in range(choices)]
        per_choice = [candidates[i if len(candidates) > 1 else 0] for i in range(choices)]
        if output.kept is None:  # facts were given as text
            most = self.processor.config.facts
            return [[ReadFact(fact, None) for fact in ids[:most]] for ids in per_choice]
        return [
            [
                ReadFact(ids[position], _fired(output, c, slot))
                for slot, position in enumerate(output.kept[c])
                if position >= 0
            ]
            for c, ids in enumerate(per_choice)
        ]


def _fired(output: Output, choice: int, slot: int) -> list[float] | None:
    if output.activations is None:
        return None
    return [layer[slot] for layer in output.activations[choice]]


def _of_choices(values: Tensor | None, batch: Sequence[Features]) -> list[Any]:
    """What the choices of each question have, padding left out; None where there is nothing."""
    if values is None:
        return [None] * len(batch)
    pairs = zip(values.tolist(), batch, strict=True)
    return [of_question[: len(features.choices)] for of_question, features in pairs]


def _batches(lengths: Sequence[int]) -> Iterator[Sequence[int]]:
    """The numbers of questions that are answered at once, longest first, showing how many batches
    are done."""
    longest_first = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    batches = list(_batched(longest_first))
    yield from track(batches, "answering batches", len(batches))


def _batched(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _BATCH_SIZE):
        yield numbers[start : start + _BATCH_SIZE]
