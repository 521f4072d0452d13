"""Answering the test questions with a trained model."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from kformer.evaluation.trained_model import Answer, TrainedModel
from kformer.io.output_names import RunFolder
from kformer.io.table_schemas import TEST_SPLITS
from kformer.io.tables import Row, write_table
from kformer.modeling.question_features import Examples, TokenisedQuestions


def predict(
    run: Path,
    questions: Path,
    knowledge: tuple[Path, Path] | None,
    out: Path,
    states: Path | None = None,
) -> dict[str, float]:
    """Writes the predictions table for the test questions, and then those of the extra test if any.

    Args:
        run: the folder of a training run, with its ``model/`` and ``training.json``; the model
            computes in the precision that it was trained in.
        questions: the tokens of the questions, see `kformer.modeling.featurize`.
        knowledge: the tokens of the facts, and the retrieval table; None when no facts are read.
        out: the table to write.
        states: the folder of kept states that the run was trained from; None = computed anew.

    Returns:
        of each of them accuracy, questions, inputs cut, and seconds per question; and, but with
        kept states, see `TrainedModel.flops_per_question`.

    Raises:
        KformerError: the run was not trained, its model or summary is damaged, its logits are not
            finite, the tables do not fit together or to its tokenizer, or these are not the states
            of the run.
    """
    trained = TrainedModel(RunFolder(run), states)
    tokenised = TokenisedQuestions(trained.processor, questions, knowledge)
    rows: list[Row] = []
    metrics: dict[str, float] = {}
    asked = {
        split: tokenised.answered(split)
        for split in TEST_SPLITS
        if split == "test" or tokenised.has(split)
    }
    for split, examples in asked.items():
        began = time.perf_counter()
        answered = _rows(trained, examples)
        seconds = time.perf_counter() - began
        metrics |= _metrics(split, examples, answered, seconds)
        rows += answered
    noted = {"model_checksums": trained.summary.model_checksums}
    if states is None:
        metrics["flops_per_question"] = trained.flops_per_question(asked["test"])
        noted["flops_per_question"] = str(round(metrics["flops_per_question"]))
    write_table(out, "predictions", rows, noted)
    # Now nobody deletes the outputs of training any more as those of a job that was killed.
    shutil.rmtree(trained.run.finished.path, ignore_errors=True)
    return metrics


def _metrics(
    split: str, examples: Examples, rows: Sequence[Row], seconds: float
) -> dict[str, float]:
    return {
        f"{split}_accuracy": sum(row["credit"] for row in rows) / len(rows),
        f"{split}_questions": len(rows),
        f"{split}_inputs_cut": examples.inputs_cut,
        f"seconds_per_{split}_question": seconds / len(rows),
    }


def _rows(trained: TrainedModel, examples: Examples) -> list[Row]:
    """Rows of the predictions table, in the order of the questions."""
    answers = trained.answers(examples.__getitem__, examples.lengths)
    rows = {number: _row(answer) for number, answer in answers}
    return [rows[number] for number in range(len(examples))]


def _row(answer: Answer) -> Row:
    example, choice = answer.example, answer.choice
    return {
        "question_id": example.question_id,
        "split": example.split,
        "answer": example.answer,
        "prediction": choice.chosen,
        "tied": choice.is_tied,
        "credit": choice.credit,
        "inputs_cut": example.features.cut,
        "logits": answer.logits,
        "fact_ids": [[fact.id for fact in facts] for facts in answer.read],
    }
