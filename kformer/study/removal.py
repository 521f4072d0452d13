"""Removing an experiment, with those shared files that no other experiment needs."""

import os
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from kformer.errors import KformerError, listed
from kformer.io.disk_usage import freed_bytes
from kformer.io.file_writing import read_memory, remove
from kformer.io.output_names import ComparisonReport
from kformer.study import paths
from kformer.study.inventory import inventory
from kformer.study.saved_study import experiment_folders, is_only_planned, read_study
from kformer.study.study_file import StudyFile

_NOTES = (
    paths.saved_config,
    paths.saved_conditions,
    paths.saved_command,
    paths.plans,
    paths.kept_models,
)


@dataclass(frozen=True)
class Removal:
    """What goes.

    Attributes:
        folder: of the experiment.
        shared: files and folders of shared results, also those of older settings.
    """

    folder: Path
    shared: tuple[Path, ...]

    @property
    def paths(self) -> list[Path]:
        return [*self.shared, self.folder]

    @property
    def bytes(self) -> int:
        """How many become free."""
        return freed_bytes(self.paths)

    def carry_out(self) -> None:
        """Deletes all of it; stopped in the middle, the same removal can be planned again."""
        for path in self.shared:
            for beside in _beside(path):
                remove(beside)
            remove(path)
        if self.folder.is_dir() and not self.folder.is_symlink():
            last = paths.saved_config(self.folder)  # with it, others can still be removed
            for each in self.folder.iterdir():
                if each != last:
                    remove(each)
        remove(self.folder)


def plan_removal(name: str) -> Removal:
    """What goes with an experiment; nothing is touched yet.

    Raises:
        KformerError: there is no such experiment, it is not known what others need, or another
            one reads from its folder, or data of the user lies there.
    """
    folders = {folder.name: folder for folder in experiment_folders()}
    if name not in folders:
        raise KformerError(
            f"{name}: no experiment under {paths.RESULTS}; there are {listed(folders)}"
        )
    folder = folders.pop(name)
    needed = set(_needed_by(folder, folders.values()))
    own = _own_files(folder)
    yours = [file.path for file in own if file.is_yours] if own else _made_by_nobody(folder)
    kept = [*needed, *map(_real, yours)]
    for path in kept:
        if _real(folder) in (path, *path.parents):
            raise KformerError(
                f"{path}: lies in {folder}, and "
                f"{'another experiment reads it' if path in needed else 'is data of yours'}; move "
                "it and correct the config first"
            )
    return Removal(folder, tuple(_unneeded(needed, own)))


def _needed_by(folder: Path, others: Iterable[Path]) -> Iterator[Path]:
    """What other experiments read or have made, also before their settings were changed."""
    for other in others:
        if is_only_planned(other):
            continue
        try:
            files = inventory(read_study(other))
        except KformerError as error:
            raise KformerError(
                f"{error}; what {other.name} shares with {folder.name} is unknown, so nothing was "
                "removed"
            ) from None
        yield from (_real(file.path) for file in files)
        yield from map(_real, _noted(other))


def _noted(folder: Path) -> Iterator[Path]:
    """The shared files from which an experiment was made when its runs were last compared."""
    keys = read_memory(ComparisonReport(folder).provenance).get("keys")
    for each in keys.values() if isinstance(keys, dict) else ():
        if isinstance(each, dict) and isinstance(each.get("path"), str):
            yield Path(each["path"])


def _own_files(folder: Path) -> list[StudyFile]:
    """Those that the config of an experiment leads to; none where it cannot be read."""
    try:
        return inventory(read_study(folder))
    except KformerError:
        return []


def _made_by_nobody(folder: Path) -> Iterator[Path]:
    """What no stage makes, in the folder of an experiment whose config cannot be read: it may be
    data of the user."""
    report = ComparisonReport(folder)
    made = {
        *(path.name for path in (*report.files, report.report, report.tables, report.provenance)),
        *(path(folder).name for path in _NOTES),
        *("runs", "logs", "checkpoints", "mlflow-artifacts"),
    }
    for each in folder.iterdir():
        if each.name not in made and not each.name.startswith("."):
            yield each


def _unneeded(needed: Set[Path], own: Sequence[StudyFile]) -> Iterator[Path]:
    """What can go of the shared results; whole folders of keys, if possible."""
    for folder in paths.keyed_folders():
        if not any(_real(folder) in (path, *path.parents) for path in needed):
            yield folder
            continue
        for file in own:
            path = _real(file.path)
            is_needed = not needed.isdisjoint((path, *path.parents))
            if _real(folder) in path.parents and not is_needed and file.path.exists():
                yield file.path


def _beside(path: Path) -> list[Path]:
    """Notes on a file or folder, which lie beside it under its name."""
    return [each for each in path.parent.iterdir() if each.name.startswith(f".{path.name}.")]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
