"""Tries all that a training does, in seconds, and says what the whole of it will take.

The step with the most tokens shows whether the memory is enough; how long training takes is told by
steps and validation batches drawn at random.
"""

import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch

from kformer.errors import KformerError
from kformer.io.file_writing import replacing
from kformer.io.locks import Lock
from kformer.modeling.question_features import Example, Examples
from kformer.training.checkpoints import Checkpoints
from kformer.training.preparation import Prepared, prepare
from kformer.training.resumable_trainer import ResumableTrainer
from kformer.training.settings import TrainSettings

_MOST_SECONDS = 8.0  # for steps, and for validation batches
_FEWEST, _MOST = 3, 20  # of either
_CHECKPOINTS_AT_ONCE = 4  # three are kept while the next is written


def dry_run(
    settings: TrainSettings,
    seed: int,
    questions: Path,
    knowledge: tuple[Path, Path] | None,
    checkpoints: Path,
    states: Path | None = None,
) -> list[str]:
    """Tries a training; nothing is trained for good, and nothing left behind.

    Args:
        settings, seed, questions, knowledge, states: as for `kformer.training.run.train`.
        checkpoints: the folder of the training; a checkpoint is written beside it, and removed.

    Returns:
        lines on what the training has and takes.

    Raises:
        KformerError: what would stop the training: data, encoder, memory, numbers that are not
            finite, or a disk that is too small.
    """
    began = time.monotonic()
    parent = next(each for each in checkpoints.absolute().parents if each.is_dir())
    with tempfile.TemporaryDirectory(prefix=".kformer-dry-run-", dir=parent) as name:
        folder = Path(name)
        unfinished = Checkpoints(folder, "", Lock(folder))
        prepared = prepare(
            settings,
            seed,
            questions,
            knowledge,
            unfinished,
            NoLog(),
            "dry run",
            states=states,
        )
        prepared.trainer.make_ready()
        seconds = {"beginning": time.monotonic() - began}
        steps = _try_steps(prepared)
        seconds["validation"] = _try_validation(prepared)
        checkpoint = _try_checkpoint(prepared.trainer, folder)
    seconds |= {"step": statistics.fmean(steps), "checkpoint": checkpoint.seconds}
    return [
        *_what_is_trained(prepared),
        f"a step: {seconds['step']:.3g} s (mean of {len(steps)} random ones, "
        f"{min(steps):.3g} to {max(steps):.3g} s)",
        _duration(settings, prepared.trainer, seconds),
        _memory(prepared),
        checkpoint.line(parent),
    ]


class NoLog:
    """Keeps no metrics."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        pass

    def flush(self) -> None:
        pass


@dataclass(frozen=True)
class _Written:
    """A checkpoint that was written: its size in bytes, and how long it took."""

    size: int
    seconds: float

    def line(self, folder: Path) -> str:
        """Its size and the room in a folder; raises KformerError where that is too small."""
        needed, free = _CHECKPOINTS_AT_ONCE * self.size, shutil.disk_usage(folder).free
        line = (
            f"disk: a checkpoint has {_megabytes(self.size)}, up to {_CHECKPOINTS_AT_ONCE} at once "
            f"{_megabytes(needed)}; {_megabytes(free)} are free in {folder}"
        )
        if needed > free:
            raise KformerError(f"{line}; make room or name another --checkpoints")
        return line


def _try_steps(prepared: Prepared) -> list[float]:
    """The seconds of some random steps, after the one with the most tokens has shown that it fits.

    That comes first, as what a first step allocates and plans is no part of the others.
    """
    trainer, questions = prepared.trainer, prepared.training_set
    size = trainer.args.train_batch_size
    trainer.step_alone(_longest(questions, size))
    order = list(trainer._get_train_sampler() or ())
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return _sampled(batches, lambda batch: trainer.step_alone([questions[i] for i in batch]))


def _try_validation(prepared: Prepared) -> float:
    """The seconds of a validation, from some random batches after the one with the most tokens."""
    trainer, questions = prepared.trainer, prepared.validation_set
    list(trainer.answer(_longest(questions, trainer.args.eval_batch_size)))
    batches = trainer.validation_batches()
    seconds = _sampled(batches, lambda batch: list(trainer.answer([questions[i] for i in batch])))
    return statistics.fmean(seconds) * len(batches)


def _sampled(
    batches: Sequence[Sequence[int]], compute: Callable[[Sequence[int]], object]
) -> list[float]:
    """How long some random batches take, in seconds: as many as fit into the time, but a few."""
    seconds: list[float] = []
    for batch in random.Random(0).sample(batches, min(_MOST, len(batches))):
        if len(seconds) >= _FEWEST and sum(seconds) > _MOST_SECONDS:
            break
        began = time.monotonic()
        compute(batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - began)
    return seconds


def _longest(questions: Examples, count: int) -> list[Example]:
    return [questions[i] for i in questions.longest_first[:count]]


def _try_checkpoint(trainer: ResumableTrainer, folder: Path) -> _Written:
    began = time.monotonic()
    with replacing(folder / "checkpoint") as partial:  # its errors name the place
        partial.mkdir()
        trainer.write_state(partial)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return _Written(size, time.monotonic() - began)


def _what_is_trained(prepared: Prepared) -> list[str]:
    trainer, noted = prepared.trainer, prepared.noted
    size, asked = trainer.args.train_batch_size, len(prepared.training_set)
    return [
        f"model: {noted['parameters']:,} parameters, of which the injection adds "
        f"{noted['added_parameters']:,}; {noted['precision']} on {prepared.model.device}",
        f"questions: {asked:,} for training, {len(prepared.validation_set):,} for validation; "
        f"{noted['inputs_cut']:,} inputs are cut",
        f"steps: {trainer.args.max_steps:,} of {min(size, asked):,} questions",
    ]


def _duration(settings: TrainSettings, trainer: ResumableTrainer, seconds: dict[str, float]) -> str:
    """How long the training will take if it is alone on this machine."""
    steps, validations = trainer.args.max_steps, settings.training.evaluations
    validating = validations * (seconds["validation"] + seconds["checkpoint"])
    working = steps * seconds["step"] + validating
    timed = working / (60 * settings.training.checkpoint_minutes) * seconds["checkpoint"]
    whole = seconds["beginning"] + working + timed
    patience = ", less if patience ends it" if settings.training.patience else ""
    return (
        f"duration: {timedelta(seconds=round(whole))}, of which {validations} validations "
        f"{timedelta(seconds=round(validating))}{patience}"
    )


def _memory(prepared: Prepared) -> str:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = f"memory: at most {_megabytes(peak)}"
    if torch.cuda.is_available():
        has = torch.cuda.get_device_properties(0).total_memory
        line += f", and {_megabytes(torch.cuda.max_memory_allocated())} of {_megabytes(has)} (GPU)"
    most = prepared.trainer.tokens_per_pass
    return line + (f", in passes of at most {most:,} tokens" if most is not None else "")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
