"""What a trained model owes to its facts, question by question.

Accuracy cannot tell whether an answer rests on the facts or would be the same without them. So a
sample of the test questions is answered again: without each single fact, without any, and with
those of another question.

Shapes: C choices, N facts kept, P injected layers.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kformer.errors import KformerError
from kformer.evaluation.choice import choose
from kformer.evaluation.gold_facts import gold_among
from kformer.evaluation.trained_model import Answer, TrainedModel
from kformer.evaluation.use_of_facts_measures import measures_of_run
from kformer.io.choices import first_equal
from kformer.io.output_names import RunFolder
from kformer.io.tables import Row, write_table
from kformer.modeling import Features
from kformer.modeling.given_facts import GivenFacts, found_facts, only_choices, with_facts
from kformer.modeling.question_features import Example, TokenisedQuestions


def measure_use_of_facts(
    run: Path,
    questions: Path,
    knowledge: tuple[Path, Path],
    out: Path,
    sample: int,
    texts: tuple[Path, Path] | None = None,
) -> dict[str, float]:
    """Writes the table of what facts do to the answers of some test questions.

    A fact is left out of all choices that read it, and nothing comes in its place. Another
    question's facts are those found for the next one of the sample, but for facts that the
    question reads itself; the model keeps of them what fits best, as always.

    Args:
        run: the folder of a training run, as for `kformer.evaluation.predict.predict`. Kept states
            are not read: all is computed anew.
        questions: the tokens of the questions.
        knowledge: the tokens of the facts, and the retrieval table.
        out: the table to write.
        sample: at most so many questions; the draw is fixed, the same for every condition and seed.
        texts: the tables of questions and facts, which tell gold facts; None = these are unknown.

    Returns:
        what `kformer.evaluation.use_of_facts_measures.measures_of_run` does.

    Raises:
        KformerError: the model reads no facts, there are fewer than two test questions, or as
            `predict` raises it.
    """
    trained = TrainedModel(RunFolder(run))
    if not trained.processor.reads_facts:
        raise KformerError(
            f"{run}: this model reads no facts, so there is no use of them to measure; name "
            "another run"
        )
    tokenised = TokenisedQuestions(trained.processor, questions, knowledge)
    examples = tokenised.answered("test", sample)
    if len(examples) < 2:
        raise KformerError(
            f"{questions}: one test question has no other one's facts to be given; give more, or "
            "set evaluation.use_of_facts_questions: 0"
        )
    answers = dict(trained.answers(examples.__getitem__, examples.lengths))
    asked = [
        _Asked(tokenised, int(row), answers[number]) for number, row in enumerate(examples.rows)
    ]
    gold = _gold_facts(tokenised, texts, asked)
    with trained.naming_the_run():
        rows = list(_rows(trained, asked, gold))
    write_table(out, "use_of_facts", rows, {"model_checksums": trained.summary.model_checksums})
    return measures_of_run(rows, trained.model.config.injection_layers[0])


class _Variant(NamedTuple):
    """A question with other facts for some of its choices."""

    choices: Sequence[int]
    features: Features
    """of these choices alone"""


@dataclass(frozen=True)
class _Asked:
    """A question of the sample, answered with the facts that were found for it."""

    questions: TokenisedQuestions
    row: int
    answer: Answer

    @property
    def example(self) -> Example:
        return self.answer.example

    @property
    def read(self) -> list[list[int]]:
        """The ids of the facts that each of the C choices read."""
        return [[fact.id for fact in facts] for facts in self.answer.read]

    @property
    def facts(self) -> list[int]:
        """All facts that were read, each once."""
        return list(dict.fromkeys(chain.from_iterable(self.read)))

    def variants(self, other: "_Asked") -> Iterator[_Variant]:
        """The question without facts, with those of another one, and without each of its own."""
        found, of_other = (found_facts(each.questions, each.row) for each in (self, other))
        own = self.facts
        others = [of_other[choice % len(of_other)].without(own) for choice in range(len(found))]
        yield self._with([each.only(()) for each in found], range(len(found)))
        yield self._with(others, range(len(found)))
        for fact in own:
            pairs = zip(found, self.read, strict=True)
            left = [each.only({*ids} - {fact}) for each, ids in pairs]
            yield self._with(left, [c for c, ids in enumerate(self.read) if fact in ids])

    def _with(self, given: Sequence[GivenFacts], choices: Sequence[int]) -> _Variant:
        features = with_facts(self.questions, self.row, given)
        return _Variant(choices, only_choices(features, choices))

    def outcome(self, logits: Mapping[int, float]) -> tuple[float, int]:
        """The margin of the right choice, and the choice that is chosen.

        Args:
            logits: of the choices with other facts; the others keep theirs.
        """
        example = self.example
        assert example.answer is not None  # as of all test questions
        of_all = [logits.get(*each) for each in enumerate(self.answer.logits)]
        chosen = choose(example.question_id, example.choices, example.answer, of_all).chosen
        right = first_equal(example.choices, example.answer)
        others = (
            logit
            for choice, logit in enumerate(of_all)
            if first_equal(example.choices, choice) != right
        )
        of_right = of_all[example.answer]
        return of_right - max(others, default=of_right), chosen

    def activations(self, fact: int) -> list[float]:
        """How strongly a fact fired in each layer, (P,), the mean over the choices that read it."""
        read = (each for facts in self.answer.read for each in facts if each.id == fact)
        fired = [each.fired for each in read if each.fired is not None]
        means: list[float] = np.mean(fired, axis=0).tolist() if fired else []
        return means


def _gold_facts(
    tokenised: TokenisedQuestions, texts: tuple[Path, Path] | None, asked: Sequence[_Asked]
) -> Mapping[str, Set[int]]:
    """Which of the facts that a question read are gold, where that is known."""
    if texts is None:
        return {}
    assert tokenised.facts is not None
    tokens = (tokenised.table, tokenised.facts.table)
    return gold_among(*texts, tokens, {each.example.question_id: each.facts for each in asked})


def _rows(
    trained: TrainedModel, asked: Sequence[_Asked], gold: Mapping[str, Set[int]]
) -> Iterator[Row]:
    """Rows of the table, in the order of the questions."""
    nexts = [*asked[1:], asked[0]]
    variants = [list(each.variants(other)) for each, other in zip(asked, nexts, strict=True)]
    features = [variant.features for variant in chain.from_iterable(variants)]
    answers = iter(trained.outputs(features))
    for each, other, of_question in zip(asked, nexts, variants, strict=True):
        outcomes = [
            each.outcome(dict(zip(variant.choices, next(answers).logits, strict=True)))
            for variant in of_question
        ]
        yield _row(each, other, outcomes, gold.get(each.example.question_id))


def _row(
    asked: _Asked,
    other: _Asked,
    outcomes: Sequence[tuple[float, int]],
    gold: Set[int] | None,
) -> Row:
    """A row of the table, of the outcomes of all variants in their order."""
    margin, prediction = asked.outcome({})
    without_facts, with_others, *left_out = outcomes
    return {
        "question_id": asked.example.question_id,
        "split": asked.example.split,
        "answer": asked.example.answer,
        "margin": margin,
        "prediction": prediction,
        "margin_without_facts": without_facts[0],
        "prediction_without_facts": without_facts[1],
        "other_question_id": other.example.question_id,
        "margin_with_other_facts": with_others[0],
        "prediction_with_other_facts": with_others[1],
        "fact_ids": asked.read,
        "facts": [
            {
                "fact_id": fact,
                "margin_gain": margin - margin_without,
                "prediction_without": chosen,
                "is_gold": None if gold is None else fact in gold,
                "activations": asked.activations(fact),
            }
            for fact, (margin_without, chosen) in zip(asked.facts, left_out, strict=True)
        ],
    }
