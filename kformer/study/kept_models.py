"""Trained models that are not kept once their answers were compared, for they are large.

Their folders stay, empty: so whoever runs the stages misses no output and trains nothing again.
"""

from kformer.errors import KformerError
from kformer.io.file_writing import remove
from kformer.io.output_names import RunFolder
from kformer.io.training_summary import TrainingSummary, has_model
from kformer.io.visible_files import visible_files
from kformer.study.layout import Layout
from kformer.study.run_states import state_of


def drops_models(study: Layout) -> bool:
    """Whether the config leaves any model out."""
    return any(each.training.keep_models != "all" for each in study.conditions.values())


def drop_models(study: Layout) -> dict[str, list[str]]:
    """Empties the folders of models that the config does not keep; those of runs that were not
    evaluated stay.

    Returns:
        the folders of runs whose models are there, ``kept``, and that have none, ``dropped``.

    Raises:
        KformerError: the runs were not compared yet.
    """
    if not study.comparison.numbers.is_file():
        raise KformerError(
            f"{study.comparison.numbers}: there is no such file, so models may still be needed; "
            "run the study to its end first"
        )
    kept = {run.path for condition in study.conditions for run in _kept(study, condition)}
    trained = [run for run in study.runs if run.seed is not None]
    for run in trained:
        if run.path not in kept and state_of(study, run).stage == "evaluated":
            for file in visible_files(run.model):
                remove(file)
    there = {run: has_model(run) for run in trained}
    return {
        "kept": [str(run.path) for run, is_there in there.items() if is_there],
        "dropped": [str(run.path) for run, is_there in there.items() if not is_there],
    }


def _kept(study: Layout, condition: str) -> list[RunFolder]:
    runs = [run for run in study.runs if run.condition == condition and run.seed is not None]
    keep = study.conditions[condition].training.keep_models
    if keep == "best" and runs:
        return [max(runs, key=_validation_accuracy)]  # of equal ones the first
    return runs if keep == "all" else []


def _validation_accuracy(run: RunFolder) -> float:
    return TrainingSummary.read(run.summary).validation_accuracy or 0.0
