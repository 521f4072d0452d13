"""The facts that were searched, and their words.

Memory holds texts and relations as Arrow, and the words of the facts that were used last.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from functools import lru_cache
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from kformer.errors import KformerError
from kformer.io.tables import read_column, take_rows
from kformer.retrieval.fact_ids import ids_of_texts
from kformer.retrieval.quality.measures import BEST
from kformer.retrieval.settings import Words
from kformer.retrieval.words.tokenizer import tokenizer

_REMEMBERED_FACTS = 100_000  # whose words are kept; passages of 150 words need 80 MB


class OccurringWords(NamedTuple):
    """Which of some words occur in the best five facts of a query, and which in all its facts."""

    at_5: Set[str]
    all: Set[str]


class Corpus:
    """The facts of a facts table, and their words.

    Attributes:
        relations: of each fact or null, (facts,).
    """

    def __init__(self, facts: Path, words: Words) -> None:
        self._path = facts
        self._texts = read_column(facts, "text")
        self.relations = read_column(facts, "relation")
        self._tokenise = tokenizer(words)
        # Tuples of shared strings, since sets would take ten times their memory.
        self._words: Callable[[int], tuple[str, ...]] = lru_cache(_REMEMBERED_FACTS)(
            self._distinct_words
        )

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, fact_id: int) -> str:
        """The text of a fact."""
        return self._texts[fact_id].as_py()

    def rows(self, fact_ids: Sequence[int]) -> list[dict[str, Any]]:
        """Rows of the facts table, read from disk."""
        return take_rows(self._path, "facts", fact_ids)

    def ids_of(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """The ids of facts by their texts, of those of these texts that are in the corpus."""
        return ids_of_texts(self._texts, texts)

    def check(self, fact_ids: Iterable[int]) -> None:
        """Raises KformerError when one of these facts does not exist."""
        if wrong := [fact_id for fact_id in fact_ids if not 0 <= fact_id < len(self)]:
            raise KformerError(
                f"{self._path}: has {len(self):,} facts, but fact {wrong[0]} was retrieved; the "
                "retrieval table belongs to different facts"
            )

    def occurring(self, words: set[str], fact_ids: Sequence[int]) -> OccurringWords:
        """Which of some words occur in some facts, the best of which come first."""
        in_facts = [words.intersection(self._words(fact_id)) for fact_id in fact_ids]
        at_5 = set().union(*in_facts[:BEST])
        return OccurringWords(at_5, at_5.union(*in_facts[BEST:]))

    def _distinct_words(self, fact_id: int) -> tuple[str, ...]:
        return tuple(map(intern, set(self._tokenise(self.text(fact_id)))))
