"""The facts behind the questions of QASC (Khot et al., AAAI 2020), as a small closed book."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.io.ai2_records import text_of
from kformer.io.text_files import find_file, read_jsonl
from kformer.knowledge.reader import Fact, KnowledgeReader

_FILES = ("train.jsonl", "dev.jsonl")  # of the test questions no facts are published


class QascFacts(KnowledgeReader):
    """All gold facts of the official train and dev questions.

    QASC's own corpus has 17 million sentences; in this one every question finds its facts among
    few others, so it is far easier to retrieve from.
    """

    source: Literal["qasc_facts"] = "qasc_facts"

    @property
    def archive(self) -> str:
        return "qasc"

    def read(self, folder: Path, counts: Counter[str]) -> Iterator[Fact]:
        """Streams the facts, question by question; their origin is the question's id.

        Raises:
            KformerError: a file is missing, or a line is malformed.
        """
        for name in _FILES:
            path = find_file(folder, name, "the official QASC archive")
            for number, record in read_jsonl(path):
                where = f"{path}:{number}"
                for key in ("fact1", "fact2"):
                    yield Fact(text_of(record, key, where), None, text_of(record, "id", where))
