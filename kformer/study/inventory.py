"""All files of experiments, and how to find one of them."""

import os
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, NamedTuple

from kformer.study import paths
from kformer.study.layout import Layout
from kformer.study.own_files import own_files
from kformer.study.shared_files import shared_files
from kformer.study.study_file import StudyFile

# Notes, locks and what is being written lie beside a file, under its name.
_BESIDE = re.compile(r"\.(?P<name>.+)\.(mlflow_run\.json|[a-z]+\.lock|partial|sha256)")

_OURS = {paths.RESULTS, paths.RESOURCES}


def inventory(study: Layout) -> list[StudyFile]:
    """All files of an experiment, those that experiments share first, in the order of stages."""
    return [*shared_files(study), *own_files(study)]


class Use(NamedTuple):
    """A file as one experiment has it."""

    experiment: str
    file: StudyFile


class Found(NamedTuple):
    """What a name stands for."""

    relation: Literal["is", "belongs to", "is the key of", "is the log of", "holds"]
    files: list[list[Use]]
    """Each with all its uses; none if nothing is known."""


class Inventories:
    """The files of several experiments."""

    def __init__(self, studies: Mapping[str, Layout]) -> None:
        self._uses: dict[Path, list[Use]] = {}
        for name, study in studies.items():
            for file in inventory(study):
                self._uses.setdefault(_absolute(file.path), []).append(Use(name, file))

    def find(self, name: str) -> Found:
        """What a path or a key names.

        A path may also lead into a folder that is one thing, such as a model, to what lies beside
        a file, to a log, or to a folder of several files.
        """
        asked = _absolute(Path(name))
        path = _without_hidden(asked)
        above = [uses for each in (path, *path.parents) if (uses := self._uses.get(each))]
        if path in self._uses:
            return Found("is" if path == asked else "belongs to", above[:1])
        if above and above[0][0].file.is_whole:
            return Found("belongs to", above[:1])
        if keyed := self._where(lambda file: is_key_of(name, file)):
            return Found("is the key of", keyed)
        if logged := self._where(lambda file: is_log_of(path, file)):
            return Found("is the log of", logged)
        return Found("holds", self.below(path))

    def below(self, folder: Path) -> list[list[Use]]:
        """The files in a folder, but those in a folder among them."""
        start = _absolute(folder)
        found = {path: uses for path, uses in self._uses.items() if start in path.parents}
        return [uses for path, uses in found.items() if found.keys().isdisjoint(path.parents)]

    def _where(self, condition: Callable[[StudyFile], bool]) -> list[list[Use]]:
        return [uses for uses in self._uses.values() if condition(uses[0].file)]


def is_key_of(name: str, file: StudyFile) -> bool:
    """Whether a file lies under a key, or one that ends so, such as its hexadecimal digits."""
    return file.key is not None and (file.key == name or file.key.endswith(f"-{name}"))


def is_log_of(path: Path, file: StudyFile) -> bool:
    logs = map(_absolute, file.logs)
    return any(path.parent == log.parent and fnmatch(path.name, log.name) for log in logs)


def _without_hidden(path: Path) -> Path:
    """The file beside which a hidden one lies as a note, or else the folder that it lies in."""
    for hidden in (each for each in (path, *path.parents) if each.name.startswith(".")):
        if _OURS.isdisjoint(paths.from_here(hidden).parents):
            break
        beside = _BESIDE.fullmatch(hidden.name)
        named = hidden.with_name(beside["name"]) if beside else hidden.parent
        path = named if named.exists() else hidden.parent
    return path


def _absolute(path: Path) -> Path:
    """A path from the root, without dots; no link is followed."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (`resolve` follows links)
