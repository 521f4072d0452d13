"""How good a retrieval is: what its queries found, and whether that tells the answers.

Measured in one pass over the questions and their queries. What is kept: the corpus, and eight bytes
a fact and eight a query.
"""

import math
import random
from array import array
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from statistics import fmean
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import stdtrit

from kformer.io.tables import SPLITS, Row
from kformer.retrieval.quality.results import BEST, Corpus, QuestionResults, WordsFound
from kformer.retrieval.query import Relations
from kformer.retrieval.settings import Retrieval
from kformer.retrieval.words.tokenizer import tokenizer

MOST_USED = 10
LEAST_COUNT = 30  # fewer values give no interval that means anything
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_WITH_MARGIN = ("answer_words_gain", "answer_words_surplus")  # metrics
_REMEMBERED_QUESTIONS = 100  # of each split, to lend their facts to others
_RNG_SEED = 0
_LEAST_VARIANCE = 1e-12  # less is rounding


class _Addable:
    """A dataclass whose sums are the sums of its fields."""

    def __add__(self, other: Self) -> Self:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return type(self)(*(mine + others for mine, others in pairs))


@dataclass
class Mean(_Addable):
    """A mean of values that come one by one, with its uncertainty."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.squares += value * value

    @property
    def value(self) -> float:
        return self.total / self.count if self.count else math.nan

    @property
    def margin(self) -> float | None:
        """How far the 95 % interval reaches to either side, by Student's t.

        None where there are fewer than `LEAST_COUNT` values, or all are equal.
        """
        if self.count < LEAST_COUNT:
            return None
        variance = (self.squares - self.total * self.value) / (self.count - 1)
        if variance < _LEAST_VARIANCE:
            return None
        return float(stdtrit(self.count - 1, 0.975)) * math.sqrt(variance / self.count)


@dataclass
class Gold(_Addable):
    """How well the queries find facts that are known to answer their question.

    A question counts once, by its query, or where there is a query per choice by that of the right
    one, if it is known. Questions none of whose gold facts is in the corpus, so that no search
    could find it, only count as ``out_of_reach``.
    """

    at_1: Mean = field(default_factory=Mean)
    at_5: Mean = field(default_factory=Mean)
    at_all: Mean = field(default_factory=Mean)
    reciprocal_rank: Mean = field(default_factory=Mean)
    """1 / the place of the first gold fact; 0 where none was found."""
    out_of_reach: int = 0

    def add(self, place: int | None) -> None:
        """Counts a question whose first gold fact is at this place, from 0; None = nowhere."""
        self.at_1.add(place == 0)
        self.at_5.add(place is not None and place < BEST)
        self.at_all.add(place is not None)
        self.reciprocal_rank.add(0.0 if place is None else 1 / (place + 1))


@dataclass
class AnswerOverlap(_Addable):
    """How often facts contain the words that tell the choices of a question apart.

    Of a choice these are its words without those of context and question and without stop words.
    Questions count where the right choice and a wrong one have such words, by the share of them.
    """

    right: Mean = field(default_factory=Mean)
    """Of the right choice's words, in its facts."""
    wrong: Mean = field(default_factory=Mean)
    """Of a wrong choice's words, in that choice's facts; the mean over wrong choices."""
    gain: Mean = field(default_factory=Mean)
    """Right minus wrong, question by question."""
    gain_elsewhere: Mean = field(default_factory=Mean)
    """The same with facts of another question of the split: what word frequency alone gives."""
    gain_crossed: Mean = field(default_factory=Mean)
    """Right minus wrong by words in facts of *other* choices, those words that the other choice
    lacks, so that its query did not ask for them: ``gain`` also grows where the facts merely know
    the words. With a query per choice only."""
    surplus: Mean = field(default_factory=Mean)
    """What is due to the question itself: ``gain``, or ``gain_crossed`` with a query per choice,
    minus the same by the facts of another question."""


