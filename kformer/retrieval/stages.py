"""The stages that find facts for questions, and that shuffle them for the control."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kformer.config import Retrieval
from kformer.errors import KformerError
from kformer.progress import track
from kformer.retrieval.bm25 import SCORERS, Scorer, best
from kformer.tables import Row, count_rows, read_rows, read_table, write_table

_SWAPS = 100  # tries to find a question that shares no fact


def retrieve(settings: Retrieval, questions: Path, facts: Path, out: Path) -> dict[str, float]:
    """Writes the retrieval table: for every query the best ``settings.top_k`` facts.

    Where a question's gold facts are known, also measures how often one of them is among the
    best 5 and among all that were retrieved.
    """
    texts = read_table(facts, "facts")["text"].to_pylist()
    ids = {text: fact_id for fact_id, text in enumerate(texts)}
    scorer = SCORERS[settings.method](texts)
    total = count_rows(questions, "questions")
    tally = _Tally(ids)

    def rows() -> Iterator[Row]:
        asked = track(read_rows(questions, "questions"), "retrieving", total)
        for question in asked:
            for row in _answers(question, settings, scorer):
                tally.add(question, row)
                yield row

    queries = write_table(out, "retrieval", rows())
    return {"queries": queries, "facts": len(texts), **tally.metrics()}


def shuffle(questions: Path, retrieval: Path, out: Path, seed: int = 0) -> dict[str, float]:
    """Writes a control in which each question has the facts of another question of its split.

    The questions of a split are drawn into a random circle and each takes its neighbour's facts.
    Where a fact of the question's own would be among them (two questions about one person, say),
    neighbours are swapped until there is none; ``with_own_facts`` counts the questions for which
    none could be found.

    Raises:
        KformerError: a split with a single question, or tables that do not belong together.
    """
    found: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(retrieval, "retrieval"):
        found[row["question_id"]].append(row)
    own = {
        question_id: {fact for row in rows for fact in row["fact_ids"]}
        for question_id, rows in found.items()
    }
    donors: dict[str, str] = {}
    for split, members in _by_split(questions, found).items():
        if len(members) < 2:
            raise KformerError(
                f"{questions}: the split {split} has one question only, so there is no other "
                "question's facts to give it; leave out retrieval.control"
            )
        donors |= _donors(members, own, random.Random(seed))

    def rows() -> Iterator[Row]:
        for question_id, queries in found.items():
            given = found[donors[question_id]]
            for position, row in enumerate(queries):
                gift = given[position % len(given)]
                yield {**row, "fact_ids": gift["fact_ids"], "scores": gift["scores"]}

    written = write_table(out, "retrieval", rows())
    overlapping = sum(bool(own[taker] & own[donor]) for taker, donor in donors.items())
    return {"queries": written, "with_own_facts": overlapping}


def _by_split(questions: Path, found: Mapping[str, list[Row]]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = defaultdict(list)
    for question in read_rows(questions, "questions"):
        splits[question["split"]].append(question["question_id"])
    asked = {question_id for members in splits.values() for question_id in members}
    if difference := asked ^ found.keys():
        raise KformerError(
            f"{questions}: question {min(difference)!r} is in only one of the questions and the "
            "retrieval table; the two belong to different data"
        )
    return splits


def _donors(members: list[str], own: Mapping[str, set[int]], rng: random.Random) -> dict[str, str]:
    """Who gets whose facts: nobody their own, nor facts that they have themselves if avoidable."""
    takers = list(members)
    rng.shuffle(takers)
    donors = [*takers[1:], takers[0]]

    def suits(taker: str, donor: str) -> bool:
        return taker != donor and not own[taker] & own[donor]

    for i, taker in enumerate(takers):
        for _ in range(_SWAPS):
            if suits(taker, donors[i]):
                break
            j = rng.randrange(len(takers))
            if suits(taker, donors[j]) and suits(takers[j], donors[i]):
                donors[i], donors[j] = donors[j], donors[i]
    return dict(zip(takers, donors, strict=True))


def _answers(question: dict[str, Any], settings: Retrieval, scorer: Scorer) -> Iterator[Row]:
    stem = f"{question['context']} {question['question']}"
    queries: list[tuple[int | None, str]] = [(None, stem)]
    if settings.query == "choice":
        queries = [(i, f"{stem} {choice}") for i, choice in enumerate(question["choices"])]
    for choice, query in queries:
        scores = scorer.scores(query)
        chosen = best(scores, settings.top_k)
        yield {
            "question_id": question["question_id"],
            "choice": choice,
            "fact_ids": chosen.tolist(),
            "scores": scores[chosen].tolist(),
        }


class _Tally:
    """Counts what retrieval found, as it is found."""

    def __init__(self, ids: dict[str, int]) -> None:
        self._ids = ids
        self._queries = self._empty = self._facts = 0
        self._with_gold = self._gold_in_5 = self._gold_found = 0

    def add(self, question: dict[str, Any], row: Row) -> None:
        found = row["fact_ids"]
        self._queries += 1
        self._empty += not found
        self._facts += len(found)
        gold = {self._ids[text] for text in question["gold_facts"] or [] if text in self._ids}
        if gold:
            self._with_gold += 1
            self._gold_in_5 += bool(gold & set(found[:5]))
            self._gold_found += bool(gold & set(found))

    def metrics(self) -> dict[str, float]:
        metrics = {
            "queries_without_facts": float(self._empty),
            "facts_per_query": self._facts / max(self._queries, 1),
        }
        if self._with_gold:
            metrics["gold_recall_at_5"] = self._gold_in_5 / self._with_gold
            metrics["gold_recall"] = self._gold_found / self._with_gold
        return metrics
