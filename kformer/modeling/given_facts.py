"""Questions with other facts than retrieval found for them: fewer, none, or another question's.

Shapes: C choices.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kformer.io.ragged import Integers
from kformer.modeling import Features
from kformer.modeling.input_form import Parts
from kformer.modeling.question_features import TokenisedQuestions


@dataclass(frozen=True)
class GivenFacts:
    """The candidate facts of one choice, best first: their ids, and what retrieval scored them."""

    ids: Integers
    scores: NDArray[np.float32]

    def only(self, facts: Collection[int]) -> "GivenFacts":
        """Those that are among some facts."""
        return self._where(np.isin(self.ids, list(facts)))

    def without(self, facts: Collection[int]) -> "GivenFacts":
        """Those that are not."""
        return self._where(~np.isin(self.ids, list(facts)))

    def _where(self, is_given: NDArray[np.bool_]) -> "GivenFacts":
        return GivenFacts(self.ids[is_given], self.scores[is_given])


def found_facts(questions: TokenisedQuestions, row: int) -> list[GivenFacts]:
    """What was found for each of the C choices of the question in a row of the table."""
    facts = questions.facts
    assert facts is not None
    first, end = questions.first_choices[row : row + 2]
    pairs = zip(facts.of_question(row), facts.scores_of_question(row), strict=True)
    found = [GivenFacts(ids, scores) for ids, scores in pairs]
    return found if len(found) > 1 else found * int(end - first)


def with_facts(questions: TokenisedQuestions, row: int, given: Sequence[GivenFacts]) -> Features:
    """The inputs of the question in a row of the table with these facts for each of its choices."""
    ids = [each.ids for each in given]
    reads_scores = questions.processor.config.scores_in_keys
    scores = [each.scores for each in given] if reads_scores else ()
    first, end = questions.first_choices[row : row + 2].tolist()
    choices = np.diff(questions.choices.offsets[first : end + 1])
    parts = Parts(
        np.array([_text_length(questions, each) for each in ids]),
        len(questions.context[row]),
        len(questions.question[row]),
    )
    return questions.features(row, ids, scores, questions.processor.form.kept(parts, choices))


def _text_length(questions: TokenisedQuestions, facts: Integers) -> int:
    """How many tokens of these facts are read as text."""
    processor = questions.processor
    if not processor.facts_as_text:
        return 0
    assert questions.facts is not None
    return len(questions.facts.tokens(facts[: processor.config.facts]).values)


def only_choices(features: Features, choices: Sequence[int]) -> Features:
    """Some of a question's inputs, which are made with facts for each choice."""
    return replace(
        features,
        choices=[features.choices[choice] for choice in choices],
        facts=[features.facts[choice] for choice in choices] if features.facts else [],
        scores=[features.scores[choice] for choice in choices] if features.scores else (),
    )
