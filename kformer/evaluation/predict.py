"""Answering the test questions with a trained model."""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from kformer.errors import KformerError
from kformer.evaluation.choice import NotNumbers, choose
from kformer.io.output_names import RunFolder
from kformer.io.table_schemas import TEST_SPLITS
from kformer.io.tables import Row, write_table
from kformer.io.training_summary import TrainingSummary, read_trained
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.question_features import Example, Examples, TokenisedQuestions
from kformer.modeling.state_store import KeptStates
from kformer.progress import track

_BATCH_SIZE = 16  # questions


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
    trained = RunFolder(run)
    summary = read_trained(trained)
    bf16 = summary.precision == "bf16"
    model = KformerForMultipleChoice.from_pretrained(trained.model)
    torch.nn.Module.to(model, torch.accelerator.current_accelerator() or "cpu").eval()
    processor = KformerProcessor.from_pretrained(trained.model)
    kept_states = _kept_states(states, summary, model) if states else None
    tokenised = TokenisedQuestions(processor, questions, knowledge)
    rows: list[Row] = []
    metrics: dict[str, float] = {}
    try:
        for split in TEST_SPLITS:
            if split == "test" or tokenised.has(split):
                examples = tokenised.answered(split)
                began = time.perf_counter()
                answered = _answered(model, processor, examples, bf16, kept_states)
                seconds = time.perf_counter() - began
                metrics |= _metrics(split, examples, answered, seconds)
                rows += answered
    except NotNumbers as error:
        raise KformerError(
            f"{run}: {error}; delete this run and train it again with a lower "
            "training.learning_rate"
        ) from None
    write_table(out, "predictions", rows, {"model_checksums": summary.model_checksums})
    # Now nobody deletes the outputs of training any more as those of a job that was killed.
    shutil.rmtree(trained.finished.path, ignore_errors=True)
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


def _kept_states(
    folder: Path, summary: TrainingSummary, model: KformerForMultipleChoice
) -> KeptStates:
    """The states of a run; the model then starts at the layer that they enter."""
    kept = KeptStates(folder)
    if kept.origin.identity != summary.states:
        raise KformerError(f"--states: {folder}: this run was not trained from these states")
    model.states_layer = kept.origin.layer
    return kept


def _answered(
    model: KformerForMultipleChoice,
    processor: KformerProcessor,
    examples: Examples,
    bf16: bool,
    states: KeptStates | None,
) -> list[Row]:
    """Rows of the predictions table, in the order of the questions."""
    answered = _longest_first(model, processor, examples, bf16, states)
    rows = {row["question_id"]: row for row in answered}
    return [rows[question_id] for question_id in examples.question_ids]


def _longest_first(
    model: KformerForMultipleChoice,
    processor: KformerProcessor,
    examples: Examples,
    bf16: bool,
    states: KeptStates | None,
) -> Iterator[Row]:
    by_length = examples.longest_first
    starts = range(0, len(by_length), _BATCH_SIZE)
    for start in track(starts, "answering batches", len(starts)):
        batch = [examples[number] for number in by_length[start : start + _BATCH_SIZE]]
        inputs = processor.collate([example.features for example in batch])
        if states:
            inputs["states"] = states.padded(batch)
        on_device = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            output = model(**on_device, output_facts=True)
        kept = output.kept_facts.tolist() if output.kept_facts is not None else None
        for position, example in enumerate(batch):
            logits = output.logits[position, : len(example.features.choices)].tolist()
            choice = choose(example.question_id, example.choices, example.answer, logits)
            yield {
                "question_id": example.question_id,
                "split": example.split,
                "answer": example.answer,
                "prediction": choice.chosen,
                "tied": choice.is_tied,
                "credit": choice.credit,
                "inputs_cut": example.features.cut,
                "logits": logits,
                "fact_ids": _read_facts(example, processor, kept[position] if kept else None),
            }


def _read_facts(example: Example, processor: KformerProcessor, kept: Any) -> list[list[int]]:
    """The ids of the facts that the model read, per choice.

    Args:
        kept: (C, N) positions among the candidates, -1 for none; None if none were injected.
    """
    choices = len(example.features.choices)
    candidates = example.candidates
    if not candidates or (kept is None and not processor.facts_as_text):
        return [[] for _ in range(choices)]
    per_choice = [candidates[i if len(candidates) > 1 else 0] for i in range(choices)]
    if kept is None:  # facts were given as text
        return [ids[: processor.config.facts] for ids in per_choice]
    return [[ids[i] for i in kept[c] if i >= 0] for c, ids in enumerate(per_choice)]
