"""Controls: every question gets facts that were not found for it.

What a method gains from these, too, it does not owe to knowledge. So no question ever gets a fact
that is gold for it, whatever was found.
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kformer.errors import KformerError
from kformer.io.tables import (
    Row,
    check_retrieved_for,
    check_retrieved_from,
    provenance,
    read_column,
    read_columns,
    read_table,
    write_table,
)
from kformer.io.text_hashes import hashes_of
from kformer.retrieval.settings import Control

_SWAPS = 100  # tries to find a question that shares no fact
_SHARES_A_FACT, _GIVES_GOLD = 1, 10  # costs; one gold fact is worse than many that were found
Facts = Sequence[tuple[int, float]]  # ids and scores, best first
Cost = Callable[[str, str], float]  # of giving a question another's facts; 0 = all are new to it


def make_control(
    control: Control, questions: Path, facts: Path, retrieval: Path, out: Path, seed: int = 0
) -> dict[str, float]:
    """Writes a retrieval table in which each question has facts that were not found for it.

    ``shuffle``: the questions of a split form a random circle, and each gets its neighbour's facts
    with their scores. If these include a fact of the question's own (both are about one person,
    say), neighbours are swapped, above all where the fact is gold; ``with_own_facts`` counts the
    questions for which no swap was found. These keep facts that were found for them, too, but none
    that is gold for them; ``gold_facts_left_out`` counts those.

    ``random``: each list has as many facts as were found, drawn from all facts that were neither
    found for the question nor are gold for it. Their scores are drawn as well, for those of the
    facts that were found would tell how well these answered each choice.

    The retrieval table is held in memory as Arrow.

    Raises:
        KformerError: a split with a single question, too few facts to draw from, or tables that do
            not belong together.
    """
    check_retrieved_for(questions, retrieval)
    check_retrieved_from(facts, retrieval)
    found = Found.read(questions, facts, retrieval)
    if control == "shuffle":
        given: Given = FactsOfOthers(found, questions, seed)
    else:
        given = RandomFacts(found, facts, seed)

    def rows() -> Iterator[Row]:
        for question_id, queries in found.queries.items():
            for number, query in enumerate(queries):
                facts_of_query = given.facts(question_id, number)
                yield {
                    "question_id": question_id,
                    "choice": found.table["choice"][query].as_py(),
                    "fact_ids": [fact for fact, _ in facts_of_query],
                    "scores": [score for _, score in facts_of_query],
                }

    written = write_table(out, "retrieval", rows(), _origin(retrieval, control))
    return {"queries": written, **given.metrics}


@dataclass(frozen=True)
class Found:
    """What was retrieved, and which facts are gold. Facts that read the same are the same here.

    Attributes:
        table: the retrieval table.
        queries: the rows of each question in it.
        splits: the questions of each split.
        hashes: of the text of each fact, (facts,).
        gold: the hashes of the gold facts of each question that has some.
    """

    table: pa.Table
    queries: Mapping[str, range]
    splits: Mapping[str, Sequence[str]]
    hashes: NDArray[np.uint64]
    gold: Mapping[str, Set[int]]

    @classmethod
    def read(cls, questions: Path, facts: Path, retrieval: Path) -> "Found":
        table = read_table(retrieval, "retrieval").combine_chunks()
        queries = _rows_of_questions(table)
        splits: dict[str, list[str]] = defaultdict(list)
        gold: dict[str, set[int]] = {}
        for batch in read_columns(questions, "questions", ["question_id", "split", "gold_facts"]):
            for row in batch.to_pylist():
                splits[row["split"]].append(row["question_id"])
                if row["gold_facts"]:
                    gold[row["question_id"]] = set(hashes_of(row["gold_facts"]).tolist())
        if difference := set(chain.from_iterable(splits.values())) ^ queries.keys():
            raise KformerError(
                f"{questions}: question {min(difference)!r} is in only one of the questions and "
                "the retrieval table; the two belong to different data"
            )
        texts = (text for chunk in read_column(facts, "text").chunks for text in chunk.to_pylist())
        return cls(table, queries, splits, hashes_of(texts), gold)

    def hash_of(self, fact: int) -> int:
        """The hash of a fact's text."""
        return int(self.hashes[fact])

    def of_question(self, question_id: str) -> set[int]:
        """The hashes of all facts that were found for a question."""
        rows = self.queries[question_id]
        lists = self.table["fact_ids"].slice(rows.start, len(rows))
        return set(self.hashes[lists.combine_chunks().flatten().to_numpy()].tolist())

    def gold_of(self, question_id: str) -> Set[int]:
        """The hashes of all facts that are gold for a question."""
        return self.gold.get(question_id, set())

    def of_query(self, row: int) -> Facts:
        """The facts that were found for one query."""
        ids, scores = (self.table[name][row].as_py() for name in ("fact_ids", "scores"))
        return list(zip(ids, scores, strict=True))


