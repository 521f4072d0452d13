"""The paired comparison of an experiment's conditions: its content and its statistics.

The unit is the question. The seeds of a condition answer the same questions, so their answers
are averaged first, question by question; every interval and test then works on one value a
question and treats the questions as a sample of all questions of their kind. So an interval
covers *which questions* happened to be asked. It does not cover *which seeds* happened to be
drawn: that spread is reported separately, as the standard deviation over seeds.

Shapes: Q questions, S seeds, C choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FiniteFloat
from scipy import stats
from statsmodels.stats.multitest import multipletests

from kformer.io.training_summary import TrainingSummary

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RESAMPLES = 19_999  # the smallest p-value that a resampling test can give is 2 / 20,000
_RNG_SEED = 0  # fixed: the same predictions give the same comparison, byte for byte
_VALUES_AT_ONCE = 4_000_000  # bounds the memory of resampling at some tens of MB


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


Interval = tuple[FiniteFloat, FiniteFloat]


class ConditionResult(BaseModel):
    """One condition; accuracies and their differences are fractions, times are seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: str
    seeds: list[int]
    seed_accuracies: list[FiniteFloat]
    accuracy_mean: FiniteFloat
    accuracy_std: FiniteFloat | None
    ci95: Interval
    tied: FiniteFloat
    delta: FiniteFloat
    delta_ci95: Interval | None
    p_value: FiniteFloat | None
    p_holm: FiniteFloat | None
    p_chance: FiniteFloat
    seconds_per_step: FiniteFloat | None
    relative_cost: FiniteFloat | None
    train_seconds: FiniteFloat | None
    added_parameters: int | None
    validation_accuracy: FiniteFloat | None