@dataclass
class OfSplit(_Addable):
    """What is measured for each split apart."""

    questions: int = 0
    gold: Gold = field(default_factory=Gold)
    telling_best: AnswerOverlap = field(default_factory=AnswerOverlap)
    """By the best five facts."""
    telling: AnswerOverlap = field(default_factory=AnswerOverlap)
    """By all facts."""


@dataclass
class OfType:
    """What the queries of a type of question found, where types are matched with relations."""

    relations: Relations | None
    """Which they asked for; None = any, as the matching does not know the type."""
    questions: int = 0
    queries_without_facts: int = 0
    facts_per_query: Mean = field(default_factory=Mean)


@dataclass(frozen=True)
class Use:
    """How many different facts were found, and which ones again and again.

    Attributes:
        facts: in the corpus.
        used: found for some query.
        used_best: among the best five of some query.
        hits: how often a fact was found: queries times facts per query.
        most_used: ids of facts with how many queries found each.
        relations: each with its facts and its hits, most hits first; empty if facts have none.
    """

    facts: int
    used: int
    used_best: int
    hits: int
    most_used: Sequence[tuple[int, int]]
    relations: Sequence[tuple[str | None, int, int]]


@dataclass(frozen=True)
class Quality:
    """What was measured about a retrieval.

    Attributes:
        best_scores: `QUANTILES` over queries of the best fact's score; empty if none was found.
        last_scores: the same of the last fact's score.
        coverage_best: the share of a query's distinct words that occur in its best five facts.
        coverage: the same of all its facts.
        splits: those that have questions.
        types: of questions, the most frequent first; empty where all facts may answer all.
    """

    queries: int
    queries_without_facts: int
    best_scores: Sequence[float]
    last_scores: Sequence[float]
    coverage_best: Mean
    coverage: Mean
    use: Use
    splits: Mapping[str, OfSplit]
    types: Mapping[str | None, OfType]
    per_choice: bool

    @property
    def questions_matched(self) -> int:
        """How many have a type of which is known which relations it asks for."""
        return sum(each.questions for each in self.types.values() if each.relations is not None)

    @property
    def all_splits(self) -> OfSplit:
        return sum(self.splits.values(), start=OfSplit())

    @property
    def facts_per_query(self) -> float:
        return self.use.hits / max(self.queries, 1)

    def metrics(self) -> dict[str, float]:
        """Flat numbers for tracking; what cannot be measured on these data is left out."""
        queries, facts = max(self.queries, 1), max(self.use.facts, 1)
        every = self.all_splits
        metrics: dict[str, float] = {
            "queries": self.queries,
            "queries_without_facts": self.queries_without_facts,
            "queries_without_facts_share": self.queries_without_facts / queries,
            "facts_per_query": self.facts_per_query,
            "facts_used": self.use.used,
            "facts_used_share": self.use.used / facts,
            "facts_used_at_5": self.use.used_best,
            "facts_used_at_5_share": self.use.used_best / facts,
        }
        if self.types:
            metrics["questions_matched"] = self.questions_matched
            metrics["questions_matched_share"] = self.questions_matched / every.questions
        for name, scores in (("best", self.best_scores), ("last", self.last_scores)):
            for quantile, score in zip(QUANTILES, scores, strict=False):
                metrics[f"{name}_score_p{100 * quantile:02.0f}"] = score
        for name, mean in self._means(every).items():
            if mean.count:
                metrics[name] = mean.value
            if name.startswith(_WITH_MARGIN) and mean.margin is not None:
                metrics[f"{name}_low"] = mean.value - mean.margin
                metrics[f"{name}_high"] = mean.value + mean.margin
        if count := every.telling.gain.count:
            metrics["answer_words_questions"] = count
        if every.gold.at_1.count or every.gold.out_of_reach:
            metrics["gold_questions"] = every.gold.at_1.count
            metrics["gold_out_of_reach"] = every.gold.out_of_reach
        return metrics

    def _means(self, every: OfSplit) -> dict[str, Mean]:
        means = {
            "term_coverage_at_5": self.coverage_best,
            "term_coverage": self.coverage,
            "gold_recall_at_1": every.gold.at_1,
            "gold_recall_at_5": every.gold.at_5,
            "gold_recall": every.gold.at_all,
            "gold_mrr": every.gold.reciprocal_rank,
        }
        for depth, telling in (("_at_5", every.telling_best), ("", every.telling)):
            means |= {f"answer_words_{name}{depth}": mean for name, mean in vars(telling).items()}
        return means


