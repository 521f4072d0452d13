"""The model of a run as it answers: verified, and in the precision that it was trained in.

Shapes: C choices, N facts read, P injected layers.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kformer.errors import KformerError
from kformer.evaluation.choice import Choice, NotNumbers, choose
from kformer.io.output_names import RunFolder
from kformer.io.training_summary import read_trained
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.question_features import Example
from kformer.modeling.state_store import KeptStates
from kformer.progress import track

_BATCH_SIZE = 16  # questions


class ReadFact(NamedTuple):
    """A fact that the model read for a choice."""

    id: int
    """as the candidates of its question name it"""
    fired: float | None
    """how strongly, the mean over the injected layers; None where it was read as text"""


class Answer(NamedTuple):
    """What a model makes of a question."""

    example: Example
    choice: Choice
    logits: list[float]
    """(C,)"""
    read: list[list[ReadFact]]
    """for each choice, best first"""


class TrainedModel:
    """A run's model that answers questions.

    Attributes:
        run: the folder of the run.
        summary: what training noted of it.
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
        self._model = KformerForMultipleChoice.from_pretrained(run.model)
        device = torch.accelerator.current_accelerator() or "cpu"
        torch.nn.Module.to(self._model, device).eval()
        self.processor = KformerProcessor.from_pretrained(run.model)
        self._states: KeptStates | None = None
        if states:
            self._states = KeptStates(states)
            origin = self._states.origin
            if origin.identity != self.summary.states:
                raise KformerError(
                    f"--states: {states}: this run was not trained from these states"
                )
            self._model.states_layer = origin.layer  # where the model then starts

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
        by_length = sorted(range(len(lengths)), key=lambda number: -lengths[number])
        starts = range(0, len(by_length), _BATCH_SIZE)
        for start in track(starts, "answering batches", len(starts)):
            numbers = by_length[start : start + _BATCH_SIZE]
            try:
                answers = self._answered([example_of(number) for number in numbers])
            except NotNumbers as error:
                raise KformerError(
                    f"{self.run.path}: {error}; delete this run and train it again with a lower "
                    "training.learning_rate"
                ) from None
            yield from zip(numbers, answers, strict=True)

    def _answered(self, batch: Sequence[Example]) -> list[Answer]:
        inputs = self.processor.collate([example.features for example in batch])
        if self._states:
            inputs["states"] = self._states.padded(batch)
        device = self._model.device
        on_device = {name: tensor.to(device) for name, tensor in inputs.items()}
        bf16 = self.summary.precision == "bf16"
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output = self._model(**on_device, output_facts=True)
        kept, fired = output.kept_facts, output.fact_activations
        answers = []
        for position, example in enumerate(batch):
            logits = output.logits[position, : len(example.features.choices)].tolist()
            choice = choose(example.question_id, example.choices, example.answer, logits)
            of_kept = kept[position].tolist() if kept is not None else None
            # (C, P, N)
            strengths = fired[position].mean(1).tolist() if fired is not None else None
            read = self._read_facts(example, of_kept, strengths)
            answers.append(Answer(example, choice, logits, read))
        return answers

    def _read_facts(self, example: Example, kept: Any, fired: Any) -> list[list[ReadFact]]:
        """The facts that the model read, per choice.

        Args:
            kept: (C, N) positions among the candidates, -1 for none; None if none were injected.
            fired: (C, N) how strongly; None if that is not known.
        """
        choices = len(example.features.choices)
        candidates = example.candidates
        if not candidates or (kept is None and not self.processor.facts_as_text):
            return [[] for _ in range(choices)]
        per_choice = [candidates[i if len(candidates) > 1 else 0] for i in range(choices)]
        if kept is None:  # facts were given as text
            most = self.processor.config.facts
            return [[ReadFact(fact, None) for fact in ids[:most]] for ids in per_choice]
        return [
            [
                ReadFact(ids[position], fired[c][n] if fired is not None else None)
                for n, position in enumerate(kept[c])
                if position >= 0
            ]
            for c, ids in enumerate(per_choice)
        ]