class Comparison(BaseModel):
    """The content of ``comparison.json``; conditions are in the order of the config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    split: str
    questions: int
    chance: FiniteFloat
    baseline: str
    versions: dict[str, str]
    conditions: list[ConditionResult]


def mean_interval(values: Floats, lowest: float, highest: float) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of (Q,) ``values`` between two possible extremes.

    The questions are resampled (BCa bootstrap: Efron 1987, "Better Bootstrap Confidence
    Intervals"). Where all values are equal, resampling would give an interval without width:
    there the interval reaches as far as if the questions that may go unseen in a sample of this
    size (Wilson's upper bound for 0 of Q) all had the lowest, or all the highest, value. For a
    perfect accuracy that is Wilson's interval.
    """
    if np.allclose(values, values[0]):
        unseen = float(stats.binomtest(0, len(values)).proportion_ci(method="wilson").high)
        value = float(values[0])
        return value + unseen * (lowest - value), value + unseen * (highest - value)
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=_batch(values),
        rng=np.random.default_rng(_RNG_SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def paired_p_value(differences: Floats) -> float:
    """The two-sided p-value of no difference, by flipping the signs of (Q,) ``differences``.

    If two conditions were interchangeable, each question's difference would have been as likely
    the other way round. Questions without a difference cannot change the outcome and are left
    out; where few are left, all their sign patterns are tried and the p-value is exact.
    """
    nonzero = differences[~np.isclose(differences, 0)]
    if len(nonzero) < 2:  # one difference is as likely this way as that
        return 1.0
    result = stats.permutation_test(
        (nonzero,),
        lambda sample, axis: np.sum(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=_batch(nonzero),
        rng=np.random.default_rng(_RNG_SEED),
    )
    return float(result.pvalue)


def chance_p_value(votes: Floats, questions: AnsweredQuestions) -> float:
    """The two-sided p-value of "the answers have nothing to do with the questions".

    ``votes`` is (Q, C): the share of seeds that chose each choice. They are held fixed and
    scored against answer keys drawn evenly at random. So seeds that agree with each other are
    not counted as independent evidence, and for one seed this is the binomial test.
    """
    rng = np.random.default_rng(_RNG_SEED)
    rows = np.arange(len(votes))
    result = stats.monte_carlo_test(  # type: ignore[call-overload]  # stubs miss `axis`
        questions.answers,
        rvs=lambda size: rng.integers(questions.choices, size=size),
        statistic=lambda keys, axis: votes[rows, keys.astype(np.int64)].mean(axis=axis),
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=_batch(votes),
    )
    return float(result.pvalue)


def compare_conditions(
    experiment: str,
    questions: AnsweredQuestions,
    runs: Sequence[RunAnswers],
    baseline: str,
    versions: Mapping[str, str],
) -> Comparison:
    """Compares every condition among ``runs`` with the condition ``baseline``, which is one.

    The p-values against the baseline are given as they are and after Holm's correction for
    comparing several conditions at once (``p_holm``).
    """
    by_condition: dict[str, list[RunAnswers]] = {}
    for run in runs:
        by_condition.setdefault(run.condition, []).append(run)
    reference = _scores(by_condition[baseline], questions)
    reference_cost = _mean_measure(by_condition[baseline], "seconds_per_step")

    against = {
        name: _against(_scores(group, questions) - reference)
        for name, group in by_condition.items()
        if name != baseline
    }
    for name, p_holm in zip(
        against, _holm([result["p_value"] for result in against.values()]), strict=True
    ):
        against[name]["p_holm"] = p_holm
    itself = {"delta": 0.0, "delta_ci95": None, "p_value": None, "p_holm": None}

    return Comparison(
        experiment=experiment,
        split=questions.split,
        questions=len(questions.ids),
        chance=questions.chance,
        baseline=baseline,
        versions=dict(versions),
        conditions=[
            ConditionResult(
                condition=name,
                **_accuracy(group, questions),
                **against.get(name, itself),
                **_cost(group, reference_cost),
            )
            for name, group in by_condition.items()
        ],
    )


def _accuracy(runs: Sequence[RunAnswers], questions: AnsweredQuestions) -> dict[str, Any]:
    scores = _scores(runs, questions)
    by_run = [float(np.mean(run.predictions == questions.answers)) for run in runs]
    trained = [(run.seed, accuracy) for run, accuracy in zip(runs, by_run, strict=True)]
    trained = [(seed, accuracy) for seed, accuracy in trained if seed is not None]
    return {
        "seeds": [seed for seed, _ in trained],
        "seed_accuracies": [accuracy for _, accuracy in trained],
        "accuracy_mean": float(scores.mean()),
        "accuracy_std": float(np.std(by_run, ddof=1)) if len(by_run) > 1 else None,
        "ci95": mean_interval(scores, 0, 1),
        "tied": float(np.mean([run.tied for run in runs])),
        "p_chance": chance_p_value(_votes(runs, questions), questions),
    }


def _against(differences: Floats) -> dict[str, Any]:
    return {
        "delta": float(differences.mean()),
        "delta_ci95": mean_interval(differences, -1, 1),
        "p_value": paired_p_value(differences),
    }


def _cost(runs: Sequence[RunAnswers], reference: float | None) -> dict[str, Any]:
    seconds_per_step = _mean_measure(runs, "seconds_per_step")
    return {
        "seconds_per_step": seconds_per_step,
        "relative_cost": seconds_per_step / reference if seconds_per_step and reference else None,
        "train_seconds": _mean_measure(runs, "train_seconds"),
        "added_parameters": runs[0].training.added_parameters if runs[0].training else None,
        "validation_accuracy": _mean_measure(runs, "validation_accuracy"),
    }


def _votes(runs: Sequence[RunAnswers], questions: AnsweredQuestions) -> Floats:
    """(Q, C) the share of seeds that chose each choice."""
    predictions = np.stack([run.predictions for run in runs])  # (S, Q)
    choices = np.arange(questions.choices.max())
    votes: Floats = (predictions[:, :, None] == choices).mean(axis=0)
    return votes


def _scores(runs: Sequence[RunAnswers], questions: AnsweredQuestions) -> Floats:
    """(Q,) the share of seeds that were right."""
    return _votes(runs, questions)[np.arange(len(questions.ids)), questions.answers]


def _holm(p_values: list[float]) -> list[float]:
    if not p_values:  # the baseline alone
        return []
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def _mean_measure(runs: Sequence[RunAnswers], name: str) -> float | None:
    measured = [getattr(run.training, name) for run in runs if run.training]
    values = [value for value in measured if value is not None]
    return float(np.mean(values)) if values else None


def _batch(values: Floats) -> int:
    """How many resamples fit into memory at once."""
    return max(1, _VALUES_AT_ONCE // len(values))
