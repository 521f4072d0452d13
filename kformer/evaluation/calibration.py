"""Whether answers are right as often as the model is confident of them.

Shapes: S seeds, Q questions.
"""

from collections.abc import Sequence

import numpy as np

from kformer.evaluation.answers import RunAnswers
from kformer.evaluation.results import Calibration, ReliabilityBin

_BINS = 10


def calibration_of(runs: Sequence[RunAnswers]) -> Calibration | None:
    """The calibration of a condition's runs; None where nothing was trained.

    The expected calibration error is the mean difference of accuracy and confidence over ten bins
    of equal width, weighted by their answers (Guo et al. 2017, "On Calibration of Modern Neural
    Networks"). The answers of all seeds are taken together.
    """
    if any(run.training is None for run in runs):
        return None
    confidence = np.concatenate([run.answers.confidence for run in runs])  # (S · Q,)
    credit = np.concatenate([run.answers.credit for run in runs])
    number = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    bins = [
        ReliabilityBin(
            answers=int((number == each).sum()),
            confidence=float(confidence[number == each].mean()),
            accuracy=float(credit[number == each].mean()),
        )
        for each in np.unique(number)
    ]
    error = sum(each.answers * abs(each.accuracy - each.confidence) for each in bins)
    return Calibration(
        confidence=float(confidence.mean()), error=error / len(confidence), bins=bins
    )
