"""What is measured about a retrieval: what its queries found, and which answers that favours."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from scipy.special import stdtrit

from kformer.retrieval.matching_relations import Relations

BEST = 5  # the number of facts in measures "at 5"
LEAST_COUNT = 30  # an interval of fewer values would mean nothing
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_WITH_MARGIN = ("answer_words_gain", "answer_words_surplus")  # metrics
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
        """Half the width of the 95 % interval, by Student's t.

        None if there are fewer than `LEAST_COUNT` values, or all are equal.
        """
        if self.count < LEAST_COUNT:
            return None
        variance = (self.squares - self.total * self.value) / (self.count - 1)
        if variance < _LEAST_VARIANCE:
            return None
        return float(stdtrit(self.count - 1, 0.975)) * math.sqrt(variance / self.count)


@dataclass
class Gold(_Addable):
    """How well the queries find gold facts, those known to answer their question.

    A question counts once, by its query, or with a query per choice by that of the right choice, if
    it is known. Questions without a gold fact in the corpus, so that no search could find one, only
    count as ``out_of_reach``.
    """

    at_1: Mean = field(default_factory=Mean)
    at_5: Mean = field(default_factory=Mean)
    at_all: Mean = field(default_factory=Mean)
    reciprocal_rank: Mean = field(default_factory=Mean)
    """1 / the rank of the first gold fact; 0 if none was found."""
    out_of_reach: int = 0

    def add(self, rank: int | None) -> None:
        """Counts a question by the rank of its first gold fact, from 1; None = not found."""
        self.at_1.add(rank == 1)
        self.at_5.add(rank is not None and rank <= BEST)
        self.at_all.add(rank is not None)
        self.reciprocal_rank.add(1 / rank if rank else 0.0)


@dataclass
class AnswerOverlap(_Addable):
    """How many of a choice's own words the facts contain.

    Own words of a choice are those that are neither in the context or question nor stop words. A
    question counts if the right choice and a wrong one have such words, by the share of them.
    """

    right: Mean = field(default_factory=Mean)
    """The share of the right choice's own words that are in its facts."""
    wrong: Mean = field(default_factory=Mean)
    """The share of a wrong choice's own words in its facts; the mean over wrong choices."""
    gain: Mean = field(default_factory=Mean)
    """Right minus wrong, question by question."""
    gain_elsewhere: Mean = field(default_factory=Mean)
    """The gain by facts of another question of the split: what word frequency alone gives."""
    gain_crossed: Mean = field(default_factory=Mean)
    """Right minus wrong by the facts of the *other* choices, and by the own words that the other
    choice lacks, so that its query did not contain them. Unlike it, ``gain`` is also large if facts
    merely contain the words of the query. Only with a query per choice."""
    surplus: Mean = field(default_factory=Mean)
    """``gain``, or ``gain_crossed`` with a query per choice, minus the same by the facts of another
    question: how much the facts favour the right answer because they fit the question."""


@dataclass
class SplitQuality(_Addable):
    """What is measured for each split."""

    questions: int = 0
    gold: Gold = field(default_factory=Gold)
    overlap_at_5: AnswerOverlap = field(default_factory=AnswerOverlap)
    """By the best five facts."""
    overlap: AnswerOverlap = field(default_factory=AnswerOverlap)
    """By all facts."""


@dataclass
class TypeQuality:
    """What the queries of a type of question found, with `retrieval.match`."""

    relations: Relations | None
    """The relations that match the type; None = any, since the table does not know the type."""
    questions: int = 0
    queries_without_facts: int = 0
    facts_per_query: Mean = field(default_factory=Mean)


@dataclass(frozen=True)
class FactUse:
    """How many different facts were found, and which of them most often.

    Attributes:
        facts: in the corpus.
        used: found for some query.
        used_at_5: among the best five of some query.
        hits: pairs of a query and a fact that it found.
        most_used: ids of facts, each with the number of queries that found it.
        relations: each with its number of facts and of hits, most hits first; empty if no fact has
            a relation.
    """

    facts: int
    used: int
    used_at_5: int
    hits: int
    most_used: Sequence[tuple[int, int]]
    relations: Sequence[tuple[str | None, int, int]]


