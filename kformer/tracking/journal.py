"""What a run has measured, in a file beside it: written there first, and sent from there.

So nothing is lost where nobody answers, and a job that only writes need not load MLflow. A line is
an entry, JSON with a ``kind``:

- ``begin``: a new run: its ``id``, which tells it from all others, and what it is called and logs
- ``resume``: the run goes on after a kill, or in another stage
- ``metrics``: ``values`` by name, of a ``step``
- ``content``, ``file``: an artifact, from the entry itself or from a file beside the journal
- ``inputs``: data sets
- ``end``: the ``status`` of the run

Every entry that is not ``begin`` belongs to the ``begin`` before it.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from kformer.io.file_writing import read_memory, synced, write_json
from kformer.io.locks import locked
from kformer.io.output_names import RUN_MEMORY

Entry = Mapping[str, Any]

JOURNALS = f".*{RUN_MEMORY}l"
"""A pattern of the names of journals."""


@dataclass
class Position:
    """How much of a journal was sent.

    Attributes:
        run_id: of the MLflow run that the last entry was sent to; empty = none yet.
        begun: where in the file the ``begin`` of that run is, in bytes.
        sent: where the first entry is that was not sent.
        postponed: where artifacts are, further up, that could not be sent.
    """

    run_id: str = ""
    begun: int = 0
    sent: int = 0
    postponed: list[int] = field(default_factory=list)


class Journal:
    """The journal of a stage; the run's id and how much was sent stand in a file beside it."""

    def __init__(self, memory: Path) -> None:
        """Opens nothing yet.

        Args:
            memory: the file beside it, such as ``.mlflow_run.json``.
        """
        self._memory = memory
        self.path = memory.with_suffix(".jsonl")

    @classmethod
    def at(cls, path: Path) -> "Journal":
        return cls(path.with_suffix(".json"))

    def append(self, entries: Sequence[Entry]) -> None:
        """Appends entries, all or none; they are on the disk when this returns.

        Raises:
            OSError: they cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
        with self.path.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if not self._ends_with_a_line(size):  # a crash has cut it
                text = b"\n" + text
            try:
                while text:
                    text = text[file.write(text) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
        if not size:
            synced(self.path.parent)

    def entries(self, start: int = 0) -> Iterator[tuple[int, int, Entry]]:
        """The whole entries from a place on, each with its place and the place behind it."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                end = start + len(line)
                if line.endswith(b"\n") and (entry := _parsed(line)):
                    yield start, end, entry
                start = end

    def last_run(self) -> list[Entry]:
        """The entries of the run that was begun last."""
        entries: list[Entry] = []
        for _, _, entry in self.entries():
            if entry["kind"] == "begin":
                entries.clear()
            entries.append(entry)
        return entries

    @property
    def is_waiting(self) -> bool:
        """Whether not all of it was sent."""
        position = self.position
        return position.sent < self.size or bool(position.postponed)

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def position(self) -> Position:
        """How much was sent; nothing where nobody knows."""
        noted = read_memory(self._memory)
        run_id, places = noted.get("run_id"), noted.get("postponed")
        begun, sent = (_place(noted.get(name), self.size) for name in ("begun", "sent"))
        postponed = [_place(each, self.size) for each in places] if _is_list(places) else []
        return Position(run_id if isinstance(run_id, str) else "", begun, sent, postponed)

    def remember(self, position: Position) -> None:
        """Notes how much was sent.

        Raises:
            KformerError: something else is where the note would be.
            OSError: it cannot be written.
        """
        write_json(self._memory, asdict(position))

    @contextmanager
    def claimed(self) -> Iterator[bool]:
        """While the block runs, nobody else sends from it; False where somebody does."""
        with self.path.open("r+b") as file:
            yield locked(file.fileno(), self.path)

    def _ends_with_a_line(self, size: int) -> bool:
        if not size:
            return True
        with self.path.open("rb") as file:
            file.seek(size - 1)
            return file.read(1) == b"\n"


def _parsed(line: bytes) -> Entry | None:
    """An entry; None of a line that a crash has damaged."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("kind"), str) else None


def _place(noted: Any, size: int) -> int:
    return noted if type(noted) is int and 0 <= noted <= size else 0


def _is_list(noted: Any) -> TypeGuard[list[Any]]:
    return isinstance(noted, list)
