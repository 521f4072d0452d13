"""The control: every question gets the facts of another question."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from kformer.errors import KformerError
from kformer.io.table_schemas import SCHEMAS
from kformer.io.tables import (
    check_retrieved_for,
    provenance,
    read_rows,
    read_table,
    rebatched,
    write_batches,
)

_SWAPS = 100  # tries to find a question that shares no fact
Suits = Callable[[str, str], bool]  # whether a question may get another's facts


def shuffle(questions: Path, retrieval: Path, out: Path, seed: int = 0) -> dict[str, float]:
    """Writes a control in which each question has the facts of another question of its split.

    The questions of a split form a random circle, and each gets its neighbour's facts. If these
    include a fact of the question's own (both are about one person, say), neighbours are swapped;
    ``with_own_facts`` counts the questions for which no swap was found. The retrieval table is held
    in memory as Arrow.

    Raises:
        KformerError: a split with a single question, or tables that do not belong together.
    """
    check_retrieved_for(questions, retrieval)
    table = read_table(retrieval, "retrieval").combine_chunks()
    rows = _rows_of_questions(table)

    def facts(question_id: str) -> set[int]:
        own = table["fact_ids"].slice(rows[question_id].start, len(rows[question_id]))
        return set(own.combine_chunks().flatten().to_pylist())

    def suits(taker: str, donor: str) -> bool:
        return taker != donor and facts(taker).isdisjoint(facts(donor))

    donors: dict[str, str] = {}
    for split, members in _by_split(questions, rows).items():
        if len(members) < 2:
            raise KformerError(
                f"{questions}: the split {split} has only one question, so there are no other "
                "question's facts for it; leave out retrieval.control"
            )
        donors |= _donors(members, suits, random.Random(seed))
    from_row = np.empty(table.num_rows, dtype=np.int64)
    for taker, donor in donors.items():
        given = rows[donor]
        from_row[rows[taker]] = [given[i % len(given)] for i in range(len(rows[taker]))]
    columns = [
        *(table[name] for name in ("question_id", "choice")),
        *(table[name].take(from_row) for name in ("fact_ids", "scores")),
    ]
    shuffled = pa.table(columns, schema=SCHEMAS["retrieval"])
    written = write_batches(out, "retrieval", rebatched([shuffled]), _origin(retrieval))
    overlapping = sum(not suits(taker, donor) for taker, donor in donors.items())
    return {"queries": written, "with_own_facts": overlapping}


def _rows_of_questions(table: pa.Table) -> dict[str, range]:
    rows: dict[str, range] = {}
    first = 0
    for question_id, group in groupby(table["question_id"].to_pylist()):
        rows[question_id] = range(first, first + sum(1 for _ in group))
        first = rows[question_id].stop
    return rows


def _origin(retrieval: Path) -> dict[str, object] | None:
    origin = provenance(retrieval, "retrieval")
    if not origin:
        return None
    return {**origin, "settings": {**origin["settings"], "control": "shuffle"}}


def _by_split(questions: Path, rows: Mapping[str, range]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = defaultdict(list)
    for question in read_rows(questions, "questions"):
        splits[question["split"]].append(question["question_id"])
    known = {question_id for members in splits.values() for question_id in members}
    if difference := known ^ rows.keys():
        raise KformerError(
            f"{questions}: question {min(difference)!r} is in only one of the questions and the "
            "retrieval table; the two belong to different data"
        )
    return splits


def _donors(members: list[str], suits: Suits, rng: random.Random) -> dict[str, str]:
    """For each question another one whose facts it gets, if possible none of its own facts."""
    takers = list(members)
    rng.shuffle(takers)
    donors = [*takers[1:], takers[0]]
    for i, taker in enumerate(takers):
        for _ in range(_SWAPS):
            if suits(taker, donors[i]):
                break
            j = rng.randrange(len(takers))
            if suits(taker, donors[j]) and suits(takers[j], donors[i]):
                donors[i], donors[j] = donors[j], donors[i]
    return dict(zip(takers, donors, strict=True))
