"""Gold facts: those that are known to answer a question, alone or among facts that were found.

They are the yardstick of a study: what a method makes of the right facts says how well it reads,
and what it makes of them among others, how well it tells which one it needs.
"""

import random
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from kformer.errors import KformerError
from kformer.io.tables import read_column
from kformer.retrieval.combined.boosted import with_boost
from kformer.retrieval.fact_ids import ids_of_texts
from kformer.retrieval.matching_relations import Relations
from kformer.retrieval.query import Hits, Query, Searcher
from kformer.retrieval.searched_documents import Documents
from kformer.retrieval.settings import Retrieval
from kformer.retrieval.words.bm25 import open_bm25

_NOTHING = Hits(np.zeros(0, np.int64), np.zeros(0, np.float32))


def open_gold(settings: Retrieval, documents: Documents) -> Searcher:
    """Opens the facts, and BM25, which finds the distractors."""
    words = with_boost(open_bm25(settings, documents), settings.boost)
    texts = read_column(documents.facts, "text")
    return GoldFacts(texts, words, settings.distractors)


class GoldFacts:
    """Finds the gold facts of a question that are in the corpus, shuffled among distractors.

    Distractors are the best facts of another searcher that are not gold. The order of all of them
    depends on the query alone, and all scores are the same: neither tells which are gold. A
    question without a gold fact in the corpus gets nothing.
    """

    def __init__(self, texts: pa.ChunkedArray, searcher: Searcher, distractors: int) -> None:
        """Takes the texts of all facts, (facts,), what finds distractors, and how many of them."""
        self._texts, self._searcher, self._distractors = texts, searcher, distractors

    @property
    def relations(self) -> Relations:
        return self._searcher.relations

    def search(self, queries: Sequence[Query], top_k: int) -> list[list[Hits]]:
        """For every query and each of its suffixes, gold facts and distractors.

        Raises:
            KformerError: they are more than ``top_k``.
        """
        ids = ids_of_texts(self._texts, (text for query in queries for text in query.gold_facts))
        gold = [[ids[text] for text in query.gold_facts if text in ids] for query in queries]
        most = max(map(len, gold), default=0)
        if most + self._distractors > top_k:
            raise KformerError(
                f"retrieval.top_k: {top_k} is less than {most} gold facts and "
                f"{self._distractors} distractors; make it larger"
            )
        found: list[list[Hits]] = [[_NOTHING] * len(query.suffixes) for query in queries]
        if self._distractors:
            reading_so = max((sum(map(len, facts)) for facts in gold), default=0)
            found = self._searcher.search(queries, reading_so + self._distractors)
        return [
            [self._among(own, hits, text) for hits, text in zip(of_query, query.texts, strict=True)]
            for query, own, of_query in zip(queries, gold, found, strict=True)
        ]

    def _among(self, gold: Sequence[Sequence[int]], found: Hits, text: str) -> Hits:
        """Gold facts among the first others that were found for the query with this text.

        Args:
            gold: for each gold text the facts that read so, of which the first is given.
        """
        if not gold:
            return _NOTHING
        own = {each for facts in gold for each in facts}
        others = [each for each in found.ids.tolist() if each not in own][: self._distractors]
        given = [*(facts[0] for facts in gold), *others]
        shuffled = random.Random(text).sample(given, len(given))
        ids = np.array(shuffled, np.int64)
        return Hits(ids, np.ones(len(ids), np.float32))
