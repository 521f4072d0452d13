"""The stage that turns knowledge sources into the facts table."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from difflib import get_close_matches
from itertools import compress, islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from kformer.errors import KformerError, listed
from kformer.io.normal_form import normal_form
from kformer.io.table_schemas import SCHEMAS
from kformer.io.tables import ROWS_PER_BATCH, write_batches
from kformer.knowledge import KnowledgeSource
from kformer.knowledge.duplicates import SeenTexts
from kformer.knowledge.reader import Fact
from kformer.knowledge.triples import Triples
from kformer.progress import Ticker

_log = logging.getLogger(__name__)


def build_facts(
    readers: Sequence[KnowledgeSource], paths: Sequence[Path], out: Path
) -> dict[str, float]:
    """Writes the facts table of one or several sources, one after the other, in bounded memory.

    Texts are in normal form (`kformer.io.normal_form`). A fact with the text of an earlier one is
    dropped, within a source and across sources; written as tails, only if it also is of the same
    event and relation. How many are dropped is logged, and so are the config's templates for
    relations that no fact has.

    Args:
        readers: the sources in the order in which their facts are numbered.
        paths: the file or folder of each source.
        out: the table to write.

    Returns:
        of each source how many facts were read, dropped as duplicates, and kept, and what else
        its reader counted, such as what it skipped; and how many were kept and dropped in all.

    Raises:
        KformerError: a source that cannot be read, or no facts at all.
    """
    kept: Counter[str] = Counter({reader.label: 0 for reader in readers})
    duplicates: Counter[str] = Counter({reader.label: 0 for reader in readers})
    counted: dict[str, Counter[str]] = {reader.label: Counter() for reader in readers}
    first_dropped: dict[str, str] = {}

    def tables() -> Iterator[pa.Table]:
        seen = SeenTexts()
        for reader, path in zip(readers, paths, strict=True):
            relations: set[str | None] = set()
            for facts, texts in _batches(reader, path, counted[reader.label]):
                relations.update(fact.relation for fact in facts)
                read = zip(facts, texts, strict=True)
                new = seen.add([f"{fact.apart}{text}" for fact, text in read])
                if not new.all():
                    first_dropped.setdefault(reader.label, texts[int(new.argmin())])
                    facts = list(compress(facts, new.tolist()))
                    texts = list(compress(texts, new.tolist()))
                yield _table(facts, texts, kept.total(), reader.label)
                kept[reader.label] += len(facts)
                duplicates[reader.label] += len(new) - len(facts)
            counted[reader.label].update(_unused_templates(reader, relations))
        if not kept.total():
            where = ", ".join(map(str, paths))
            raise KformerError(
                f"{where}: no facts at all; check that the files of {', '.join(kept)} have content"
            )

    facts = write_batches(out, "facts", tables())
    for name, text in first_dropped.items():
        _log.warning(
            "facts of %s: %s of %s read like an earlier one, as those of 'x' and 'x.' do, and are "
            "dropped; the first of them is %r",
            *(name, f"{duplicates[name]:,}", f"{kept[name] + duplicates[name]:,}", text[:200]),
        )
    counts: dict[str, float] = {}
    for name in kept:
        counts[f"{name}_read"] = kept[name] + duplicates[name]
        counts[f"{name}_duplicates"] = duplicates[name]
        counts[f"{name}_facts"] = kept[name]
        counts |= {f"{name}_{what}": count for what, count in sorted(counted[name].items())}
    return counts | {"facts": facts, "duplicates_dropped": duplicates.total()}


def _unused_templates(reader: KnowledgeSource, relations: Set[str | None]) -> dict[str, int]:
    """Counts the templates of the config for relations that no fact has, and logs them."""
    if not isinstance(reader, Triples) or not reader.templates:
        return {}
    known = sorted(relation for relation in relations if relation)
    unused = reader.templates.keys() - relations
    for relation in sorted(unused):
        close = get_close_matches(relation, known, 1)
        meant = f"; is it {close[0]}?" if close else ""
        message = "facts of %s: templates: no fact has the relation %r; there are: %s%s"
        _log.warning(message, reader.label, relation, listed(known), meant)
    return {"unused_templates": len(unused)}


def _batches(
    reader: KnowledgeSource, path: Path, counts: Counter[str]
) -> Iterator[tuple[list[Fact], list[str]]]:
    """Facts as the reader yields them, and their texts in normal form, stripped."""
    facts = reader.read(path, counts)
    read = 0
    ticker = Ticker(f"facts of {reader.label}")
    while batch := list(islice(facts, ROWS_PER_BATCH)):
        texts = [normal_form(fact.text).strip() for fact in batch]
        if "" in texts:
            raise KformerError(
                f"{path}: fact {read + texts.index('') + 1}: text: must not be empty; "
                "write one or remove it"
            )
        yield batch, texts
        read += len(batch)
        ticker.report(read)


def _table(facts: Sequence[Fact], texts: list[str], first_id: int, source: str) -> pa.Table:
    count = len(facts)
    columns = [
        np.arange(first_id, first_id + count),
        texts,
        [fact.relation and normal_form(fact.relation) for fact in facts],
        pa.repeat(pa.scalar(source), count),
        [normal_form(fact.origin) for fact in facts],
    ]
    return pa.table(columns, schema=SCHEMAS["facts"])
