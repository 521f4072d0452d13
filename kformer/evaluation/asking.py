"""Questions that are asked outside of a study, answered by the model of a run.

Shapes: C choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scipy.special import softmax

from kformer.errors import KformerError
from kformer.evaluation.trained_model import Answer, TrainedModel
from kformer.io.tables import Row
from kformer.modeling.question_features import Example


class OfferedFact(NamedTuple):
    """A fact that a question is asked with."""

    text: str
    id: int | None = None
    """in the facts table that it was found in; None = it was given"""
    score: float | None = None
    """what retrieval scored it"""


Offered = Sequence[Sequence[OfferedFact]]
"""The facts of a question, best first: one list for all choices, or one for each."""


class FactInAnswer(NamedTuple):
    """A fact that the model read for a choice."""

    fact: OfferedFact
    fired: float | None
    """how strongly, the mean over the injected layers; None where it was read as text"""


@dataclass(frozen=True)
class AskedAnswer:
    """What a model answers to a question.

    Attributes:
        question: a row as `kformer.questions.asked` gives it.
        chosen: the index of a choice.
        tied: whether it was drawn among different choices with the best logit.
        logits: (C,)
        probabilities: (C,), their softmax.
        read: the facts that the model read for each choice, best first.
        cut: how many of the C inputs lost a part of their question or context.
    """

    question: Row
    chosen: int
    tied: bool
    logits: list[float]
    probabilities: list[float]
    read: list[list[FactInAnswer]]
    cut: int


def check_offered(trained: TrainedModel) -> None:
    """Raises KformerError for a model to which nobody can give facts of their own."""
    config = trained.processor.config
    if not trained.processor.reads_facts:
        raise KformerError(
            f"{trained.run.path}: its model reads no facts (injection: {config.injection}); leave "
            "facts out"
        )
    if config.scores_in_keys:
        raise KformerError(
            f"{trained.run.path}: its model also reads how its retrieval scored each fact "
            "(scores_in_keys), and a fact that is given has no such score; leave facts out, so "
            "that they are retrieved"
        )


def answer(
    trained: TrainedModel, questions: Sequence[Row], offered: Sequence[Offered]
) -> list[AskedAnswer]:
    """The answers to questions, in their order.

    Args:
        trained: the model.
        questions: rows as `kformer.questions.asked` gives them.
        offered: the facts of each question; empty lists where it has none.

    Raises:
        KformerError: a question does not fit into an input, or a logit is not a finite number.
    """
    examples = [
        _example(trained, question, facts)
        for question, facts in zip(questions, offered, strict=True)
    ]
    lengths = [example.features.length for example in examples]
    answers = dict(trained.answers(examples.__getitem__, lengths))
    return [
        _answer(question, facts, answers[number])
        for number, (question, facts) in enumerate(zip(questions, offered, strict=True))
    ]


def _example(trained: TrainedModel, question: Row, offered: Offered) -> Example:
    """A question as the model reads it; its candidates are the positions of facts in their list."""
    texts: Any = [[fact.text for fact in facts] for facts in offered]
    scores: Any = [[fact.score for fact in facts] for facts in offered]
    if len(offered) == 1:  # for all choices
        [texts], [scores] = texts, scores
    try:
        features = trained.processor(
            question["context"], question["question"], question["choices"], texts, scores
        )
    except KformerError as error:
        raise KformerError(f"question {question['question_id']!r}: {error}") from None
    return Example(
        question_id=question["question_id"],
        split="",
        choices=question["choices"],
        answer=question["answer"],
        features=features,
        candidates=[list(range(len(facts))) for facts in offered],
    )


def _mean(fired: Sequence[float] | None) -> float | None:
    return None if fired is None else sum(fired) / len(fired)


def _answer(question: Row, offered: Offered, answer: Answer) -> AskedAnswer:
    return AskedAnswer(
        question,
        answer.choice.chosen,
        answer.choice.is_tied,
        answer.logits,
        softmax(answer.logits).tolist(),
        [
            [
                FactInAnswer(offered[c if len(offered) > 1 else 0][fact.id], _mean(fact.fired))
                for fact in facts
            ]
            for c, facts in enumerate(answer.read)
        ],
        answer.example.features.cut,
    )