class QualityCounter:
    """Measures a retrieval, question by question.

    Args:
        settings: of the retrieval.
        corpus: what was searched.
        gold: the ids of gold facts by their texts, those that are in the corpus.
    """

    def __init__(self, settings: Retrieval, corpus: Corpus, gold: Mapping[str, int]) -> None:
        self._settings, self._corpus, self._gold = settings, corpus, gold
        self._split = tokenizer(settings.words)
        self._split_telling = tokenizer(settings.words.model_copy(update={"stop_words": True}))
        self._queries = self._without_facts = 0
        self._best_scores, self._last_scores = array("f"), array("f")
        self._coverage_best, self._coverage = Mean(), Mean()
        self._hits = np.zeros(len(corpus), np.int32)
        self._is_best = np.zeros(len(corpus), np.bool_)
        self._splits: dict[str, OfSplit] = defaultdict(OfSplit)
        self._types: dict[str | None, OfType] = {}
        self._lenders: dict[str, deque[QuestionResults]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED_QUESTIONS)
        )
        self._rng = random.Random(_RNG_SEED)
        self._per_choice = False

    def add(self, asked: QuestionResults) -> None:
        """Takes a question into account.

        Raises:
            KformerError: facts were retrieved that the corpus does not have.
        """
        self._per_choice = asked.per_choice
        of_split = self._splits[asked.question["split"]]
        of_split.questions += 1
        for row in asked.queries:
            self._count(row)
        if self._settings.match:
            self._count_type(asked)
        text = set(self._split(asked.text))
        queries = [set(self._split(query)) for query in asked.query_texts(self._settings)]
        own = [set(self._split_telling(choice)) - text for choice in asked.question["choices"]]
        wanted = set().union(*queries, *own)
        found = [self._corpus.find(wanted, row["fact_ids"]) for row in asked.queries]
        self._measure_coverage(queries, found)
        self._measure_gold(asked, of_split.gold)
        self._measure_telling(asked, own, found, of_split)

    def quality(self) -> Quality:
        """What was measured so far."""
        return Quality(
            queries=self._queries,
            queries_without_facts=self._without_facts,
            best_scores=_quantiles(self._best_scores),
            last_scores=_quantiles(self._last_scores),
            coverage_best=self._coverage_best,
            coverage=self._coverage,
            use=_use(self._hits, self._is_best, self._corpus.relations),
            splits={split: self._splits[split] for split in SPLITS if split in self._splits},
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
        self._is_best[ids[:BEST]] = True

    def _count_type(self, asked: QuestionResults) -> None:
        new = OfType(asked.relations(self._settings))
        of_type = self._types.setdefault(asked.question["type"], new)
        of_type.questions += 1
        for row in asked.queries:
            of_type.queries_without_facts += not row["fact_ids"]
            of_type.facts_per_query.add(len(row["fact_ids"]))

    def _measure_coverage(self, queries: list[set[str]], found: list[WordsFound]) -> None:
        for words, occurring in zip(queries, found, strict=True):
            if words:
                self._coverage_best.add(_share(words, occurring.best))
                self._coverage.add(_share(words, occurring.all))

    def _measure_gold(self, asked: QuestionResults, gold: Gold) -> None:
        texts, answer = asked.question["gold_facts"], asked.question["answer"]
        if not texts or (asked.per_choice and answer is None):
            return
        wanted = {self._gold[text] for text in texts if text in self._gold}
        if not wanted:
            gold.out_of_reach += 1
            return
        ids = asked.queries[asked.place_of_query(answer)]["fact_ids"]
        gold.add(next((place for place, fact_id in enumerate(ids) if fact_id in wanted), None))

    def _measure_telling(
        self,
        asked: QuestionResults,
        words: list[set[str]],
        found: list[WordsFound],
        of_split: OfSplit,
    ) -> None:
        right = asked.question["answer"]
        if right is None:
            return
        wrong = [choice for choice in range(len(words)) if choice != right and words[choice]]
        lenders = self._lenders[asked.question["split"]]
        if words[right] and wrong:
            lent = self._lend(lenders, set().union(*words), len(found))
            for telling, depth in ((of_split.telling_best, 0), (of_split.telling, 1)):
                occurring = [of_query[depth] for of_query in found]
                elsewhere = [of_query[depth] for of_query in lent]
                _tell(telling, asked, words, right, wrong, occurring, elsewhere)
        lenders.append(asked)

    def _lend(
        self, lenders: Sequence[QuestionResults], wanted: set[str], queries: int
    ) -> list[WordsFound]:
        """Finds words in the facts of another question; an empty list if there is none yet."""
        if not lenders:
            return []
        rows = self._rng.choice(lenders).queries
        lent = [self._corpus.find(wanted, row["fact_ids"]) for row in rows[:queries]]
        return [lent[place % len(lent)] for place in range(queries)]


def _tell(
    telling: AnswerOverlap,
    asked: QuestionResults,
    words: Sequence[Set[str]],
    right: int,
    wrong: Sequence[int],
    occurring: Sequence[Set[str]],
    elsewhere: Sequence[Set[str]],
) -> None:
    """Adds one question; ``occurring`` and ``elsewhere`` are words in facts, query by query."""

    def share(choice: int, where: Sequence[Set[str]]) -> float:
        return _share(words[choice], where[asked.place_of_query(choice)])

    def mean_of_wrong(where: Sequence[Set[str]]) -> float:
        return fmean(share(choice, where) for choice in wrong)

    of_right, of_wrong = share(right, occurring), mean_of_wrong(occurring)
    telling.right.add(of_right)
    telling.wrong.add(of_wrong)
    own: float | None = of_right - of_wrong
    telling.gain.add(of_right - of_wrong)
    others: float | None = None
    if elsewhere:
        others = share(right, elsewhere) - mean_of_wrong(elsewhere)
        telling.gain_elsewhere.add(others)
    if asked.per_choice:
        own = _gain_crossed(words, right, wrong, occurring)
        if own is not None:
            telling.gain_crossed.add(own)
        others = _gain_crossed(words, right, wrong, elsewhere) if elsewhere else None
    if own is not None and others is not None:
        telling.surplus.add(own - others)


def _gain_crossed(
    words: Sequence[Set[str]], right: int, wrong: Sequence[int], where: Sequence[Set[str]]
) -> float | None:
    """None where the right choice or all wrong ones have no words that others lack."""

    def share(choice: int) -> float | None:
        lacking = ((words[choice] - words[other], other) for other in range(len(words)))
        shares = [_share(own, where[other]) for own, other in lacking if own]
        return fmean(shares) if shares else None

    of_wrong = [found for found in map(share, wrong) if found is not None]
    of_right = share(right)
    return of_right - fmean(of_wrong) if of_wrong and of_right is not None else None


def _share(words: Set[str], occurring: Set[str]) -> float:
    return len(words & occurring) / len(words)


def _quantiles(values: "array[float]") -> list[float]:
    return np.quantile(np.asarray(values), QUANTILES).tolist() if values else []


def _use(hits: NDArray[np.int32], is_best: NDArray[np.bool_], relations: pa.ChunkedArray) -> Use:
    most_used = np.lexsort((np.arange(len(hits)), -hits))[:MOST_USED]
    return Use(
        facts=len(hits),
        used=int(np.count_nonzero(hits)),
        used_best=int(np.count_nonzero(is_best)),
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
