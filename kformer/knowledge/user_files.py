"""The user's own knowledge: JSON lines, tables, Parquet, or plain text."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, model_validator

from kformer.config_section import Name, Text
from kformer.errors import KformerError, listed
from kformer.io.columns import Columns
from kformer.io.delimited_rows import TableRow, csv_rows, tsv_rows
from kformer.io.normal_form import normal_form
from kformer.io.record_files import JsonlFiles, ParquetFiles, RecordFiles
from kformer.io.records import Record, records_with_header
from kformer.io.text_files import name_below, read_lines
from kformer.knowledge.column_names import TRIPLE, ColumnOrder
from kformer.knowledge.fact_fields import with_usual_names
from kformer.knowledge.fact_tables import (
    FactTable,
    fact_records,
    table_in_order,
    table_of_any_kind,
    table_with_header,
)
from kformer.knowledge.passages import Passages
from kformer.knowledge.reader import Fact, KnowledgeReader
from kformer.knowledge.textbooks import book_facts
from kformer.knowledge.triple_columns import SAMPLE, WEIGHT, is_number, refuse_json, refuse_table
from kformer.knowledge.triples import Triples
from kformer.sources.catalogue import CATALOGUE
from kformer.sources.user_data import UserData


class FactRow(BaseModel):
    """One of your own facts: a line of a JSON-lines file. Other keys are not read."""

    model_config = ConfigDict(
        frozen=True,
        use_attribute_docstrings=True,
        title="Fact",
        json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": list(TRIPLE)}]},
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
        if is_triple and None in (missing := {key: getattr(self, key) for key in TRIPLE}).values():
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


NamesOrOrder = Annotated[
    Annotated[FactColumns, Tag("[by name]")] | Annotated[ColumnOrder, Tag("[in order]")],
    Discriminator(lambda value: "[in order]" if isinstance(value, list) else "[by name]"),
]


Unit = Literal["passage", "line"]


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

    def read(self, path: Path, counts: Counter[str]) -> Iterator[Fact]:
        for file in self.files_at(path, self.suffixes):
            for record in self.records(file):
                yield self.fact(record)

    def fact(self, record: Record) -> Fact:
        """A record as a fact; without an origin it gets its head, or else file and line.

        Raises:
            KformerError: it is no fact.
        """
        try:
            row = record.parse(FactRow)
        except KformerError as error:
            content = record.content
            if isinstance(content, KformerError) or {"text", *TRIPLE} & content.keys():
                raise
            raise KformerError(f"{error}; there are: {listed(content)}") from None
        head, relation = (row.head or "").strip(), row.relation and row.relation.strip()
        if row.text is not None:
            return Fact(row.text, relation, row.origin or f"{record.file.name}:{record.line}")
        assert relation and row.tail
        _refuse_untrue(record)
        relation = self.known_name(relation)
        text = self.text(head, relation, row.tail.strip())
        return self.of_triple(text, relation, row.origin or head)


def _refuse_untrue(record: Record) -> None:
    assert isinstance(record.content, dict)
    weights = (value for name, value in record.content.items() if name.lower() == WEIGHT)
    for weight in weights:
        if is_number(weight) and float(weight) <= 0:
            raise KformerError(
                f"{record.where}: the weight {weight}, as of a triple that is not true; remove the "
                "row, or if the column has no weights, give it another name in a header"
            )


class NamedFacts(UserFacts):
    """Facts in files that name the fields of each record."""

    columns: FactColumns | None = None
    """Which field is what, for files with other names than those in docs/bring-your-own-data.md."""

    def records(self, path: Path) -> Iterator[Record]:
        records = super().records(path)
        return records if self.columns else map(with_usual_names, records)


class JsonlFacts(NamedFacts, JsonlFiles):
    """JSON lines; `workflow/schemas/fact.schema.json` says what a line may hold."""

    source: Literal["jsonl"] = "jsonl"


class ParquetFacts(NamedFacts, ParquetFiles):
    """Parquet, as data sets on the Hugging Face hub have it; a row is like a JSON line."""

    source: Literal["parquet"] = "parquet"


class TableFacts(UserFacts):
    """Facts in tables of text."""

    have_header = True

    columns: NamesOrOrder | None = None
    """Which column is what, for files with other names than those in
    docs/bring-your-own-data.md; or a list of what the columns are in files without a header, such
    as `[relation, head, tail]`, with null for one that is not read."""

    @abstractmethod
    def rows(self, path: Path) -> Iterator[TableRow]:
        """Streams the rows of a file."""

    @abstractmethod
    def table_of(self, path: Path, rows: Sequence[TableRow]) -> FactTable:
        """What the columns of a file are where the config does not say so."""

    def raw_records(self, path: Path) -> Iterator[Record]:
        rows = self.rows(path)
        match self.columns:
            case FactColumns():
                return records_with_header(path, rows)
            case None:
                return fact_records(path, rows, partial(self.table_of, path))
            case order:
                table_of = partial(
                    table_in_order, path, order=order, relations=self.known_relations
                )
                return fact_records(path, rows, table_of)


class CsvFacts(TableFacts):
    """A table with a header, with commas between the columns: text, or head, relation, tail."""

    suffixes = (".csv",)

    source: Literal["csv"] = "csv"

    def rows(self, path: Path) -> Iterator[TableRow]:
        return csv_rows(path)

    def table_of(self, path: Path, rows: Sequence[TableRow]) -> FactTable:
        return table_with_header(path, rows, self.known_relations)


class TsvFacts(TableFacts):
    """Tab-separated values: head, relation, tail; or one column with texts; or with a header."""

    suffixes = (".tsv",)

    source: Literal["tsv"] = "tsv"

    def rows(self, path: Path) -> Iterator[TableRow]:
        return tsv_rows(path)

    def table_of(self, path: Path, rows: Sequence[TableRow]) -> FactTable:
        return table_of_any_kind(path, rows, self.known_relations)


class TxtFacts(UserKnowledge, Passages):
    """Plain text: running text to be split into passages, or a fact a line."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt",)

    source: Literal["txt"] = "txt"
    unit: Unit = "passage"
    """`passage`: paragraphs, which blank lines separate, are joined and split into passages;
    `line`: every line is a fact."""

    def read(self, path: Path, counts: Counter[str]) -> Iterator[Fact]:
        for file in self.files_at(path, self.suffixes):
            title = name_below(path, file)
            _refuse_other_formats(file)
            if self.unit == "passage":
                yield from book_facts(self, file, title)
            else:
                for number, line in read_lines(file):
                    if text := normal_form(line).strip():
                        yield Fact(text, None, f"{title} {number}")


def _refuse_other_formats(file: Path) -> None:
    """Raises KformerError for JSON, or a table."""
    numbers_and_lines = list(islice(read_lines(file), SAMPLE))
    if numbers_and_lines:
        numbers, lines = zip(*numbers_and_lines, strict=True)
        where = f"{file}:{numbers[0]}"
        refuse_json(where, "".join(lines[:3]))
        refuse_table(where, lines)
