"""The questions of the generated demo world."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.questions.reader import Reader
from kformer.tables import Row
from kformer.text_files import read_jsonl


class Demo(Reader):
    """Four-choice questions about invented people; see `kformer.demo_world`."""

    dataset: Literal["demo"] = "demo"

    def read(self, place: Path) -> Iterator[Row]:
        for _, row in read_jsonl(place / "questions.jsonl"):
            yield row
