"""The user's own knowledge: JSON lines, tables, Parquet, or plain text."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from kformer.config_section import Name, Text
from kformer.errors import KformerError
from kformer.io.columns import Columns
from kformer.io.normal_form import normal_form
from kformer.io.record_files import JsonlFiles, ParquetFiles, RecordFiles
from kformer.io.records import Record, csv_records, refuse_repeated
from kformer.io.text_files import decoded, name_below, raw_lines, read_lines
from kformer.knowledge.passages import Passages
from kformer.knowledge.reader import Fact, KnowledgeReader
from kformer.knowledge.textbooks import book_facts
from kformer.knowledge.triples import Triples
from kformer.sources.catalogue import CATALOGUE
from kformer.sources.user_data import UserData

_TRIPLE = ("head", "relation", "tail")


class FactRow(BaseModel):
    """One of your own facts: a line of a JSON-lines file. Other keys are not read."""

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
    """Such as `xNeed` or `AtLocation`; a `text` may have one too."""
    tail: Text | None = None
    origin: str | None = None
    """Where it is from; without one, the head, or file and line. Facts of the same origin are about
    the same event, for `retrieval.events`."""

    @model_validator(mode="after")
    def _is_text_or_triple(self) -> Self:
        is_triple = self.head is not None or self.tail is not None
        if (self.text is None) != is_triple:
            raise ValueError("give either text, or head, relation and tail")
        if is_triple and None in (missing := {key: getattr(self, key) for key in _TRIPLE}).values():
            lacking = ", ".join(key for key, value in missing.items() if value is None)
            raise ValueError(f"a triple has head, relation and tail; {lacking} is missing")
        return self


class FactColumns(Columns):
    """Which field of a record is what. A dot leads into an object: `fact.text`. Null = not read."""

    text: Text | None = "text"
    """The fact as a sentence. Instead, `head`, `relation` and `tail` may hold a triple."""
    head: Text | None = "head"
    """What the triple is about."""
    relation: Text | None = "relation"
    """The relation of the triple, or of a `text`."""
    tail: Text | None = "tail"
    """The other end of the triple."""
    origin: Text | None = "origin"
    """Where the fact is from."""

    def is_required(self, key: str, position: int) -> bool:
        return key in ("text", "head", "tail") and getattr(self, key) != key

    def content_of(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return dict(fields)


class UserKnowledge(UserData, KnowledgeReader):
    """The user's own knowledge."""

    name: Name | None = None
    """What to call it in tables and metrics; needed where two are of the same kind."""

    @model_validator(mode="after")
    def _has_a_name_of_its_own(self) -> Self:
        name = self.name or ""
        if name == "demo" or name.endswith("_questions"):
            raise ValueError(f"name: {name!r} is the name of other data; choose another name")
        if self.path is None and name in CATALOGUE:
            raise ValueError(
                f"name: {name!r} is a source that is built in; choose another name, or give its "
                f"address in sources: {name}"
            )
        return self

    @property
    def label(self) -> str:
        return self.name or self.source

    @property
    def archive(self) -> str | None:
        return self.label if self.path is None else None


class UserFacts(UserKnowledge, Triples, RecordFiles):
    """The user's own facts, texts or triples, in files of one format."""

    columns: FactColumns | None = None
    """Which field is what, for files with other names than those in docs/bring-your-own-data.md."""

    def read(self, path: Path, counts: Counter[str]) -> Iterator[Fact]:
        for file in self.files_at(path, self.suffixes):
            for record in self.records(file):
                yield as_fact(record.parse(FactRow), record, self)


class JsonlFacts(UserFacts, JsonlFiles):
    """JSON lines; `workflow/schemas/fact.schema.json` says what a line may hold."""

    source: Literal["jsonl"] = "jsonl"


class ParquetFacts(UserFacts, ParquetFiles):
    """Parquet, as data sets on the Hugging Face hub have it; a row is like a JSON line."""

    source: Literal["parquet"] = "parquet"


class CsvFacts(UserFacts):
    """A table with a header, with commas between the columns: text, or head, relation, tail."""

    suffixes = (".csv",)
    have_header = True

    source: Literal["csv"] = "csv"

    def raw_records(self, path: Path) -> Iterator[Record]:
        for record in csv_records(path):
            if self.columns or isinstance(record.content, KformerError):
                yield record
            else:
                content = {name.lower(): cell for name, cell in record.content.items()}
                yield record._replace(content=content)


class TsvFacts(UserFacts):
    """Tab-separated values: head, relation, tail; or one column with texts; or with a header."""

    suffixes = (".tsv",)
    have_header = True

    source: Literal["tsv"] = "tsv"

    def raw_records(self, path: Path) -> Iterator[Record]:
        return _tsv_records(path, has_header=self.columns is not None)


class TxtFacts(UserKnowledge, Passages):
    """Plain text: running text to be split into passages, or a fact a line."""

    source: Literal["txt"] = "txt"
    unit: Literal["passage", "line"] = "passage"
    """`passage`: paragraphs, which blank lines separate, are joined and split into passages;
    `line`: every line is a fact."""

    def read(self, path: Path, counts: Counter[str]) -> Iterator[Fact]:
        for file in self.files_at(path, (".txt",)):
            title = name_below(path, file)
            if self.unit == "passage":
                yield from book_facts(self, file, title)
            else:
                for number, line in read_lines(file):
                    if text := normal_form(line).strip():
                        yield Fact(text, None, f"{title} {number}")


def as_fact(row: FactRow, record: Record, triples: Triples) -> Fact:
    """A record as a fact; without an origin it gets its head, or else file and line."""
    text, relation = row.text, row.relation and row.relation.strip()
    if text is None:
        assert row.head and relation and row.tail
        text = triples.sentence(row.head.strip(), relation, row.tail.strip())
    origin = row.origin or (row.head or "").strip() or f"{record.file.name}:{record.line}"
    return Fact(text, relation, origin)


def _tsv_records(path: Path, has_header: bool) -> Iterator[Record]:
    """Streams the lines of a tab-separated file without quotes; blank lines are left out.

    Empty cells are left out.

    Args:
        path: the file.
        has_header: whether the first line is surely a header. Otherwise it is one if it names
            known columns; without a header, three columns are head, relation and tail, and a
            single one is the text.
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
            if has_header:
                refuse_repeated([cell.lower() for cell in cells], where)
                header = cells
                continue
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
            yield Record(path, number, content, tuple(header))


def _is_header(cells: list[str]) -> bool:
    names = {cell.lower() for cell in cells}
    return len(names) == len(cells) and ("text" in names or names >= set(_TRIPLE))
