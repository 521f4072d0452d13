"""The facts of the generated demo world."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.jsonl import read_jsonl
from kformer.section import Section
from kformer.tables import Row


class Demo(Section):
    """One sentence per person and attribute; see `kformer.demo_world`."""

    source: Literal["demo"] = "demo"

    def read(self, folder: Path) -> Iterator[Row]:
        for _, row in read_jsonl(folder / "facts.jsonl"):
            yield row
