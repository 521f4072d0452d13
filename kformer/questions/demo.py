"""The questions of the generated demo world."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from kformer.jsonl import read_jsonl
from kformer.section import Section
from kformer.tables import Row


class Demo(Section):
    """Four-choice questions about invented people; see `kformer.demo_world`."""

    dataset: Literal["demo"] = "demo"
    source: ClassVar[str] = "demo"

    def read(self, folder: Path) -> Iterator[Row]:
        for _, row in read_jsonl(folder / "questions.jsonl"):
            yield row
