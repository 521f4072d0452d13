"""The last stage of an experiment: from every run's predictions to one comparison."""

import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from kformer.errors import KformerError
from kformer.evaluation.figure import draw_accuracies
from kformer.evaluation.report import render_markdown
from kformer.evaluation.statistics import (
    AnsweredQuestions,
    Comparison,
    Ints,
    RunAnswers,
    compare_conditions,
)
from kformer.io.file_writing import replacing, write_json
from kformer.io.output_names import ComparisonReport, RunFolder
from kformer.io.tables import provenance, read_table
from kformer.io.training_summary import TrainingSummary

_PACKAGES = ("kformer", "torch", "transformers")


def compare(experiment: str, runs: Sequence[Path], baseline: str, out: Path) -> dict[str, float]:
    """Compares all conditions of an experiment with its baseline, question by question.

    Each of ``runs`` is a `RunFolder` with predictions and, if something was trained, the summary
    of its training. The conditions keep the order in which they first appear. Writes a
    `ComparisonReport` into the folder ``out``.

    Returns:
        ``<condition>/accuracy`` and ``<condition>/delta`` as fractions and
        ``<condition>/p_holm`` for tracking.

    Raises:
        KformerError: the baseline is not among the runs, a run is given twice, the runs did not
            answer the same questions or were trained by different versions, predictions are not
            those of the run's model, the right answers are not known, or a run cannot be read.
    """
    folders = [RunFolder(folder) for folder in runs]
    _check_given_once(folders)
    found = sorted({folder.condition for folder in folders})
    if baseline not in found:
        raise KformerError(f"baseline: {baseline} is none of the conditions: {', '.join(found)}")
    questions, answers = _read_runs(folders)
    versions = {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()}
    comparison = compare_conditions(experiment, questions, answers, baseline, versions)

    report = ComparisonReport(out)
    write_json(report.numbers, comparison.model_dump(mode="json"))
    with replacing(report.page) as partial:
        partial.write_text(render_markdown(comparison, report.png.name), "utf-8")
    for file in (report.svg, report.png):
        with replacing(file) as partial:
            draw_accuracies(comparison, partial, file.suffix.removeprefix("."))
    return _metrics(comparison)


def read_comparison(path: Path) -> Comparison:
    """Reads a ``comparison.json``; raises KformerError where there is none."""
    try:
        return Comparison.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise KformerError(f"{path}: there is no such file; run the experiment first") from None
    except ValueError:
        raise KformerError(
            f"{path}: this is no comparison.json, or one of another version of kformer"
        ) from None


def _metrics(comparison: Comparison) -> dict[str, float]:
    metrics = {}
    for result in comparison.conditions:
        metrics[f"{result.condition}/accuracy"] = result.accuracy_mean
        metrics[f"{result.condition}/delta"] = result.delta
        if result.p_holm is not None:
            metrics[f"{result.condition}/p_holm"] = result.p_holm
    return metrics


def _read_runs(folders: Sequence[RunFolder]) -> tuple[AnsweredQuestions, list[RunAnswers]]:
    """Reads all runs and makes sure that they can be compared."""
    first = folders[0].predictions
    questions, *_ = _read_predictions(first)
    runs = []
    for folder in folders:
        own_questions, predictions, tied = _read_predictions(folder.predictions)
        if difference := _difference(questions, own_questions):
            raise KformerError(
                f"{first} and {folder.predictions} cannot be compared: {difference}; delete both "
                "and run again"
            )
        training = None if folder.seed is None else _training_of(folder)
        runs.append(RunAnswers(folder.condition, folder.seed, predictions, tied, training))
    _check_versions(folders, runs)
    return questions, runs


def _training_of(folder: RunFolder) -> TrainingSummary:
    """The summary of a training, if the predictions are those of its model."""
    training = TrainingSummary.read(folder.summary)
    origin = provenance(folder.predictions, "predictions")
    if origin.get("model_checksums", "") != training.model_checksums:
        raise KformerError(
            f"{folder.predictions}: made by another model than that of {folder.summary}; "
            "evaluate the run again"
        )
    return training


def _check_given_once(folders: Sequence[RunFolder]) -> None:
    """Raises KformerError for two runs of one condition with one seed."""
    given: dict[str, RunFolder] = {}
    for folder in folders:
        former = given.setdefault(folder.title, folder)
        if former is not folder:
            raise KformerError(
                f"{former.path} and {folder.path} are both the run {folder.title}; give one of them"
            )


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


def _read_predictions(path: Path) -> tuple[AnsweredQuestions, Ints, float]:
    """The questions of one run, ordered by their ids, (Q,) what it chose, and the share of ties."""
    rows = read_table(path, "predictions").sort_by("question_id").to_pylist()
    if not rows:
        raise KformerError(f"{path}: holds no predictions")
    for row, following in zip(rows, [*rows[1:], None], strict=True):
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
        if following and row["question_id"] == following["question_id"]:
            raise KformerError(f"{path}: question {row['question_id']} occurs more than once")
    questions = AnsweredQuestions(
        ids=tuple(row["question_id"] for row in rows),
        split=rows[0]["split"],
        answers=np.array([row["answer"] for row in rows], dtype=np.int64),
        choices=np.array([len(row["logits"]) for row in rows], dtype=np.int64),
    )
    tied = sum(row["tied"] for row in rows) / len(rows)
    return questions, np.array([row["prediction"] for row in rows], dtype=np.int64), tied


def _difference(one: AnsweredQuestions, other: AnsweredQuestions) -> str | None:
    """What differs between the questions of two runs, in words; None if they are the same."""
    if only := sorted(set(one.ids) ^ set(other.ids)):
        return f"{len(only)} questions are in only one of them, such as {only[0]}"
    if one.split != other.split:
        return f"one is about {one.split}, the other about {other.split}"
    for what, left, right in (
        ("right answer", one.answers, other.answers),
        ("number of choices", one.choices, other.choices),
    ):
        if (left != right).any():
            row = int(np.argmax(left != right))
            return f"question {one.ids[row]} has {what} {left[row]} and {right[row]}"
    return None
