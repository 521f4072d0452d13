"""The control: every question gets the facts of another question."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from kformer.errors import KformerError
from kformer.tables import Row, read_rows, write_table

_SWAPS = 100  # tries to find a question that shares no fact


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
