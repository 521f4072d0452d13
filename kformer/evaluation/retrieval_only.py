"""Answering by retrieval alone: no training, the choice whose query scored best."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from kformer.errors import KformerError
from kformer.io.tables import Row, read_rows, write_table


def answer_by_retrieval(questions: Path, retrieval: Path, out: Path) -> dict[str, float]:
    """Writes predictions for the test questions; a choice's logit is its query's best score.

    Ties, and questions for which nothing was found, go to the first of the choices.
    """
    found: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in read_rows(retrieval, "retrieval"):
        if row["choice"] is None:
            raise KformerError(
                f"{retrieval}: one query per question tells nothing about its choices; "
                "set retrieval.query: choice"
            )
        found[row["question_id"]][row["choice"]] = row
    right = 0

    def rows() -> Iterator[Row]:
        nonlocal right
        for question in read_rows(questions, "questions"):
            if question["split"] != "test":
                continue
            own = found[question["question_id"]]
            if sorted(own) != list(range(len(question["choices"]))):
                raise KformerError(
                    f"{retrieval}: question {question['question_id']!r} does not have one query "
                    "per choice; the table belongs to other questions"
                )
            per_choice = [own[i] for i in range(len(own))]
            logits = [max(row["scores"], default=0.0) for row in per_choice]
            prediction = logits.index(max(logits))
            right += prediction == question["answer"]
            yield {
                "question_id": question["question_id"],
                "split": "test",
                "answer": question["answer"],
                "prediction": prediction,
                "logits": logits,
                "fact_ids": [row["fact_ids"][:1] for row in per_choice],
            }

    written = write_table(out, "predictions", rows())
    return {"test_questions": written, "test_accuracy": right / max(written, 1)}
