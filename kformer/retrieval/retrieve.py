"""The stages of retrieval: facts are retrieved for shards of questions, then gathered."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of
from kformer.io.table_schemas import SCHEMAS
from kformer.io.tables import (
    ROWS_PER_BATCH,
    Row,
    check_retrieved_for,
    count_rows,
    provenance,
    read_columns,
    read_rows,
    rebatched,
    write_batches,
    write_table,
)
from kformer.io.unspaced_scripts import UnspacedTexts
from kformer.progress import track
from kformer.retrieval.combined.events import FactsOfEvents
from kformer.retrieval.index import WHOLE, Shard
from kformer.retrieval.matching_relations import check_match
from kformer.retrieval.methods import METHODS
from kformer.retrieval.query import Hits, query_of
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Retrieval
from kformer.retrieval.without_facts import WithoutFacts
from kformer.retrieval.words.need_of_ngrams import check_unspaced


def list_events(facts: Path, out: Path) -> dict[str, float]:
    """Writes the events that facts are about, their distinct origins, as a facts table.

    Raises:
        KformerError: no two facts are about the same event, so there are no events.
    """
    events = FactsOfEvents.read(facts).texts
    total = count_rows(facts, "facts")
    if total > 1 and len(events) == total:
        raise KformerError(
            f"{facts}: no two facts have the same origin, so there are no events; leave out "
            "retrieval.events, or give facts about the same event the same origin"
        )
    rows = (
        {"fact_id": number, "text": text, "relation": None, "source": "events", "origin": text}
        for number, text in enumerate(events)
    )
    written = write_table(out, "facts", rows, {"events_of": sha256_of(facts)})
    return {"facts": total, "events": written}


def retrieve(
    settings: Retrieval,
    questions: Path,
    facts: Path,
    indexes: Sequence[Path],
    out: Path,
    shard: Shard = WHOLE,
    threads: int = 1,
) -> dict[str, float]:
    """Writes the retrieval table: for every query the best ``settings.top_k`` facts.

    Questions are read and searched for in batches, so memory does not grow with their number.

    Args:
        settings: of the retrieval.
        questions: the questions table.
        facts: the facts table.
        indexes: folders of the indexes that the method searches (`open_searcher`).
        out: the table to write.
        shard: for which part of the questions to retrieve; `gather` joins the parts.
        threads: how many threads may search at once.

    Raises:
        KformerError: as `open_searcher` and `check_match` do; or the settings ask for a control;
            or questions are in a script without spaces, and the search reads words; or more than
            ``settings.max_without_facts`` of the queries of all questions find nothing.
    """
    if settings.control:
        raise KformerError(
            "retrieval.control: leave it out here; `kformer control` makes the control from the "
            "table that this writes"
        )
    searcher = open_searcher(settings, facts, indexes, threads)
    if settings.match:
        types = read_columns(questions, "questions", ["type"])
        distinct = {kind for batch in types for kind in batch["type"].unique().to_pylist()}
        check_match(settings.match, distinct, searcher.relations)
    start, end = shard.range(count_rows(questions, "questions"))
    if "words" in METHODS[settings.method].settings:
        _check_scripts(questions, settings)
    searched = 0
    without_facts = WithoutFacts()

    def tables() -> Iterator[pa.Table]:
        nonlocal searched
        rows = track(read_rows(questions, "questions", start, end), "retrieving", end - start)
        while batch := list(islice(rows, ROWS_PER_BATCH)):
            queries = [query_of(question, settings) for question in batch]
            distinct = list(dict.fromkeys(queries))
            hits = dict(zip(distinct, searcher.search(distinct, settings.top_k), strict=True))
            searched += sum(len(query.suffixes) for query in distinct)
            found = _table(settings, batch, [hits[query] for query in queries])
            without_facts.add(found)
            yield found
        if shard.of == 1:  # or `gather` judges all of them together
            without_facts.check(settings.max_without_facts, questions, bool(settings.match))

    origin = {
        "settings": settings.relevant_settings(),
        "questions_sha256": sha256_of(questions),
        "facts_sha256": sha256_of(facts),
    }
    written = write_batches(out, "retrieval", rebatched(tables()), origin)
    return {"queries": written, "queries_searched": searched}


def _check_scripts(questions: Path, settings: Retrieval) -> None:
    """Checks all questions, so that every shard comes to the same result."""
    counted = UnspacedTexts()
    for batch in read_columns(questions, "questions", ["context", "question"]):
        texts = (f"{row['context']} {row['question']}" for row in batch.to_pylist())
        deque(counted.counting(texts), maxlen=0)
    check_unspaced(counted, "questions", settings.words)


def settings_of_table(retrieval: Path) -> Retrieval:
    """The settings that a retrieval table was retrieved with.

    Raises:
        KformerError: the table does not say.
    """
    try:
        return Retrieval.model_validate(provenance(retrieval, "retrieval")["settings"])
    except (KeyError, ValidationError):
        raise KformerError(
            f"{retrieval}: does not say with which settings it was retrieved; retrieve it anew"
        ) from None


def _table(
    settings: Retrieval, questions: Sequence[Row], hits_of_questions: Sequence[Sequence[Hits]]
) -> pa.Table:
    hits = list(chain.from_iterable(hits_of_questions))
    per_choice = settings.query == "choice"
    choices = [i if per_choice else None for each in hits_of_questions for i in range(len(each))]
    bounds = np.cumsum([0, *(len(each.ids) for each in hits)], dtype=np.int32)
    ids, scores = (np.concatenate(column) for column in zip(*hits, strict=True))
    columns = [
        [
            question["question_id"]
            for question, each in zip(questions, hits_of_questions, strict=True)
            for _ in each
        ],
        choices,
        pa.ListArray.from_arrays(bounds, ids),
        pa.ListArray.from_arrays(bounds, scores),
    ]
    return pa.table(columns, schema=SCHEMAS["retrieval"])


def gather(questions: Path, parts: Sequence[Path], out: Path) -> dict[str, float]:
    """Joins the tables that `retrieve` wrote for the shards of the questions, in their order.

    The result has the same bytes as if there had been one shard.

    Raises:
        KformerError: the parts are out of order, are not those of all questions, or were retrieved
            with different settings, for different questions or from different facts; or more of
            the queries found nothing than the settings allow.
    """
    without_facts = WithoutFacts()
    for part in parts[:1]:  # the others are like it
        check_retrieved_for(questions, part)
    origins = [provenance(part, "retrieval") for part in parts]
    for part, origin in zip(parts, origins, strict=True):
        if origin != origins[0]:
            raise KformerError(
                f"{part}: retrieved with other settings, for other questions or from other facts "
                f"than {parts[0]}; give the parts of one retrieval"
            )

    def tables() -> Iterator[pa.Table]:
        remaining = _ids(read_columns(questions, "questions", ["question_id"]))
        for part in parts:
            last = None
            for batch in read_columns(part, "retrieval", SCHEMAS["retrieval"].names):
                for question_id, _ in groupby(batch["question_id"].to_pylist()):
                    if question_id != last and question_id != (expected := next(remaining, None)):
                        raise _misplaced(part, question_id, expected)
                    last = question_id
                without_facts.add(table := pa.Table.from_batches([batch]))
                yield table
        if (missing := next(remaining, None)) is not None:
            raise KformerError(
                f"{questions}: question {missing!r} and those after it are in no part; "
                "give the parts of all shards"
            )
        if parts:
            settings = settings_of_table(parts[0])
            without_facts.check(settings.max_without_facts, questions, bool(settings.match))

    return {
        "queries": write_batches(out, "retrieval", rebatched(tables()), next(iter(origins), None))
    }


def _ids(batches: Iterable[pa.RecordBatch]) -> Iterator[str]:
    for batch in batches:
        yield from batch["question_id"].to_pylist()


def _misplaced(part: Path, found: str, expected: str | None) -> KformerError:
    wanted = "no more questions are" if expected is None else f"question {expected!r} is"
    return KformerError(
        f"{part}: has question {found!r} where {wanted} expected; give the parts of the same "
        "questions, in their order"
    )
