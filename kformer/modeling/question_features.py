"""Tokenised questions with their candidate facts, read from the tables."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from kformer.errors import KformerError
from kformer.io.tables import (
    Row,
    check_retrieved_for,
    check_retrieved_from,
    read_column,
    read_rows,
)
from kformer.modeling import Features, KformerProcessor
from kformer.progress import track


@dataclass(frozen=True)
class Example:
    """One tokenised question, with what its predictions are reported by.

    Attributes:
        choices: their texts.
        candidates: the ids of its candidate facts: one list, or one per choice.
    """

    question_id: str
    split: str
    choices: Sequence[str]
    answer: int
    features: Features
    candidates: list[list[int]]


class Examples(Dataset[Example]):
    """Questions in memory."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each question's longest choice."""
        return [example.features.length for example in self.examples]

    @property
    def fact_tokens(self) -> set[int]:
        """All tokens of all candidate facts."""
        tokens: set[int] = set()
        for example in self.examples:
            for facts in example.features.facts:
                tokens.update(*facts)
        return tokens

    @property
    def inputs_cut(self) -> int:
        """How many inputs lost a part of their question or context."""
        return sum(example.features.cut for example in self.examples)


class Knowledge:
    """The candidate facts of each question, as retrieval found them."""

    def __init__(self, questions: Path, facts: Path, retrieval: Path) -> None:
        """Reads both tables; raises KformerError unless they belong together, and to these
        questions."""
        check_retrieved_for(questions, retrieval)
        check_retrieved_from(facts, retrieval)
        self._texts: list[str] = read_column(facts, "text").to_pylist()
        self._found: dict[str, list[Row]] = defaultdict(list)
        for row in read_rows(retrieval, "retrieval"):
            self._found[row["question_id"]].append(row)

    def candidates(self, question_id: str) -> list[list[int]]:
        """Fact ids, best first: one list for the question, or one per choice.

        Raises:
            KformerError: the retrieval is of other questions.
        """
        if question_id not in self._found:
            raise KformerError(
                f"question {question_id!r} is not in the retrieval table; "
                "it belongs to other questions"
            )
        return [row["fact_ids"] for row in self._found[question_id]]

    def texts(self, fact_ids: Sequence[int]) -> list[str]:
        """The texts of facts."""
        return [self._texts[fact_id] for fact_id in fact_ids]


def load_examples(
    processor: KformerProcessor,
    questions: Path,
    knowledge: Knowledge | None,
    split: str,
    limit: int | None = None,
) -> Examples:
    """Tokenises the questions of one split.

    Args:
        processor: of the model that will read them.
        questions: the questions table.
        knowledge: None when the model reads no facts.
        split: which questions.
        limit: at most so many; the draw is fixed, the same for every condition and seed.

    Raises:
        KformerError: the model reads facts and is given none, or an input cannot be made.
    """
    if processor.reads_facts and knowledge is None:
        raise KformerError(
            f"{questions}: a model with injection {processor.config.injection} reads facts; give "
            "the facts and the retrieval table for these questions, too"
        )
    rows = [row for row in read_rows(questions, "questions") if row["split"] == split]
    if limit is not None and limit < len(rows):
        drawn = sorted(random.Random(0).sample(range(len(rows)), limit))
        rows = [rows[i] for i in drawn]
    return Examples(list(_examples(processor, rows, knowledge, split)))


def _examples(
    processor: KformerProcessor, rows: list[dict[str, Any]], knowledge: Knowledge | None, split: str
) -> Iterator[Example]:
    for row in track(rows, f"tokenising {split}", len(rows)):
        candidates = knowledge.candidates(row["question_id"]) if knowledge else []
        facts = [knowledge.texts(each) for each in candidates] if knowledge else [[]]
        given = facts[0] if len(facts) == 1 else facts
        try:
            features = processor(row["context"], row["question"], row["choices"], given)
        except KformerError as error:
            raise KformerError(f"question {row['question_id']!r}: {error}") from None
        yield Example(
            question_id=row["question_id"],
            split=split,
            choices=row["choices"],
            answer=row["answer"],
            features=features,
            candidates=candidates,
        )
