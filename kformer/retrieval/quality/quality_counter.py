"""Measuring a retrieval in one pass over the questions and their queries.

Memory holds the corpus, and eight bytes a fact and eight a query.
"""

import random
from array import array
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kformer.io.table_schemas import ALL_SPLITS
from kformer.io.tables import Row
from kformer.retrieval.quality.answer_overlap import add_overlap, comparable_choices, share
from kformer.retrieval.quality.corpus import Corpus, OccurringWords
from kformer.retrieval.quality.measures import (
    BEST,
    QUANTILES,
    FactUse,
    Gold,
    Mean,
    Quality,
    SplitQuality,
    TypeQuality,
)
from kformer.retrieval.quality.question_results import QuestionResults
from kformer.retrieval.settings import Retrieval
from kformer.retrieval.words.tokenizer import tokenizer, tokenizer_without_stop_words

MOST_USED = 10

_REMEMBERED_QUESTIONS = 100  # of each split, one of which lends its facts for comparison
_RNG_SEED = 0


class QualityCounter:
    """Measures a retrieval, question by question.

    Args:
        settings: of the retrieval.
        corpus: the facts that were searched.
        gold: the ids of gold facts by their texts, of those that are in the corpus.
    """

    def __init__(
        self, settings: Retrieval, corpus: Corpus, gold: Mapping[str, Sequence[int]]
    ) -> None:
        self._settings, self._corpus, self._gold = settings, corpus, gold
        self._tokenise = tokenizer(settings.words)
        self._tokenise_choice = tokenizer_without_stop_words(settings.words)
        self._queries = self._without_facts = 0
        self._best_scores, self._last_scores = array("f"), array("f")
        self._coverage_at_5, self._coverage = Mean(), Mean()
        self._hits = np.zeros(len(corpus), np.int32)
        self._is_at_5 = np.zeros(len(corpus), np.bool_)
        self._splits: dict[str, SplitQuality] = defaultdict(SplitQuality)
        self._types: dict[str | None, TypeQuality] = {}
        self._lenders: dict[str, deque[QuestionResults]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED_QUESTIONS)
        )
        self._rng = random.Random(_RNG_SEED)
        self._per_choice = False

    def add(self, results: QuestionResults) -> None:
        """Adds a question with its results.

        Raises:
            KformerError: facts were retrieved that the corpus does not have.
        """
        question = results.question
        self._per_choice = results.per_choice
        of_split = self._splits[question["split"]]
        of_split.questions += 1
        for row in results.rows:
            self._count(row)
        if self._settings.match:
            self._count_type(results)
        query_words = [set(self._tokenise(text)) for text in results.query.texts]
        known = set(self._tokenise(f"{question['context']} {question['question']}"))
        own_words = [set(self._tokenise_choice(text)) - known for text in question["choices"]]
        words = set().union(*query_words, *own_words)
        occurring = [self._corpus.occurring(words, row["fact_ids"]) for row in results.rows]
        self._measure_coverage(query_words, occurring)
        self._measure_gold(results, of_split.gold)
        self._measure_overlap(results, own_words, occurring, of_split)

    def quality(self) -> Quality:
        """The measures of all questions so far."""
        return Quality(
            queries=self._queries,
            queries_without_facts=self._without_facts,
            best_scores=_quantiles(self._best_scores),
            last_scores=_quantiles(self._last_scores),
            coverage_at_5=self._coverage_at_5,
            coverage=self._coverage,
            use=_use(self._hits, self._is_at_5, self._corpus.relations),
            splits={split: self._splits[split] for split in ALL_SPLITS if split in self._splits},
            types=dict(sorted(self._types.items(), key=lambda item: -item[1].questions)),
            per_choice=self._per_choice,
        )

    def _count(self, row: Row) -> None:
        ids, scores = row["fact_ids"], row["scores"]
        self._queries += 1
        self._without_facts += not ids
        self._corpus.check(ids)
        self._best_scores.extend(scores[:1])
        self._last_scores.extend(scores[-1:])
        self._hits[ids] += 1
        self._is_at_5[ids[:BEST]] = True

    def _count_type(self, results: QuestionResults) -> None:
        new = TypeQuality(results.query.relations)
        of_type = self._types.setdefault(results.question["type"], new)
        of_type.questions += 1
        for row in results.rows:
            of_type.queries_without_facts += not row["fact_ids"]
            of_type.facts_per_query.add(len(row["fact_ids"]))

    def _measure_coverage(
        self, query_words: list[set[str]], occurring: list[OccurringWords]
    ) -> None:
        for words, of_query in zip(query_words, occurring, strict=True):
            if words:
                self._coverage_at_5.add(share(words, of_query.at_5))
                self._coverage.add(share(words, of_query.all))

    def _measure_gold(self, results: QuestionResults, gold: Gold) -> None:
        texts, answer = results.question["gold_facts"], results.question["answer"]
        if not texts or (results.per_choice and answer is None):
            return
        gold_ids = {fact for text in texts for fact in self._gold.get(text, ())}
        if not gold_ids:
            gold.out_of_reach += 1
            return
        ids = results.rows[results.row_number(answer)]["fact_ids"]
        gold.add(next((rank for rank, id in enumerate(ids, start=1) if id in gold_ids), None))

    def _measure_overlap(
        self,
        results: QuestionResults,
        own_words: list[set[str]],
        occurring: list[OccurringWords],
        of_split: SplitQuality,
    ) -> None:
        if results.question["answer"] is None:
            return
        lenders = self._lenders[results.question["split"]]
        if comparable_choices(results, own_words):
            lent = self._lend(lenders, set().union(*own_words), len(occurring))
            for overlap, depth in ((of_split.overlap_at_5, 0), (of_split.overlap, 1)):
                add_overlap(
                    overlap,
                    results,
                    own_words,
                    [of_query[depth] for of_query in occurring],
                    [of_query[depth] for of_query in lent],
                )
        lenders.append(results)

    def _lend(
        self, lenders: Sequence[QuestionResults], words: set[str], queries: int
    ) -> list[OccurringWords]:
        """Which words occur in the facts of another question; an empty list if there is none."""
        if not lenders:
            return []
        rows = self._rng.choice(lenders).rows
        lent = [self._corpus.occurring(words, row["fact_ids"]) for row in rows[:queries]]
        return [lent[number % len(lent)] for number in range(queries)]


def _quantiles(values: "array[float]") -> list[float]:
    return np.quantile(np.asarray(values), QUANTILES).tolist() if values else []


def _use(
    hits: NDArray[np.int32], is_at_5: NDArray[np.bool_], relations: pa.ChunkedArray
) -> FactUse:
    most_used = np.lexsort((np.arange(len(hits)), -hits))[:MOST_USED]
    return FactUse(
        facts=len(hits),
        used=int(np.count_nonzero(hits)),
        used_at_5=int(np.count_nonzero(is_at_5)),
        hits=int(hits.sum(dtype=np.int64)),
        most_used=[(int(fact_id), int(hits[fact_id])) for fact_id in most_used if hits[fact_id]],
        relations=_by_relation(hits, relations),
    )


def _by_relation(
    hits: NDArray[np.int32], relations: pa.ChunkedArray
) -> list[tuple[str | None, int, int]]:
    if relations.null_count == len(relations):
        return []
    table = pa.table({"relation": relations, "hits": hits}).group_by("relation")
    counted = table.aggregate([("hits", "count"), ("hits", "sum")]).select(
        ["relation", "hits_count", "hits_sum"]
    )
    rows = zip(*(column.to_pylist() for column in counted.columns), strict=True)
    return sorted(rows, key=lambda row: (-row[2], row[0] or ""))
