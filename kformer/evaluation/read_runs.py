"""Reading what the runs of an experiment answered, and making sure that it can be compared."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from kformer.errors import KformerError
from kformer.evaluation.answers import AnsweredQuestions, Answers, RunAnswers
from kformer.io.output_names import RunFolder
from kformer.io.tables import Row, provenance, read_table
from kformer.io.training_summary import TrainingSummary

SplitAnswers = tuple[AnsweredQuestions, list[RunAnswers]]


@dataclass(frozen=True)
class _Predicted:
    """What one run answered to the questions of one split."""

    questions: AnsweredQuestions
    """ordered by their ids"""
    answers: Answers


def read_runs(folders: Sequence[RunFolder]) -> list[SplitAnswers]:
    """What all runs answered to the same questions, one entry a split: first the test questions,
    then the other splits as they come in the first run's table.

    Raises:
        KformerError: a run is given twice, the runs did not answer the same questions or were
            trained by different versions, predictions are not those of the run's model, the right
            answers are not known, or a run cannot be read.
    """
    _check_given_once(folders)
    first = folders[0].predictions
    answered = {split: each.questions for split, each in _read_predictions(first).items()}
    of_split: dict[str, list[RunAnswers]] = {split: [] for split in answered}
    for folder in folders:
        predicted = _read_predictions(folder.predictions)
        found = {split: each.questions for split, each in predicted.items()}
        if difference := _difference(answered, found):
            raise KformerError(
                f"{first} and {folder.predictions} cannot be compared: {difference}; delete both "
                "and run again"
            )
        origin = provenance(folder.predictions, "predictions")
        training = None if folder.seed is None else _training_of(folder, origin)
        noted = origin.get("flops_per_question")
        flops = None if noted is None else float(noted)
        for split, runs in of_split.items():
            answers = predicted[split].answers
            runs.append(RunAnswers(folder.condition, folder.seed, answers, training, flops))
    (any_split, *_) = of_split.values()
    _check_versions(folders, any_split)
    return [(answered[split], runs) for split, runs in of_split.items()]


def _check_given_once(folders: Sequence[RunFolder]) -> None:
    """Raises KformerError for two runs of one condition with one seed."""
    given: dict[str, RunFolder] = {}
    for folder in folders:
        former = given.setdefault(folder.title, folder)
        if former is not folder:
            raise KformerError(
                f"{former.path} and {folder.path} are both the run {folder.title}; give one of them"
            )


def _training_of(folder: RunFolder, origin: Mapping[str, str]) -> TrainingSummary:
    """The summary of a training, if the predictions, which have that origin, are its model's."""
    training = TrainingSummary.read(folder.summary)
    if origin.get("model_checksums", "") != training.model_checksums:
        raise KformerError(
            f"{folder.predictions}: made by another model than that of {folder.summary}; "
            "evaluate the run again"
        )
    return training


def _check_versions(folders: Sequence[RunFolder], runs: Sequence[RunAnswers]) -> None:
    """Raises KformerError where the results of two runs are owed to different code.

    All runs must be trained by one version of the stage, those of a condition by one version: other
    conditions may have injections of other packages. An encoder must be the same wherever it has
    the same name.
    """
    of_stage: dict[str, Path] = {}
    of_condition: dict[str, dict[str, Path]] = {}
    of_encoder: dict[str, dict[str, Path]] = {}
    for folder, run in zip(folders, runs, strict=True):
        if run.training:
            of_stage.setdefault(run.training.stage_version, folder.path)
            versions = of_condition.setdefault(run.condition, {})
            versions.setdefault(run.training.version, folder.path)
            weights = of_encoder.setdefault(run.training.encoder, {})
            weights.setdefault(run.training.encoder_weights, folder.path)
    for versions in (of_stage, *of_condition.values()):
        if len(versions) > 1:
            trained = " and ".join(f"{path} (by {version})" for version, path in versions.items())
            raise KformerError(
                f"{trained} were trained by different versions and cannot be compared; delete the "
                "older ones and run again"
            )
    for name, weights in of_encoder.items():
        if len(weights) > 1:
            raise KformerError(
                f"{' and '.join(map(str, weights.values()))} were trained from encoders with other "
                f"weights, though both are called {name}, and cannot be compared; delete the older "
                "ones and run again"
            )


def _read_predictions(path: Path) -> dict[str, _Predicted]:
    """What one run answered, by split."""
    rows = read_table(path, "predictions").to_pylist()
    if not rows:
        raise KformerError(f"{path}: holds no predictions")
    _check_rows(rows, path)
    of_split: dict[str, list[Row]] = {"test": []}
    for row in rows:
        of_split.setdefault(row["split"], []).append(row)
    return {split: _predicted(split, some) for split, some in of_split.items() if some}


def _check_rows(rows: Sequence[Row], path: Path) -> None:
    """Raises KformerError for a row without answer or choice, or a question with two rows."""
    seen: set[str] = set()
    for row in rows:
        if row["answer"] is None:
            raise KformerError(
                f"{path}: question {row['question_id']} has no answer to compare with; "
                "evaluate on a labelled split"
            )
        if not all(map(math.isfinite, row["logits"])):
            raise KformerError(
                f"{path}: the logits of question {row['question_id']} are not numbers; delete "
                f"{path.parent} and run again with a lower training.learning_rate"
            )
        if not 0 <= row["prediction"] < len(row["logits"]):
            raise KformerError(
                f"{path}: question {row['question_id']} has no choice {row['prediction']}; delete "
                "the file and evaluate again"
            )
        if row["question_id"] in seen:
            raise KformerError(f"{path}: question {row['question_id']} occurs more than once")
        seen.add(row["question_id"])


def _predicted(split: str, rows: Sequence[Row]) -> _Predicted:
    rows = sorted(rows, key=lambda row: row["question_id"])
    questions = AnsweredQuestions(
        ids=tuple(row["question_id"] for row in rows),
        split=split,
        answers=np.array([row["answer"] for row in rows], dtype=np.int64),
        choices=np.array([len(row["logits"]) for row in rows], dtype=np.int64),
    )
    answers = Answers(
        chosen=np.array([row["prediction"] for row in rows], dtype=np.int64),
        credit=np.array([row["credit"] for row in rows], dtype=np.float64),
        tied=np.array([row["tied"] for row in rows]),
        confidence=np.array([softmax(row["logits"]).max() for row in rows]),
        facts_read=np.array([any(row["fact_ids"]) for row in rows]),
        was_cut=np.array([row["inputs_cut"] > 0 for row in rows]),
    )
    return _Predicted(questions, answers)


def _difference(
    one: Mapping[str, AnsweredQuestions], other: Mapping[str, AnsweredQuestions]
) -> str | None:
    """What differs between the questions of two runs, in words; None if they are the same."""
    if one.keys() != other.keys():
        return f"one is about {' and '.join(one)}, the other about {' and '.join(other)}"
    differences = (_difference_in_split(one[split], other[split]) for split in one)
    return next(filter(None, differences), None)


def _difference_in_split(one: AnsweredQuestions, other: AnsweredQuestions) -> str | None:
    if only := sorted(set(one.ids) ^ set(other.ids)):
        return f"{len(only)} questions are in only one of them, such as {only[0]}"
    for what, left, right in (
        ("right answer", one.answers, other.answers),
        ("number of choices", one.choices, other.choices),
    ):
        if (left != right).any():
            row = int(np.argmax(left != right))
            return f"question {one.ids[row]} has {what} {left[row]} and {right[row]}"
    return None
