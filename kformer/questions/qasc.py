"""QASC (Khot et al., AAAI 2020): science questions that take two facts to answer."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from kformer.io.ai2_records import ai2_questions
from kformer.io.tables import Row
from kformer.io.text_files import find_file
from kformer.questions.copies import comparison_form
from kformer.questions.reader import QuestionReader, hash_fraction

_ARCHIVE = "the official QASC archive"


class Qasc(QuestionReader):
    """The official archive, eight choices each: the official dev set is our test split.

    The answers of the official test are not published, so validation is carved from train: whole
    groups of questions that share gold facts, so that no fact of one is a fact of the other.
    """

    dataset: Literal["qasc"] = "qasc"
    validation_share: float = Field(default=0.1, gt=0, lt=0.25)
    """The share of the train questions that goes to validation, at most. It comes from the 28 %
    that share no fact, through others, with the rest."""
    split_seed: int = 0
    """Chooses which questions go to validation."""

    def read(self, folder: Path) -> Iterator[Row]:
        """Streams rows of the questions table: the official train file, then the dev file.

        Raises:
            KformerError: a file is missing, or a line is malformed.
        """
        train, test = (_questions(folder, name) for name in ("train.jsonl", "dev.jsonl"))
        held_out = self._held_out([row["gold_facts"] for row in train])
        for number, row in enumerate(train):
            yield {"split": "validation" if number in held_out else "train", **row}
        for row in test:
            yield {"split": "test", **row}

    def _held_out(self, facts: Sequence[Sequence[str]]) -> set[int]:
        """The numbers of the train questions that go to validation."""

        def place(group: list[int]) -> float:
            name = min(facts[number][0] for number in group)
            return hash_fraction(comparison_form(name), self.split_seed)

        held_out: set[int] = set()
        for group in sorted(groups_that_share(facts), key=place):
            if len(held_out) + len(group) <= self.validation_share * len(facts):
                held_out.update(group)
        return held_out


def _questions(folder: Path, name: str) -> list[Row]:
    path = find_file(folder, name, _ARCHIVE)
    return list(ai2_questions(path, "ABCDEFGH", ("fact1", "fact2")))


def groups_that_share(facts: Sequence[Sequence[str]]) -> list[list[int]]:
    """Groups of questions, none of which has a fact with a question of another group in common.

    Args:
        facts: those of each question.
    """
    # Reading a config must not take as long as importing these.
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[str, int] = {}
    pairs = [
        (question, numbers.setdefault(comparison_form(fact), len(numbers)))
        for question, each in enumerate(facts)
        for fact in each
    ]
    questions, known = np.array(pairs, np.int64).reshape(-1, 2).T
    nodes = len(facts) + len(numbers)  # questions first, then facts
    links = coo_array((np.ones(len(pairs)), (questions, known + len(facts))), shape=(nodes, nodes))
    _, groups = connected_components(links, directed=False)
    members: dict[int, list[int]] = {}
    for question, group in enumerate(groups[: len(facts)].tolist()):
        members.setdefault(group, []).append(question)
    return list(members.values())
