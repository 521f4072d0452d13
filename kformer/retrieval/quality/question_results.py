"""The results of a retrieval, question by question."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from kformer.errors import KformerError
from kformer.io.tables import Row, read_rows
from kformer.retrieval.query import Query, query_of
from kformer.retrieval.settings import Retrieval


class QuestionResults(NamedTuple):
    """A question, its queries and what they found.

    Attributes:
        question: its row of the questions table.
        query: what was searched for, for the question or for each of its choices.
        rows: of the retrieval table: one, or one per choice in the order of the choices.
    """

    question: Row
    query: Query
    rows: Sequence[Row]

    @property
    def per_choice(self) -> bool:
        return self.rows[0]["choice"] is not None

    def row_number(self, choice: int) -> int:
        """Which of the rows holds the facts for a choice."""
        return choice if self.per_choice else 0


def read_results(
    questions: Path, retrieval: Path, settings: Retrieval
) -> Iterator[QuestionResults]:
    """Streams questions together with their results, which have to come in the same order.

    Args:
        questions, retrieval: the tables.
        settings: those that the table was retrieved with.

    Raises:
        KformerError: the tables do not belong together.
    """
    groups = groupby(read_rows(retrieval, "retrieval"), key=lambda row: row["question_id"])
    for question in read_rows(questions, "questions"):
        retrieved_id, group = next(groups, (None, iter(())))
        question_id = question["question_id"]
        if retrieved_id != question_id:
            raise _mismatch(questions, question_id)
        query, rows = query_of(question, settings), list(group)
        choices = range(len(query.suffixes)) if settings.query == "choice" else [None]
        if [row["choice"] for row in rows] != list(choices):
            raise KformerError(
                f"{retrieval}: question {question_id!r} should have {len(query.suffixes)} queries, "
                f"by retrieval.query: {settings.query}, in the order of its choices; the table "
                "belongs to different questions"
            )
        yield QuestionResults(question, query, rows)
    for retrieved_id, _ in groups:
        raise _mismatch(questions, retrieved_id)


def _mismatch(questions: Path, question_id: str) -> KformerError:
    return KformerError(
        f"{questions}: question {question_id!r} is in only one of the questions and the "
        "retrieval table, or their order differs; the two belong to different data"
    )
