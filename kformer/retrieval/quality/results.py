"""What was asked and what was found, read side by side: questions, queries, and facts.

What is kept: texts and relations as Arrow, and the words of the facts that were asked for last.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kformer.errors import KformerError
from kformer.io.tables import Row, read_column, read_rows, take_rows
from kformer.retrieval.matching import matching_relations
from kformer.retrieval.query import Query, Relations, shared_text_of
from kformer.retrieval.settings import Retrieval, Words
from kformer.retrieval.words.tokenizer import tokenizer

BEST = 5  # facts that are looked at apart from the others

_REMEMBERED_FACTS = 100_000  # whose words are kept; passages of 150 words need 80 MB


class QuestionResults(NamedTuple):
    """A question with its queries: one, or one per choice in the order of the choices."""

    question: Row
    queries: Sequence[Row]

    @property
    def per_choice(self) -> bool:
        return self.queries[0]["choice"] is not None

    @property
    def text(self) -> str:
        """Context and question."""
        return shared_text_of(self.question, "question")

    def query_texts(self, settings: Retrieval) -> list[str]:
        """What was searched for, query by query."""
        if self.per_choice:
            return Query(self.text, tuple(self.question["choices"])).texts
        return [shared_text_of(self.question, settings.query)]

    def relations(self, settings: Retrieval) -> Relations | None:
        """Which relations its queries asked for; None = any."""
        return matching_relations(settings.match, self.question["type"])

    def place_of_query(self, choice: int) -> int:
        """The place of the query that looks for a choice's facts."""
        return choice if self.per_choice else 0


def read_results(questions: Path, retrieval: Path) -> Iterator[QuestionResults]:
    """Streams questions together with their queries, which have to come in the same order.

    Raises:
        KformerError: the tables do not belong together.
    """
    groups = groupby(read_rows(retrieval, "retrieval"), key=lambda row: row["question_id"])
    for question in read_rows(questions, "questions"):
        found_id, rows = next(groups, (None, iter(())))
        question_id = question["question_id"]
        if found_id != question_id:
            raise _mismatch(questions, question_id)
        queries = list(rows)
        choices = [row["choice"] for row in queries]
        if choices not in ([None], list(range(len(question["choices"])))):
            raise KformerError(
                f"{retrieval}: question {question_id!r} should have one query, or one for each of "
                f"its {len(question['choices'])} choices in their order; the table belongs to "
                "different questions"
            )
        yield QuestionResults(question, queries)
    for found_id, _ in groups:
        raise _mismatch(questions, found_id)


def _mismatch(questions: Path, question_id: str) -> KformerError:
    return KformerError(
        f"{questions}: question {question_id!r} is in only one of the questions and the "
        "retrieval table, or in different places; the two belong to different data"
    )


class WordsFound(NamedTuple):
    """Which of some words occur in the best five facts of a query, and which in all of them."""

    best: Set[str]
    all: Set[str]


class Corpus:
    """The facts, and the words of those that are asked for.

    Attributes:
        relations: (facts,) The relation of each, or null.
    """

    def __init__(self, facts: Path, words: Words) -> None:
        self._path = facts
        self._texts = read_column(facts, "text")
        self.relations = read_column(facts, "relation")
        self._split = tokenizer(words)
        # Tuples of shared strings, as sets would take ten times their memory.
        self._words: Callable[[int], tuple[str, ...]] = lru_cache(_REMEMBERED_FACTS)(self._take)

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, fact_id: int) -> str:
        """A fact's text."""
        return self._texts[fact_id].as_py()

    def rows(self, fact_ids: Sequence[int]) -> list[dict[str, Any]]:
        """Rows of the facts table, read from disk."""
        return take_rows(self._path, "facts", fact_ids)

    def ids_of(self, texts: Iterable[str]) -> dict[str, int]:
        """The ids of the facts with these texts, as far as there are any."""
        wanted = pa.array(sorted(set(texts)), pa.string())
        if not len(self):  # Arrow crashes on a column without chunks
            return {}
        places = pc.index_in(self._texts, value_set=wanted)
        ids = pc.indices_nonzero(pc.is_valid(places))
        return {wanted[places[i].as_py()].as_py(): i for i in ids.to_pylist()}

    def check(self, fact_ids: Iterable[int]) -> None:
        """Raises KformerError when there are no such facts."""
        if wrong := [fact_id for fact_id in fact_ids if not 0 <= fact_id < len(self)]:
            raise KformerError(
                f"{self._path}: has {len(self):,} facts, but fact {wrong[0]} was retrieved; the "
                "retrieval table belongs to different facts"
            )

    def find(self, wanted: set[str], fact_ids: Sequence[int]) -> WordsFound:
        """Which of the wanted words occur in the facts, of which the best come first."""
        occurring = [wanted.intersection(self._words(fact_id)) for fact_id in fact_ids]
        best = set().union(*occurring[:BEST])
        return WordsFound(best, best.union(*occurring[BEST:]))

    def _take(self, fact_id: int) -> tuple[str, ...]:
        return tuple(map(intern, set(self._split(self.text(fact_id)))))
