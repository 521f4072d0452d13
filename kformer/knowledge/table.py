"""The stage that turns knowledge sources into the facts table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from kformer.errors import KformerError
from kformer.knowledge import KnowledgeSource
from kformer.section import Text, in_one_line
from kformer.tables import Row, write_table


class _Fact(BaseModel):
    """A row of the facts table without its id, as every reader must give it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    text: Text
    relation: str | None = None
    source: str
    origin: str


def build_facts(
    readers: Sequence[KnowledgeSource], folders: Mapping[str, Path], out: Path
) -> dict[str, float]:
    """Writes the facts table of one or several sources, one after the other.

    A fact whose text has been there before is dropped, within a source and across them.

    Args:
        readers: the sources in the order in which their facts are numbered.
        folders: where each source's files lie, by its name.
        out: the table to write.

    Raises:
        KformerError: a source that cannot be read, or no facts at all.
    """
    counts: dict[str, float] = {f"{reader.source}_facts": 0 for reader in readers}
    counts |= {"facts": 0, "duplicates_dropped": 0}

    def numbered() -> Iterator[Row]:
        seen: set[str] = set()
        for reader in readers:
            for fact in _checked(reader, folders[reader.source]):
                text = fact.text.strip()
                if text in seen:
                    counts["duplicates_dropped"] += 1
                    continue
                seen.add(text)
                yield {**fact.model_dump(), "text": text, "fact_id": len(seen) - 1}
                counts[f"{reader.source}_facts"] += 1
        if not seen:
            places = ", ".join(str(folder) for folder in folders.values())
            raise KformerError(
                f"{places}: no facts at all; check that the files of "
                f"{', '.join(folders)} have content"
            )

    counts["facts"] = write_table(out, "facts", numbered())
    return counts


def _checked(reader: KnowledgeSource, folder: Path) -> Iterator[_Fact]:
    for position, row in enumerate(reader.read(folder), start=1):
        try:
            yield _Fact.model_validate(row)
        except ValidationError as error:
            raise KformerError(f"{folder}: fact {position}: {in_one_line(error)}") from None