class Given(Protocol):
    """Facts in place of those that were found."""

    metrics: dict[str, float]

    def facts(self, question_id: str, number: int) -> Facts:
        """The facts for one of the question's queries, counted from 0; asked for in order."""
        ...


class FactsOfOthers:
    """Each question has the facts of another question of its split."""

    def __init__(self, found: Found, questions: Path, seed: int) -> None:
        self._found = found
        self._donors: dict[str, str] = {}
        for split, members in found.splits.items():
            if len(members) < 2:
                raise KformerError(
                    f"{questions}: the split {split} has only one question, so there are no other "
                    "question's facts for it; leave out retrieval.control"
                )
            self._donors |= _donors(members, self._cost, random.Random(seed))
        with_own = sum(self._cost(taker, donor) > 0 for taker, donor in self._donors.items())
        self.metrics: dict[str, float] = {"with_own_facts": with_own, "gold_facts_left_out": 0}

    def facts(self, question_id: str, number: int) -> Facts:
        queries = self._found.queries[self._donors[question_id]]
        given = self._found.of_query(queries[number % len(queries)])
        gold = self._found.gold_of(question_id)
        kept = [each for each in given if self._found.hash_of(each[0]) not in gold]
        self.metrics["gold_facts_left_out"] += len(given) - len(kept)
        return kept

    def _cost(self, taker: str, donor: str) -> float:
        if taker == donor:
            return math.inf
        given = self._found.of_question(donor)
        if not given.isdisjoint(self._found.gold_of(taker)):
            return _GIVES_GOLD
        return 0 if given.isdisjoint(self._found.of_question(taker)) else _SHARES_A_FACT


class RandomFacts:
    """Each question has facts that are drawn from all but its own."""

    def __init__(self, found: Found, facts: Path, seed: int) -> None:
        self._found, self._facts, self._rng = found, facts, random.Random(seed)
        self._total = len(found.hashes)
        self._distinct = len(np.unique(found.hashes))
        self.metrics: dict[str, float] = {}

    def facts(self, question_id: str, number: int) -> Facts:
        own = self._found.of_question(question_id) | self._found.gold_of(question_id)
        wanted = len(self._found.of_query(self._found.queries[question_id][number]))
        if wanted > self._distinct - len(own):
            raise KformerError(
                f"{self._facts}: {self._distinct} facts are too few to draw {wanted} that are not "
                f"those of question {question_id!r}; leave out retrieval.control, or make "
                "retrieval.top_k smaller"
            )
        ids: list[int] = []
        while len(ids) < wanted:
            fact = self._rng.randrange(self._total)
            if (text := self._found.hash_of(fact)) not in own:
                ids.append(fact)
                own.add(text)  # so that none is drawn twice
        scores = sorted((self._rng.random() for _ in ids), reverse=True)
        return list(zip(ids, scores, strict=True))


def _rows_of_questions(table: pa.Table) -> dict[str, range]:
    rows: dict[str, range] = {}
    first = 0
    for question_id, group in groupby(table["question_id"].to_pylist()):
        rows[question_id] = range(first, first + sum(1 for _ in group))
        first = rows[question_id].stop
    return rows


def _origin(retrieval: Path, control: Control) -> dict[str, object] | None:
    origin = provenance(retrieval, "retrieval")
    if not origin:
        return None
    return {**origin, "settings": {**origin["settings"], "control": control}}


def _donors(members: Sequence[str], cost: Cost, rng: random.Random) -> dict[str, str]:
    """For each question another one whose facts it gets, if possible none of its own facts."""
    takers = list(members)
    rng.shuffle(takers)
    donors = [*takers[1:], takers[0]]
    for i, taker in enumerate(takers):
        for _ in range(_SWAPS):
            if not (now := cost(taker, donors[i])):
                break
            j = rng.randrange(len(takers))
            if (swapped := cost(taker, donors[j])) >= now:
                continue
            if swapped + cost(takers[j], donors[i]) < now + cost(takers[j], donors[j]):
                donors[i], donors[j] = donors[j], donors[i]
    return dict(zip(takers, donors, strict=True))
