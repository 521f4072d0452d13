"""What the runs of an experiment answered to the questions of one split.

Shapes: Q questions, S seeds, C choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kformer.io.training_summary import TrainingSummary

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class AnsweredQuestions:
    """The questions that every run answered, in one order."""

    ids: tuple[str, ...]
    split: str
    answers: Ints
    """(Q,) the index of the right choice"""
    choices: Ints
    """(Q,) how many choices there are"""

    @property
    def chance(self) -> float:
        """The accuracy that guessing gets, as a fraction."""
        return float(np.mean(1 / self.choices))


@dataclass(frozen=True)
class RunAnswers:
    """What one condition answered with one seed."""

    condition: str
    seed: int | None
    """null: nothing was trained, so there is no seed"""
    predictions: Ints
    """(Q,) the index of the chosen choice, in the order of the `AnsweredQuestions`"""
    tied: float
    """for which share of the questions several choices have the highest logit"""
    training: TrainingSummary | None
    """what training measured; None where nothing was trained"""


def right_answers(runs: Sequence[RunAnswers], questions: AnsweredQuestions) -> Floats:
    """(S, Q) 1 where a run of a condition was right, else 0."""
    return np.stack([run.predictions == questions.answers for run in runs]).astype(np.float64)


def votes_for_choices(runs: Sequence[RunAnswers], questions: AnsweredQuestions) -> Floats:
    """(Q, C) the share of a condition's runs that chose each choice."""
    predictions = np.stack([run.predictions for run in runs])  # (S, Q)
    choices = np.arange(questions.choices.max())
    votes: Floats = (predictions[:, :, None] == choices).mean(axis=0)
    return votes
