"""How many of a choice's own words the facts contain, question by question."""

from collections.abc import Sequence, Set
from statistics import fmean

from kformer.retrieval.quality.measures import AnswerOverlap
from kformer.retrieval.quality.question_results import QuestionResults


def add_overlap(
    overlap: AnswerOverlap,
    results: QuestionResults,
    own_words: Sequence[Set[str]],
    occurring: Sequence[Set[str]],
    elsewhere: Sequence[Set[str]],
) -> None:
    """Adds a question, which must have `comparable_choices`.

    Args:
        overlap: is changed.
        results: the question.
        own_words: of each choice.
        occurring: the words in the facts of each query.
        elsewhere: the same for the facts of another question; empty if there is none.
    """
    right, wrong = results.question["answer"], comparable_choices(results, own_words)

    def share_in(facts: Sequence[Set[str]], choice: int) -> float:
        return share(own_words[choice], facts[results.row_number(choice)])

    def mean_of_wrong(facts: Sequence[Set[str]]) -> float:
        return fmean(share_in(facts, choice) for choice in wrong)

    of_right, of_wrong = share_in(occurring, right), mean_of_wrong(occurring)
    overlap.right.add(of_right)
    overlap.wrong.add(of_wrong)
    gain: float | None = of_right - of_wrong
    overlap.gain.add(of_right - of_wrong)
    gain_elsewhere: float | None = None
    if elsewhere:
        gain_elsewhere = share_in(elsewhere, right) - mean_of_wrong(elsewhere)
        overlap.gain_elsewhere.add(gain_elsewhere)
    if results.per_choice:
        gain = _gain_crossed(own_words, right, wrong, occurring)
        if gain is not None:
            overlap.gain_crossed.add(gain)
        gain_elsewhere = _gain_crossed(own_words, right, wrong, elsewhere) if elsewhere else None
    if gain is not None and gain_elsewhere is not None:
        overlap.surplus.add(gain - gain_elsewhere)


def comparable_choices(results: QuestionResults, own_words: Sequence[Set[str]]) -> list[int]:
    """The wrong choices with own words; none if the right choice is unknown or has no own words."""
    right = results.question["answer"]
    if right is None or not own_words[right]:
        return []
    return [choice for choice, words in enumerate(own_words) if choice != right and words]


def _gain_crossed(
    own_words: Sequence[Set[str]],
    right: int,
    wrong: Sequence[int],
    facts: Sequence[Set[str]],
) -> float | None:
    """None if the right choice or all wrong ones have no words that others lack."""

    def share_crossed(choice: int) -> float | None:
        lacking = [(own_words[choice] - words, other) for other, words in enumerate(own_words)]
        shares = [share(words, facts[other]) for words, other in lacking if words]
        return fmean(shares) if shares else None

    of_right = share_crossed(right)
    of_wrong = [each for each in map(share_crossed, wrong) if each is not None]
    return of_right - fmean(of_wrong) if of_wrong and of_right is not None else None


def share(words: Set[str], occurring: Set[str]) -> float:
    """The share of some words that occur."""
    return len(words & occurring) / len(words)
