"""Which of the facts that a model read are gold, known to answer the question."""

from collections.abc import Collection, Mapping
from pathlib import Path

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of
from kformer.io.tables import read_columns, take_rows
from kformer.io.token_tables import TokenTable


def gold_among(
    questions: Path,
    facts: Path,
    tokens: tuple[TokenTable, TokenTable],
    read: Mapping[str, Collection[int]],
) -> dict[str, set[int]]:
    """The gold ones among the facts of each question; without those that name no gold facts.

    Args:
        questions: their table, which names gold facts by their texts.
        facts: their table.
        tokens: those of both tables.
        read: the ids of facts, by the ids of questions.

    Raises:
        KformerError: tokens were made from another table.
    """
    for table, made in zip((questions, facts), tokens, strict=True):
        if sha256_of(table) != made.made_of:
            raise KformerError(f"{table}: {made.path} was made from another table; give that one")
    named = {
        row["question_id"]: row["gold_facts"]
        for batch in read_columns(questions, "questions", ["question_id", "gold_facts"])
        for row in batch.to_pylist()
        if row["gold_facts"] and row["question_id"] in read
    }
    ids = sorted({fact for question_id in named for fact in read[question_id]})
    rows = take_rows(facts, "facts", ids)
    texts = {fact: row["text"] for fact, row in zip(ids, rows, strict=True)}
    return {
        question_id: {fact for fact in read[question_id] if texts[fact] in gold}
        for question_id, gold in named.items()
    }
