"""What stages write into a folder of theirs: the names of these files stand here, and only here.

Which folders there are is known to `kformer.study.layout`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kformer.errors import KformerError

RUN_MEMORY = "mlflow_run.json"
"""Ends the hidden names of what remembers an MLflow run, beside what it is about."""

INDEX_DESCRIPTION = "index.json"
"""In the folder of an index: what it holds. It is written last."""

INDEX_ENCODER = "encoder.json"
"""In the folder of an index of embeddings: what they were computed with."""

_UNTRAINED = "untrained"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one condition with one seed, ``…/<condition>/seed-<seed>``.

    Where nothing is trained there is no seed, and the folder is ``…/<condition>/untrained``.
    """

    path: Path

    @classmethod
    def of(cls, runs: Path, condition: str, seed: int | str | None) -> "RunFolder":
        """The folder of a condition and a seed below ``runs``; None = nothing is trained."""
        return cls(runs / condition / (_UNTRAINED if seed is None else f"seed-{seed}"))

    @property
    def model(self) -> Path:
        """The trained model, a folder."""
        return self.path / "model"

    @property
    def summary(self) -> Path:
        """What training measured, JSON."""
        return self.path / "training.json"

    @property
    def finished(self) -> "RunFolder":
        """Model and summary once more, until the run was evaluated: hard links, no bytes.

        Who runs the stages may delete the outputs of a job that was killed, finished or not.
        """
        return RunFolder(self.path / ".finished")

    @property
    def tracking(self) -> Path:
        """What remembers the MLflow run."""
        return self.path / f".{RUN_MEMORY}"

    @property
    def predictions(self) -> Path:
        """The predictions table."""
        return self.path / "predictions.parquet"

    @property
    def use_of_facts(self) -> Path:
        """What each fact does to the answers, a table; for some questions, where facts are read."""
        return self.path / "use_of_facts.parquet"

    @property
    def condition(self) -> str:
        """The condition's name.

        Raises:
            KformerError: this is no path of a run's folder.
        """
        if name := self.path.absolute().parent.name:
            return name
        raise self._no_run()

    @property
    def seed(self) -> int | None:
        """The seed; None where nothing was trained.

        Raises:
            KformerError: this is no name of a run's folder.
        """
        if self.is_untrained:
            return None
        prefix, _, seed = self.path.absolute().name.partition("-")
        if prefix != "seed" or not seed.isdecimal():
            raise self._no_run()
        return int(seed)

    @property
    def is_untrained(self) -> bool:
        """Whether it is the folder of a condition in which nothing is trained."""
        return self.path.absolute().name == _UNTRAINED

    @property
    def is_well_named(self) -> bool:
        """Whether the path is one of a run's folder."""
        try:
            return bool(self.title)
        except KformerError:
            return False

    @property
    def title(self) -> str:
        """Condition and seed for a person, such as ``kformer seed-1``; raises as they do."""
        return f"{self.condition} {_UNTRAINED if self.seed is None else f'seed-{self.seed}'}"

    def _no_run(self) -> KformerError:
        return KformerError(
            f"{self.path}: the folder of a run is called <condition>/seed-<number> or "
            f"<condition>/{_UNTRAINED}; name such a folder"
        )


@dataclass(frozen=True)
class RetrievalReport:
    """How good a retrieval is: a page, its numbers, and a sample of questions to look at."""

    folder: Path

    @property
    def page(self) -> Path:
        return self.folder / "retrieval.md"

    @property
    def numbers(self) -> Path:
        return self.folder / "retrieval.json"

    @property
    def sample(self) -> Path:
        return self.folder / "sample.html"


@dataclass(frozen=True)
class ComparisonReport:
    """How the conditions of an experiment compare: numbers, a page, and figures."""

    folder: Path

    @property
    def numbers(self) -> Path:
        return self.folder / "comparison.json"

    @property
    def page(self) -> Path:
        return self.folder / "comparison.md"

    @property
    def report(self) -> Path:
        """Everything on one page, HTML."""
        return self.folder / "report.html"

    @property
    def tables(self) -> Path:
        """A folder with the report's tables."""
        return self.folder / "tables"

    @property
    def svg(self) -> Path:
        return self.folder / "accuracy.svg"

    @property
    def png(self) -> Path:
        return self.folder / "accuracy.png"

    @property
    def files(self) -> Sequence[Path]:
        """All of them; those of ladders are not always there."""
        first = (self.numbers, self.page, self.png, self.svg)
        return (*first, self.ladder_png, self.ladder_svg)

    @property
    def provenance(self) -> Path:
        """What the numbers were made from and with, JSON."""
        return self.folder / "provenance.json"

    @property
    def ladder_svg(self) -> Path:
        return self.folder / "ladder.svg"

    @property
    def ladder_png(self) -> Path:
        return self.folder / "ladder.png"
