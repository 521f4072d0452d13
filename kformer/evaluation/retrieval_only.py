"""Answering by retrieval alone, without training: the choice whose query scored best."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from kformer.errors import KformerError
from kformer.evaluation.choice import choose
from kformer.io.tables import Row, check_retrieved_for, read_rows, write_table


def answer_by_retrieval(questions: Path, retrieval: Path, out: Path) -> dict[str, float]:
    """Writes predictions for the test questions; a choice's logit is its query's best score.

    Where choices tie, or nothing was found, one of them is drawn, see `choose`.

    Returns:
        accuracy, number of questions, and how many of them were tied.

    Raises:
        KformerError: the retrieval has one query per question, or is of other questions.
    """
    check_retrieved_for(questions, retrieval)
    found: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in read_rows(retrieval, "retrieval"):
        if row["choice"] is None:
            raise KformerError(
                f"{retrieval}: one query per question cannot rank its choices; "
                "set retrieval.query: choice"
            )
        found[row["question_id"]][row["choice"]] = row
    right = tied = 0

    def rows() -> Iterator[Row]:
        nonlocal right, tied
        for question in read_rows(questions, "questions"):
            if question["split"] != "test":
                continue
            by_choice = found[question["question_id"]]
            if sorted(by_choice) != list(range(len(question["choices"]))):
                raise KformerError(
                    f"{retrieval}: question {question['question_id']!r} does not have one query "
                    "per choice; the table belongs to other questions"
                )
            per_choice = [by_choice[i] for i in range(len(by_choice))]
            logits = [max(row["scores"], default=0.0) for row in per_choice]
            name, answer = question["question_id"], question["answer"]
            prediction, is_tied = choose(name, question["choices"], answer, logits)
            right += prediction == answer
            tied += is_tied
            yield {
                "question_id": name,
                "split": "test",
                "answer": answer,
                "prediction": prediction,
                "tied": is_tied,
                "logits": logits,
                "fact_ids": [row["fact_ids"][:1] for row in per_choice],
            }

    written = write_table(out, "predictions", rows())
    return {
        "test_questions": written,
        "test_accuracy": right / max(written, 1),
        "test_questions_tied": tied,
    }
