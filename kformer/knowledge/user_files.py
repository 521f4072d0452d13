"""Knowledge of one's own: JSON lines, tab-separated values, or plain text."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from kformer.errors import KformerError
from kformer.io.records import JSONL, Record, jsonl_records
from kformer.io.text import decoded, files_below, name_below, raw_lines, read_lines
from kformer.knowledge.passages import Passages
from kformer.knowledge.reader import Fact, KnowledgeReader
from kformer.knowledge.textbooks import book_facts
from kformer.knowledge.triples import Triples
from kformer.section import Name, Text
from kformer.sources.user_data import UserData

_TRIPLE = ("head", "relation", "tail")


class FactRow(BaseModel):
    """A fact of your own: one line of a JSON-lines file. Other keys are not read."""

    model_config = ConfigDict(
        frozen=True,
        use_attribute_docstrings=True,
        title="Fact",
        json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": list(_TRIPLE)}]},
    )

    text: Text | None = None
    """The fact as a sentence, or …"""
    head: Text | None = None
    """… what it is about, with `relation` and `tail`: written as a sentence by a template."""
    relation: Text | None = None
    """Such as `xNeed` or `AtLocation`; may stand beside a `text` too."""
    tail: Text | None = None
    origin: str | None = None
    """Where it is from; without one, the head, or file and line. Facts of the same origin are about
    the same event, for `retrieval.events`."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        is_triple = self.head is not None or self.tail is not None
        if (self.text is None) != is_triple:
            raise ValueError("give either text, or head, relation and tail")
        if is_triple and None in (missing := {key: getattr(self, key) for key in _TRIPLE}).values():
            lacking = ", ".join(key for key, value in missing.items() if value is None)
            raise ValueError(f"a triple has head, relation and tail; {lacking} is missing")
        return self


class _Own(UserData, KnowledgeReader):
    """Knowledge of one's own."""

    name: Name | None = None
    """What to call it in tables and metrics; needed where two are of the same kind."""

    @property
    def label(self) -> str:
        return self.name or self.source

    @property
    def archive(self) -> str | None:
        return self.label if self.path is None else None


class JsonlFacts(_Own, Triples):
    """JSON lines; `workflow/schemas/fact.schema.json` says what a line may hold."""

    source: Literal["jsonl"] = "jsonl"

    def read(self, place: Path, counts: Counter[str]) -> Iterator[Fact]:
        for path in files_below(place, JSONL):
            for record in jsonl_records(path):
                yield as_fact(record.parse(FactRow), record, self)


class TsvFacts(_Own, Triples):
    """Tab-separated values: head, relation, tail; or one column with texts; or with a header."""

    source: Literal["tsv"] = "tsv"

    def read(self, place: Path, counts: Counter[str]) -> Iterator[Fact]:
        for path in files_below(place, (".tsv",)):
            for record in tsv_records(path):
                yield as_fact(record.parse(FactRow), record, self)


class TxtFacts(_Own, Passages):
    """Plain text: running text to be split into passages, or a fact a line."""

    source: Literal["txt"] = "txt"
    unit: Literal["passage", "line"] = "passage"
    """`passage`: paragraphs, which blank lines separate, are joined and split into passages;
    `line`: every line is a fact."""

    def read(self, place: Path, counts: Counter[str]) -> Iterator[Fact]:
        for path in files_below(place, (".txt",)):
            title = name_below(place, path)
            if self.unit == "passage":
                yield from book_facts(self, path, title)
            else:
                for number, line in read_lines(path):
                    yield Fact(line, None, f"{title} {number}")


def as_fact(row: FactRow, record: Record, triples: Triples) -> Fact:
    """A record as a fact; if it does not say its origin, that is its head, or else its place."""
    text, relation = row.text, row.relation and row.relation.strip()
    if text is None:
        assert row.head and relation and row.tail
        text = triples.sentence(row.head.strip(), relation, row.tail.strip())
    origin = row.origin or (row.head or "").strip() or f"{record.file.name}:{record.line}"
    return Fact(text, relation, origin)


def tsv_records(path: Path) -> Iterator[Record]:
    """Streams the lines of a tab-separated file, without quotes; blank lines are none.

    A first line that names known columns is a header. Without one, three columns are head,
    relation and tail, and a single one is the text. Empty cells are left out.
    """
    header: list[str] | None = None
    for number, line in raw_lines(path):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            cells = [cell.strip() for cell in decoded(line, where).split("\t")]
        except KformerError as error:
            yield Record(path, number, error)
            continue
        if header is None:
            if _is_header(cells):
                header = [cell.lower() for cell in cells]
                continue
            header = ["text"] if len(cells) == 1 else list(_TRIPLE)
        if len(cells) != len(header):
            expected = f"expected {len(header)} ({', '.join(header)}) with tabs between them"
            problem = KformerError(f"{where}: {len(cells)} columns, {expected}")
            yield Record(path, number, problem)
        else:
            content = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
            yield Record(path, number, content)


def _is_header(cells: list[str]) -> bool:
    names = {cell.lower() for cell in cells}
    return len(names) == len(cells) and ("text" in names or names >= set(_TRIPLE))
