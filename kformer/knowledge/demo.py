"""The facts of the generated demo world."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, StrictStr

from kformer.io.records import jsonl_records
from kformer.knowledge.reader import Fact, KnowledgeReader


class _Row(BaseModel):
    text: StrictStr
    relation: StrictStr | None
    origin: StrictStr


class DemoFacts(KnowledgeReader):
    """One sentence per person and attribute; see `kformer.demo_world`."""

    is_generated = True

    source: Literal["demo"] = "demo"

    def read(self, folder: Path, counts: Counter[str]) -> Iterator[Fact]:
        for record in jsonl_records(folder / "facts.jsonl"):
            row = record.parse(_Row)
            yield Fact(row.text, row.relation, row.origin)
