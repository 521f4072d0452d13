"""Answering by retrieval alone, without training: the choice whose query scored best."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from kformer.errors import KformerError
from kformer.evaluation.choice import choose
from kformer.io.table_schemas import TEST_SPLITS
from kformer.io.tables import Row, check_retrieved_for, read_rows, write_table


def answer_by_retrieval(questions: Path, retrieval: Path, out: Path) -> dict[str, float]:
    """Writes predictions for the test questions, and then those of the extra test if there are any.

    A choice's logit is its query's best score.

    Where choices tie, or nothing was found, one of them is drawn and counts as much as guessing
    among them, see `choose`.

    Returns:
        of each of them accuracy, number of questions, and how many of them were tied.

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
    totals: dict[str, Counter[str]] = {split: Counter() for split in TEST_SPLITS}

    def rows() -> Iterator[Row]:
        for split, counts in totals.items():
            for question in read_rows(questions, "questions"):
                if question["split"] == split:
                    row = _answered(question, found[question["question_id"]], retrieval)
                    counts["questions"] += 1
                    counts["right"] += row["credit"] or 0
                    counts["tied"] += row["tied"]
                    yield row

    write_table(out, "predictions", rows())
    metrics: dict[str, float] = {}
    for split, counts in totals.items():
        if split == "test" or counts:
            metrics[f"{split}_questions"] = counts["questions"]
            metrics[f"{split}_accuracy"] = counts["right"] / max(counts["questions"], 1)
            metrics[f"{split}_questions_tied"] = counts["tied"]
    return metrics


def _answered(question: Row, by_choice: Mapping[int, Row], retrieval: Path) -> Row:
    """A row of the predictions table.

    Raises:
        KformerError: there is not one query per choice.
    """
    name, answer = question["question_id"], question["answer"]
    if sorted(by_choice) != list(range(len(question["choices"]))):
        raise KformerError(
            f"{retrieval}: question {name!r} does not have one query per choice; the table belongs "
            "to other questions"
        )
    per_choice = [by_choice[i] for i in range(len(by_choice))]
    logits = [max(row["scores"], default=0.0) for row in per_choice]
    choice = choose(name, question["choices"], answer, logits)
    return {
        "question_id": name,
        "split": question["split"],
        "answer": answer,
        "prediction": choice.chosen,
        "tied": choice.is_tied,
        "credit": choice.credit,
        "inputs_cut": 0,
        "logits": logits,
        "fact_ids": [row["fact_ids"][:1] for row in per_choice],
    }
