"""The facts of the generated demo world."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.errors import KformerError
from kformer.knowledge.reader import Fact, Reader
from kformer.text_files import read_jsonl


class Demo(Reader):
    """One sentence per person and attribute; see `kformer.demo_world`."""

    source: Literal["demo"] = "demo"

    def read(self, place: Path, counts: Counter[str]) -> Iterator[Fact]:
        path = place / "facts.jsonl"
        for number, row in read_jsonl(path):
            try:
                yield Fact(row["text"], row["relation"], row["origin"])
            except KeyError as error:
                raise KformerError(
                    f"{path}:{number}: no {error.args[0]}; generate the demo world again"
                ) from None
