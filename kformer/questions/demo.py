"""The questions of the generated demo world."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.io.tables import Row
from kformer.io.text_files import read_jsonl
from kformer.questions.reader import QuestionReader


class DemoQuestions(QuestionReader):
    """Four-choice questions about invented people; see `kformer.demo_world`."""

    is_generated = True

    dataset: Literal["demo"] = "demo"

    def read(self, folder: Path) -> Iterator[Row]:
        for _, row in read_jsonl(folder / "questions.jsonl"):
            yield row
