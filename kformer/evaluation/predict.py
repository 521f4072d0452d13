"""Answering the test questions with a trained model."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kformer.errors import KformerError
from kformer.evaluation.choice import choose
from kformer.evaluation.trained_model import TrainedModel, in_batches
from kformer.io.table_schemas import TEST_SPLITS
from kformer.io.tables import Row, write_table
from kformer.modeling.question_features import Examples, TokenisedQuestions
from kformer.modeling.state_store import KeptStates


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
        of each of them accuracy, questions, inputs cut, and seconds per question.

    Raises:
        KformerError: the run was not trained, its model or summary is damaged, its logits are not
            finite, the tables do not fit together or to its tokenizer, or these are not the states
            of the run.
    """
    trained = TrainedModel(run)
    kept_states = _kept_states(states, trained) if states else None
    tokenised = TokenisedQuestions(trained.processor, questions, knowledge)
    rows: list[Row] = []
    metrics: dict[str, float] = {}
    with trained.naming_the_run():
        for split in TEST_SPLITS:
            if split == "test" or tokenised.has(split):
                examples = tokenised.answered(split)
                began = time.perf_counter()
                answered = _answered(trained, examples, kept_states)
                seconds = time.perf_counter() - began
                metrics |= _metrics(split, examples, answered, seconds)
                rows += answered
    write_table(out, "predictions", rows, {"model_checksums": trained.summary.model_checksums})
    # Now nobody deletes the outputs of training any more as those of a job that was killed.
    shutil.rmtree(trained.run.finished.path, ignore_errors=True)
    return metrics


def _metrics(
    split: str, examples: Examples, rows: Sequence[Row], seconds: float
) -> dict[str, float]:
    right = sum(row["prediction"] == row["answer"] for row in rows)
    return {
        f"{split}_accuracy": right / len(rows),
        f"{split}_questions": len(rows),
        f"{split}_inputs_cut": examples.inputs_cut,
        f"seconds_per_{split}_question": seconds / len(rows),
    }


def _kept_states(folder: Path, trained: TrainedModel) -> KeptStates:
    """The states of a run; the model then starts at the layer that they enter."""
    kept = KeptStates(folder)
    if kept.origin.identity != trained.summary.states:
        raise KformerError(f"--states: {folder}: this run was not trained from these states")
    trained.model.states_layer = kept.origin.layer
    return kept


def _answered(trained: TrainedModel, examples: Examples, states: KeptStates | None) -> list[Row]:
    """Rows of the predictions table, in the order of the questions."""
    answered = _longest_first(trained, examples, states)
    rows = {row["question_id"]: row for row in answered}
    return [rows[question_id] for question_id in examples.question_ids]


def _longest_first(
    trained: TrainedModel, examples: Examples, states: KeptStates | None
) -> Iterator[Row]:
    for numbers in in_batches(examples.longest_first):
        batch = [examples[number] for number in numbers]
        of_batch = states.padded(batch) if states else None
        answers = trained.answers([example.features for example in batch], of_batch)
        for example, answer in zip(batch, answers, strict=True):
            choice = choose(example.question_id, example.choices, example.answer, answer.logits)
            yield {
                "question_id": example.question_id,
                "split": example.split,
                "answer": example.answer,
                "prediction": choice.chosen,
                "tied": choice.is_tied,
                "logits": answer.logits,
                "fact_ids": trained.facts_read(example, answer),
            }