@dataclass(frozen=True)
class Quality:
    """What was measured about a retrieval.

    Attributes:
        best_scores: `QUANTILES` over queries of the best fact's score; empty if no query found any.
        last_scores: the same of the last fact's score.
        coverage_at_5: the share of a query's distinct words that occur in its best five facts.
        coverage: the same for all its facts.
        splits: those that have questions.
        types: of questions, the most frequent first; empty without `retrieval.match`.
        per_choice: whether there is a query for each choice.
    """

    queries: int
    queries_without_facts: int
    best_scores: Sequence[float]
    last_scores: Sequence[float]
    coverage_at_5: Mean
    coverage: Mean
    use: FactUse
    splits: Mapping[str, SplitQuality]
    types: Mapping[str | None, TypeQuality]
    per_choice: bool

    @property
    def questions_matched(self) -> int:
        """How many questions have a type that the table of `retrieval.match` knows."""
        return sum(each.questions for each in self.types.values() if each.relations is not None)

    @property
    def all_splits(self) -> SplitQuality:
        return sum(self.splits.values(), start=SplitQuality())

    @property
    def named_splits(self) -> dict[str, SplitQuality]:
        """Each split, and all together if there are several."""
        if len(self.splits) == 1:
            return dict(self.splits)
        return {**self.splits, "all": self.all_splits}

    @property
    def facts_per_query(self) -> float:
        return self.use.hits / max(self.queries, 1)

    def metrics(self) -> dict[str, float]:
        """Flat numbers for tracking, without those that these data do not allow to measure."""
        queries, facts = max(self.queries, 1), max(self.use.facts, 1)
        total = self.all_splits
        metrics: dict[str, float] = {
            "queries": self.queries,
            "queries_without_facts": self.queries_without_facts,
            "queries_without_facts_share": self.queries_without_facts / queries,
            "facts_per_query": self.facts_per_query,
            "facts_used": self.use.used,
            "facts_used_share": self.use.used / facts,
            "facts_used_at_5": self.use.used_at_5,
            "facts_used_at_5_share": self.use.used_at_5 / facts,
        }
        if self.types:
            metrics["questions_matched"] = self.questions_matched
            metrics["questions_matched_share"] = self.questions_matched / total.questions
        for name, scores in (("best", self.best_scores), ("last", self.last_scores)):
            for quantile, score in zip(QUANTILES, scores, strict=False):
                metrics[f"{name}_score_p{100 * quantile:02.0f}"] = score
        for name, mean in self._means(total).items():
            if mean.count:
                metrics[name] = mean.value
            if name.startswith(_WITH_MARGIN) and mean.margin is not None:
                metrics[f"{name}_low"] = mean.value - mean.margin
                metrics[f"{name}_high"] = mean.value + mean.margin
        if count := total.overlap.gain.count:
            metrics["answer_words_questions"] = count
        if total.gold.at_1.count or total.gold.out_of_reach:
            metrics["gold_questions"] = total.gold.at_1.count
            metrics["gold_out_of_reach"] = total.gold.out_of_reach
        return metrics

    def _means(self, total: SplitQuality) -> dict[str, Mean]:
        means = {
            "term_coverage_at_5": self.coverage_at_5,
            "term_coverage": self.coverage,
            "gold_recall_at_1": total.gold.at_1,
            "gold_recall_at_5": total.gold.at_5,
            "gold_recall": total.gold.at_all,
            "gold_mrr": total.gold.reciprocal_rank,
        }
        for depth, overlap in (("_at_5", total.overlap_at_5), ("", total.overlap)):
            means |= {f"answer_words_{name}{depth}": mean for name, mean in vars(overlap).items()}
        return means
