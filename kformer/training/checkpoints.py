"""Checkpoints of an unfinished training: how they are written, and which one is resumed.

A checkpoint is a folder ``checkpoint-<step>``. It is written aside and renamed when it is complete,
with the checksums of its files and what run it belongs to. So whatever is killed, deleted or
damaged, training is resumed from a whole state, or not at all.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.io.checksums import damage_in, read_notes, write_checksums
from kformer.io.file_writing import remove, replacing
from kformer.io.locks import Lock

STATE = "trainer_state.json"
WEIGHTS = "model.safetensors"
_NAME = re.compile(r"checkpoint-(0|[1-9][0-9]*)")


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        step: how many steps were trained before it was written.
        best: the step of the checkpoint with the best weights until then; None before the first
            validation.
    """

    path: Path
    step: int
    best: int | None


class Checkpoints:
    """The checkpoints of one run, in a folder of their own."""

    def __init__(self, folder: Path, identity: str, lock: Lock) -> None:
        """Prepares reading and writing; nothing is touched yet.

        Args:
            folder: it may not exist yet. What is no checkpoint in it is left alone.
            identity: stands for all that the run depends on.
            lock: held, so that no other process writes there.
        """
        self.folder, self._identity, self._lock = folder, identity, lock
        self._kept: list[Checkpoint] = []  # in the order of their steps

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; whatever else is called so is removed.

        One line on stderr says why a newer one was not used: incomplete, damaged, of other
        settings, inputs or another version, or without the best weights that it names.
        """
        for leftover in self.folder.glob(".checkpoint-*"):  # of a process that was killed
            remove(leftover)
        found = {int(match[1]): path for path, match in self._named()}
        self._kept = []
        for step in sorted(found, reverse=True):
            try:
                checkpoint = self._read(step)
            except _Unusable as problem:
                print(f"{found[step]}: {problem}; not resumed, removed", file=sys.stderr)
                continue
            best = checkpoint.best
            if best is not None and best != step:
                self._kept.append(Checkpoint(found[best], best, best))
            self._kept.append(checkpoint)
            break
        self._remove_all_but(self._kept)
        return self._kept[-1] if self._kept else None

    @contextmanager
    def writing(self, step: int, best: int | None) -> Iterator[Path]:
        """Yields the folder for the files of a checkpoint, which counts when the block ends.

        Older checkpoints that are needed no more are removed then.

        Raises:
            KformerError: the best weights until then were deleted, or another process may write
                here.
        """
        self._lock.check()
        if best not in (None, step) and not self._path(best).is_dir():
            raise self._lost(best, "was deleted")
        with replacing(self._path(step)) as partial:
            partial.mkdir()
            yield partial
            write_checksums(partial, identity=self._identity)
        self._kept = self._needed(Checkpoint(self._path(step), step, best))
        self._remove_all_but(self._kept)

    def weights(self, step: int) -> Path:
        """The file with the weights of a checkpoint.

        Raises:
            KformerError: the checkpoint is not as it was written.
        """
        if problem := self._problem_with(step):
            raise self._lost(step, problem)
        return self._path(step) / WEIGHTS

    def remove(self) -> None:
        """Removes all checkpoints, and the folder if nothing else is in it."""
        self._remove_all_but([])
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, step: int | None) -> Path:
        return self.folder / f"checkpoint-{step}"

    def _named(self) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in self.folder.glob("checkpoint-*"):
            if match := _NAME.fullmatch(path.name):
                yield path, match

    def _read(self, step: int) -> Checkpoint:
        """A checkpoint; raises `_Unusable` unless it and the best one that it names are whole."""
        if problem := self._problem_with(step):
            raise _Unusable(problem)
        best: int | None = _state_of(self._path(step))["best_global_step"]
        if best not in (None, step) and (problem := self._problem_with(best)):
            raise _Unusable(f"the best weights until then are lost: checkpoint-{best}: {problem}")
        return Checkpoint(self._path(step), step, best)

    def _problem_with(self, step: int | None) -> str | None:
        """Why a checkpoint is not what this run wrote at a step, if it is not."""
        path = self._path(step)
        if path.is_symlink() or not path.is_dir():
            return "this is no folder" if path.exists() else "it is gone"
        if damage := damage_in(path):
            return damage
        if read_notes(path).get("identity") != self._identity:
            return "of other settings, inputs or another version"
        if (found := _state_of(path)["global_step"]) != step:
            return f"this is the checkpoint of step {found}"
        return None

    def _needed(self, newest: Checkpoint) -> list[Checkpoint]:
        """The newest checkpoint with its best one, and one more to fall back on."""
        others = {each.step: each for each in self._kept}
        if newest.best != newest.step:
            best = others.get(newest.best) if newest.best is not None else None
            former = [best] if best else self._kept[-1:]
        else:
            former = self._kept[-1:]
            former = [others[each.best] for each in former if each.best in others] + former
        return [*dict.fromkeys(former), newest]

    def _remove_all_but(self, kept: list[Checkpoint]) -> None:
        paths = {each.path for each in kept}
        for path, _ in self._named():
            if path not in paths:
                remove(path)

    def _lost(self, step: int | None, why: str) -> KformerError:
        return KformerError(
            f"{self._path(step)}: has the best weights of this training, but {why}; start the "
            "same command again, which resumes an older checkpoint or trains anew"
        )


def newest_step(folder: Path) -> int | None:
    """The step of the newest checkpoint in a folder, whole or not; None if there is none."""
    steps = [int(match[1]) for path in folder.glob("*") if (match := _NAME.fullmatch(path.name))]
    return max(steps, default=None)


class _Unusable(Exception):
    """Why a checkpoint is not resumed."""


def _state_of(checkpoint: Path) -> dict[str, Any]:
    """What Trainer knows of the training at a checkpoint that is whole."""
    content: dict[str, Any] = json.loads((checkpoint / STATE).read_text("utf-8"))
    return content
