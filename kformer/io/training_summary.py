"""What training notes of a run in its ``training.json``; evaluation and comparison read it."""

import json
import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kformer.config_section import in_one_line
from kformer.errors import KformerError
from kformer.io.file_writing import write_json

_NOT_MEASURED = {"seed", "precision", "device", "version"}


class TrainingSummary(BaseModel):
    """What was trained, and what it took; None is what could not be measured.

    Attributes:
        seconds_per_step: median over the steps after the first ones.
        validation_accuracy: a fraction, that of the kept weights.
        best_step: the step whose weights are kept.
        inputs_cut: how many inputs were longer than the model reads.
        added_parameters: those that the injection adds to encoder and head.
        version: of the training stage; for an injection of another package that of the stage
            and, after a space, what the package's code is.
    """

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    seed: int
    steps: int
    seconds_per_step: float | None
    train_seconds: float | None
    validation_accuracy: float | None
    best_step: int | None
    train_questions: int
    inputs_cut: int
    parameters: int
    added_parameters: int
    peak_memory_mb: float | None
    precision: Literal["bf16", "fp32"]
    device: str
    version: str

    @property
    def measured(self) -> dict[str, float | None]:
        """The numbers alone, for tracking."""
        return self.model_dump(exclude=_NOT_MEASURED)

    @property
    def stage_version(self) -> str:
        """The version of the training stage alone."""
        return self.version.partition(" ")[0]

    def write(self, path: Path) -> None:
        write_json(path, self.model_dump())

    @classmethod
    def read(cls, path: Path) -> "TrainingSummary":
        """Reads a ``training.json``.

        Raises:
            KformerError: there is none, or it is damaged.
        """
        try:
            text = path.read_text("utf-8")
            content = json.loads(text, parse_float=_finite, parse_constant=_finite)
            return cls.model_validate(content)
        except FileNotFoundError:
            raise KformerError(f"{path}: there is no such file; train this run first") from None
        except ValidationError as error:
            reason = in_one_line(error)
        except (ValueError, RecursionError) as error:
            reason = f"not JSON in UTF-8: {error}"
        raise KformerError(f"{path}: damaged ({reason}); delete this run and train it again")


def _finite(number: str) -> float | None:
    """A number; None for NaN and infinity, as Python writes what is not defined."""
    value = float(number)
    return value if math.isfinite(value) else None
