"""A file of an experiment, in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from kformer.io.output_names import RunFolder
from kformer.study.stage_versions import StageName


@dataclass(frozen=True)
class StudyFile:
    """A file or a folder that an experiment makes or reads.

    Attributes:
        path: where it lies.
        about: what it is, for a person.
        conditions: those that it is there for.
        key: what its path calls it where experiments share it.
        stage: whose version it depends on; None = it depends on none.
        command: that makes it; None = it is not made by a command of its own.
        target: what to ask Snakemake for, where that is not the path.
        settings: those that it depends on.
        inputs: what it is made from.
        logs: of the jobs that make it, with ``*`` in the name where there are several of a kind.
        run: that it belongs to.
        is_yours: whether the user put it there.
        is_whole: whether whatever lies in this folder belongs to it.
    """

    path: Path
    about: str
    conditions: tuple[str, ...]
    key: str | None = None
    stage: StageName | None = None
    command: str | None = None
    target: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Path, ...] = ()
    logs: tuple[Path, ...] = ()
    run: RunFolder | None = None
    is_yours: bool = False
    is_whole: bool = False


def plain(section: BaseModel) -> dict[str, Any]:
    """Settings as JSON has them; addresses are without their secrets."""
    return section.model_dump(mode="json")
