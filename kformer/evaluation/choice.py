"""Which choice an answer is: where the best ones tie, and where two are the same."""

import math
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from kformer.errors import KformerError
from kformer.io.choices import first_equal


class Choice(NamedTuple):
    """A chosen choice."""

    chosen: int
    """its index"""
    is_tied: bool
    """whether choices with different texts were the best, so that one of them was drawn"""
    credit: float | None
    """what it counts: 1 if it is right, 0 if not, 1/k where the right one is among k that tie; None
    where the right one is not known"""


class NotNumbers(KformerError):
    """Scores that cannot be compared, since one is infinite or not a number."""


def choose(
    question_id: str, choices: Sequence[str], answer: int | None, logits: Sequence[float]
) -> Choice:
    """The choice with the highest logit.

    Of different choices that share it, a hash of the question's id draws one: the same on any
    machine, for every condition, and with no favourite, where "the first" would get the better of
    data sets whose right answer often comes first. So that luck counts for nothing, k tied choices
    with the right one among them count as 1/k, whichever is drawn. Choices with the same text are
    one; if it is the right one's text, the right one is chosen.

    Args:
        question_id: of the question.
        choices: (C,) their texts.
        answer: the right one, if it is known.
        logits: (C,)

    Raises:
        NotNumbers: a logit is not a finite number.
    """
    if not all(map(math.isfinite, logits)):
        scores = ", ".join(map(str, logits))
        raise NotNumbers(
            f"the scores of the choices of question {question_id!r} are not all numbers ({scores})"
        )
    best = max(logits)
    tied = {first_equal(choices, index) for index, logit in enumerate(logits) if logit == best}
    drawn = sorted(tied)[_hash(question_id) % len(tied)]
    if answer is None:
        return Choice(drawn, len(tied) > 1, None)
    right = first_equal(choices, answer)
    credit = 1 / len(tied) if right in tied else 0.0
    return Choice(answer if drawn == right else drawn, len(tied) > 1, credit)


def _hash(question_id: str) -> int:
    return int.from_bytes(sha256(f"tie\n{question_id}".encode()).digest()[:8], "big")
