"""Questions that have the same choice twice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kformer.errors import first_few
from kformer.io.choices import first_equal
from kformer.io.tables import Row


@dataclass(frozen=True)
class EqualChoices:
    """The ids of questions that have the same choice twice, in their order."""

    some: Sequence[str]
    """any choice, the right one too"""
    right: Sequence[str]
    """the right one"""

    @property
    def counts(self) -> dict[str, float]:
        """Metrics."""
        return {
            "questions_with_equal_choices": len(self.some),
            "questions_with_right_choice_twice": len(self.right),
        }

    def lines(self) -> list[str]:
        """What was found in words: how many, and the first few."""
        if not self.some:
            return []
        have = "question has" if len(self.some) == 1 else "questions have"
        line = f"{len(self.some):,} {have} the same choice twice ({first_few(self.some)})"
        if self.right:
            line += f", {len(self.right):,} the right one ({first_few(self.right)}): both are right"
        return [line]


def find_equal_choices(questions: Iterable[Row]) -> EqualChoices:
    """Finds them among rows of the questions table."""
    some, right = [], []
    for row in questions:
        choices = row["choices"]
        first = [first_equal(choices, index) for index in range(len(choices))]
        if len(set(first)) < len(first):
            some.append(row["question_id"])
            if first.count(first[row["answer"]]) > 1:
                right.append(row["question_id"])
    return EqualChoices(some, right)
