"""The candidate facts of each question, as retrieval found them, and their tokens.

Shapes: Q questions of a table, K lists of facts, one for a question or one for each choice.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kformer.errors import KformerError
from kformer.io.ragged import Integers, Ragged, ranges
from kformer.io.tables import check_retrieved_for, check_retrieved_from, read_columns
from kformer.io.token_tables import TokenTable, open_token_table


class CandidateFacts:
    """The facts that were found for some questions.

    Attributes:
        table: the tokens of all facts.
        lists: (Q + 1,), which of the K lists belong to each question: those from its number on,
            up to that of the next question.
    """

    def __init__(self, questions: TokenTable, facts: Path, retrieval: Path, longest: int) -> None:
        """Reads what was retrieved.

        Args:
            questions: for which it was.
            facts: the table of their tokens.
            retrieval: what was found.
            longest: tokens of a fact; those behind are left out.

        Raises:
            KformerError: the tables do not belong together.
        """
        self.table = open_token_table(facts, "fact_tokens")
        check_retrieved_for(questions.path, retrieval, questions.made_of)
        check_retrieved_from(facts, retrieval, self.table.made_of)
        self._tokens, self._longest = self.table.tokens("text"), longest
        found, scores, asked = _read(retrieval)
        self._check_ids(found.values, facts, retrieval)
        numbers = _numbers_of(asked, questions)
        order = np.argsort(numbers, kind="stable")
        self.lists: Integers = np.searchsorted(numbers[order], np.arange(len(questions) + 1))
        self._ids = found.heads(order, found.longest)
        self._scores = scores[ranges(found.offsets[order], found.lengths[order])]

    def scores_of_question(self, number: int) -> list[NDArray[np.float32]]:
        """The scores that retrieval gave its facts, in lists as those of `of_question`."""
        first, end = self.lists[number : number + 2]
        bounds = self._ids.offsets[first : end + 1].tolist()
        return [self._scores[slice(*each)] for each in pairwise(bounds)]

    def scores(self, lists: Integers) -> NDArray[np.float32]:
        """The scores of all facts in some lists."""
        return self._scores[ranges(self._ids.offsets[lists], self._ids.lengths[lists])]

    def of_question(self, number: int) -> list[Integers]:
        """The ids of its facts, best first: one list, or one for each choice."""
        return [self._ids[each] for each in range(self.lists[number], self.lists[number + 1])]

    def tokens(self, facts: Integers) -> Ragged:
        """The tokens of some facts."""
        return self._tokens.heads(facts, self._longest)

    def joined_lengths(self, lists: Integers, facts: int) -> Integers:
        """How many tokens the first few facts of some lists have together."""
        first = self._ids.heads(lists, facts)
        sums = np.concatenate([[0], self._lengths_of(first.values).cumsum()])
        return np.diff(sums[first.offsets])

    def tokens_of(self, lists: Integers) -> Integers:
        """All different tokens of the facts in some lists."""
        facts = np.unique(self._ids.heads(lists, self._ids.longest).values)
        return np.unique(self.tokens(facts).values)

    def _lengths_of(self, facts: Integers) -> Integers:
        offsets = self._tokens.offsets
        return np.minimum(offsets[facts + 1] - offsets[facts], self._longest)

    def _check_ids(self, ids: Integers, facts: Path, retrieval: Path) -> None:
        unknown = ids[(ids < 0) | (ids >= len(self._tokens))]
        if len(unknown):
            raise KformerError(
                f"{retrieval}: names fact {unknown[0]}, and {facts} has {len(self._tokens):,} "
                "facts; give the facts that were searched, or retrieve again"
            )


def _read(retrieval: Path) -> tuple[Ragged, NDArray[np.float32], pa.ChunkedArray]:
    """The facts of each row of a retrieval table, their scores, and the id of its question."""
    columns = ["question_id", "fact_ids", "scores"]
    batches = list(read_columns(retrieval, "retrieval", columns))
    values = [batch["fact_ids"].flatten().to_numpy() for batch in batches]
    lengths = [pc.list_value_length(batch["fact_ids"]).to_numpy() for batch in batches]
    none = np.zeros(1, np.int64)
    offsets = np.concatenate([none, *lengths]).cumsum()
    found = Ragged(np.concatenate([*values, none[:0]]), offsets)
    scores = [batch["scores"].flatten().to_numpy() for batch in batches]
    scored = np.concatenate([*scores, np.zeros(0, np.float32)])
    ids = [batch["question_id"] for batch in batches]
    return found, scored, pa.chunked_array(ids, pa.string()).cast(pa.large_string())


def _numbers_of(asked: pa.ChunkedArray, questions: TokenTable) -> Integers:
    """The rows of questions in their table, -1 for those that are not in it."""
    rows = pc.index_in(asked, value_set=questions.columns["question_id"])
    return rows.fill_null(-1).to_numpy()
