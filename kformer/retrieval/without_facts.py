"""Stopping where a retrieval finds nothing for most queries."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from kformer.errors import KformerError
from kformer.io.tables import read_columns

_EXAMPLE = 60  # characters


class WithoutFacts:
    """Counts the queries that found no fact, among all queries of a retrieval."""

    def __init__(self) -> None:
        self._queries = self._empty = 0
        self._example: str | None = None  # the id of a question

    def add(self, table: pa.Table) -> None:
        """Counts the rows of (a part of) a retrieval table."""
        empty = table.filter(pc.equal(pc.list_value_length(table["fact_ids"]), 0))
        self._queries += table.num_rows
        self._empty += empty.num_rows
        if self._example is None and empty.num_rows:
            self._example = empty["question_id"][0].as_py()

    def check(self, allowed: float, questions: Path, has_match: bool) -> None:
        """Refuses what would compare conditions without facts.

        Args:
            allowed: which share of the queries may find nothing.
            questions: the questions table.
            has_match: whether facts must match the type of the question.

        Raises:
            KformerError: more have found nothing; the message has an example.
        """
        if not self._empty or self._empty <= allowed * self._queries:
            return
        text = " ".join(self._text_of_example(questions).split())[:_EXAMPLE]
        reason = "questions and facts share no words"
        if has_match:
            reason = f"retrieval.match asks for relations that few facts have, or {reason}"
        raise KformerError(
            f"retrieval: {self._empty:,} of {self._queries:,} queries "
            f"({self._empty / self._queries:.0%}) found no fact, such as that of question "
            f"{self._example!r}, {text!r}, and retrieval.max_without_facts is {allowed:g}; "
            f"probably {reason}: check language and content of both, or use retrieval.method: "
            "dense; to go on all the same, and to read the report on this retrieval, set "
            "retrieval.max_without_facts: 1"
        )

    def _text_of_example(self, questions: Path) -> str:
        for batch in read_columns(questions, "questions", ["question_id", "question"]):
            found = batch.filter(pc.equal(batch["question_id"], self._example))
            if found.num_rows:
                return found["question"][0].as_py()
        return ""
