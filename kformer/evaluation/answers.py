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
Bools = NDArray[np.bool_]


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
class Answers:
    """What was answered, in the order of the `AnsweredQuestions`."""

    chosen: Ints
    """(Q,) the index of the chosen choice"""
    credit: Floats
    """(Q,) 1 where it is right, 0 where not, 1/k where the right one is among k that tie"""
    tied: Bools
    """(Q,) whether different choices have the highest logit"""
    confidence: Floats
    """(Q,) the highest probability of a choice, by the softmax of the logits"""
    facts_read: Bools
    """(Q,) whether facts were read for some choice"""
    was_cut: Bools
    """(Q,) whether the input of some choice was too long"""


@dataclass(frozen=True)
class RunAnswers:
    """What one condition answered with one seed."""

    condition: str
    seed: int | None
    """null: nothing was trained, so there is no seed"""
    answers: Answers
    training: TrainingSummary | None
    """what training measured; None where nothing was trained"""
    flops: float | None = None
    """the floating-point operations of answering a question; None where nobody counted"""


def right_answers(runs: Sequence[RunAnswers]) -> Floats:
    """(S, Q) 1 where a run of a condition was right, 0 where not, and a part where choices tie."""
    return np.stack([run.answers.credit for run in runs])


def votes_for_choices(runs: Sequence[RunAnswers], questions: AnsweredQuestions) -> Floats:
    """(Q, C) the share of a condition's runs that chose each choice."""
    predictions = np.stack([run.answers.chosen for run in runs])  # (S, Q)
    choices = np.arange(questions.choices.max())
    votes: Floats = (predictions[:, :, None] == choices).mean(axis=0)
    return votes
