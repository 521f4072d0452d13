"""What training notes of a run in its ``training.json``; evaluation and comparison read it."""

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kformer.config_section import in_one_line
from kformer.errors import KformerError
from kformer.io.checksums import CHECKSUMS, damage_in, is_sealed, sealed
from kformer.io.file_writing import sha256_of, write_json
from kformer.io.output_names import RunFolder
from kformer.io.visible_files import visible_files

_NOT_MEASURED = {
    *("seed", "precision", "device", "threads", "version"),
    *("identity", "encoder", "encoder_weights", "states", "model_checksums", "plan", "curve"),
}


class CurvePoint(BaseModel):
    """What was measured at a step while training; None is what was not.

    Attributes:
        loss: of training, the mean since the point before that has one.
        validation_loss: over the validation questions.
        validation_accuracy: a fraction of them.
    """

    model_config = ConfigDict(frozen=True)

    step: int
    loss: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None


class TrainingSummary(BaseModel):
    """What was trained, and what it took; None is what could not be measured.

    Attributes:
        steps: those that were made.
        seconds_per_step: median over all steps.
        cpu_seconds: those of all threads, over all training steps; not counting validations and
            checkpoints. What else the machine does hardly changes it.
        questions_per_second: over all training steps; not counting validations and checkpoints.
        tokens_per_second: the same, of inputs without padding.
        padding_share: a fraction, of the token positions that training steps computed.
        tokens_per_pass: the most tokens that were computed at once, as configured or as the memory
            allowed; None = whatever a step had.
        skipped_batches: steps whose update was left out, as it was not finite.
        validation_accuracy: a fraction, that of the kept weights.
        best_step: the step whose weights are kept.
        inputs_cut: how many inputs were longer than the model reads.
        added_parameters: those that the injection adds to encoder and head.
        trained_parameters: those that training changes; of LoRA its own, and of the fact
            embeddings the rows of facts that are trained with.
        threads: that computed it; the same work takes two of them more CPU seconds than one.
        version: of the training stage; for an injection of another package that of the stage
            and, after a space, what the package's code is.
        identity: stands for all that the run depends on.
        encoder: its name in the config.
        encoder_weights: SHA-256 of the encoder's weights before training.
        states: stands for what computed the kept states that were trained from, if they were kept.
        model_checksums: SHA-256 of the list of checksums in the model's folder.
        plan: SHA-256 of the file that says what the run was to depend on, if there was one.
        curve: how the training went, by steps.
    """

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    seed: int
    steps: int
    seconds_per_step: float | None
    train_seconds: float | None
    cpu_seconds: float | None = None
    questions_per_second: float | None = None
    tokens_per_second: float | None = None
    padding_share: float | None = None
    tokens_per_pass: int | None = None
    skipped_batches: int = 0
    validation_accuracy: float | None
    best_step: int | None
    train_questions: int
    inputs_cut: int
    parameters: int
    added_parameters: int
    trained_parameters: int | None = None
    peak_memory_mb: float | None
    threads: int | None = None
    precision: Literal["bf16", "fp32"]
    device: str
    version: str
    identity: str = ""
    encoder: str = ""
    encoder_weights: str = ""
    states: str = ""
    model_checksums: str = ""
    plan: str = ""
    curve: tuple[CurvePoint, ...] = ()

    @property
    def step_seconds(self) -> float | None:
        """What all steps took, by their median."""
        return self.steps * self.seconds_per_step if self.seconds_per_step else None

    @property
    def measured(self) -> dict[str, float | None]:
        """The numbers alone, for tracking, where ``validation_accuracy`` is a curve."""
        numbers = self.model_dump(exclude={*_NOT_MEASURED, "validation_accuracy"})
        return numbers | {"best_validation_accuracy": self.validation_accuracy}

    @property
    def stage_version(self) -> str:
        """The version of the training stage alone."""
        return self.version.partition(" ")[0]

    def write(self, path: Path) -> None:
        write_json(path, sealed(self.model_dump()))

    @classmethod
    def read(cls, path: Path) -> "TrainingSummary":
        """Reads a ``training.json``.

        Raises:
            KformerError: there is none, or it is damaged.
        """
        try:
            content = json.loads(path.read_text("utf-8"))
            if isinstance(content, dict) and not is_sealed(content):
                reason = "its checksum differs"
            else:
                return cls.model_validate(_finite(content))
        except FileNotFoundError:
            raise KformerError(f"{path}: there is no such file; train this run first") from None
        except ValidationError as error:
            reason = in_one_line(error)
        except IsADirectoryError:
            reason = "this is a folder"
        except (ValueError, RecursionError) as error:
            reason = f"not JSON in UTF-8: {error}"
        raise KformerError(f"{path}: damaged ({reason}); delete this run and train it again")


def has_model(run: RunFolder) -> bool:
    """Whether the trained model is there; where it was not kept, its folder is empty."""
    return run.model.is_dir() and bool(visible_files(run.model))


def read_trained(run: RunFolder) -> TrainingSummary:
    """The summary of a run whose model is what was trained, to the last bit.

    Raises:
        KformerError: the run was not trained, or its summary or model is damaged.
    """
    summary = TrainingSummary.read(run.summary)
    if not run.model.is_dir():
        problem = "there is no such folder"
    elif not has_model(run):
        problem = "empty, as training.keep_models leaves it after the comparison"
    elif damage := damage_in(run.model):
        problem = f"damaged ({damage})"
    elif sha256_of(run.model / CHECKSUMS) != summary.model_checksums:
        problem = f"this is not the model of {run.summary}"
    else:
        return summary
    raise KformerError(f"{run.model}: {problem}; delete {run.path} and train it again")


def _finite(content: Any) -> Any:
    """JSON with null for NaN and infinity, as Python writes what is not defined."""
    if not isinstance(content, dict):
        return content
    undefined = {key for key, value in content.items() if _is_undefined(value)}
    return content | dict.fromkeys(undefined)


def _is_undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
