"""One training run: an encoder, an injection method, a seed.

Training is Hugging Face's `Trainer`. What is added here: batches of similar length whose order
depends on seed and epoch alone, so that a killed run resumes exactly where it stopped; checkpoints
that only count when they are complete; and the measurements that the comparison shows with the
accuracy.
"""

import os
import resource
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, Trainer, TrainerState, set_seed
from transformers.utils import logging as transformers_logging

from kformer.compute_precision import computes_in_bf16
from kformer.errors import KformerError
from kformer.io.file_writing import replacing, sha256_of
from kformer.io.output_names import RunFolder
from kformer.io.training_summary import TrainingSummary
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.pretrained import load_tokenizer
from kformer.modeling.question_features import Knowledge, load_examples
from kformer.modeling.settings import Model
from kformer.training.checkpoints import STATE, last_checkpoint, remove_checkpoints, steps_done
from kformer.training.settings import TrainSettings
from kformer.training.trainer import (
    LengthGroupedTrainer,
    Log,
    Reporter,
    Stopwatch,
    accuracy,
    collate,
    training_arguments,
)


def train(
    settings: TrainSettings,
    seed: int,
    questions: Path,
    knowledge: tuple[Path, Path] | None,
    out: Path,
    checkpoints: Path,
    log: Log,
    version: str,
) -> dict[str, float | None]:
    """Trains one model and keeps the checkpoint with the best validation accuracy.

    Args:
        settings: model and training.
        seed: of the initialisation, of dropout and of the order of questions.
        questions: the questions table.
        knowledge: the facts and the retrieval table; None when no facts are read.
        out: the run's folder; gets ``model/`` and ``training.json``.
        checkpoints: a folder for unfinished training. The last checkpoint in it is resumed if it
            belongs to the same settings, inputs and version; the folder is removed in the end.
        log: takes metrics and the step they were measured at, while training; it is flushed before
            each checkpoint.
        version: of this stage, and of the code of an injection from another package; noted, since
            runs of different versions cannot be compared.

    Returns:
        what was measured, as in ``training.json``.

    Raises:
        KformerError: encoder missing, layers out of range, tables that do not fit together, or
            one of several processes.
    """
    began = time.monotonic()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise KformerError("WORLD_SIZE: a run is one process; start it without torchrun")
    transformers_logging.disable_progress_bar()  # those of loading and saving, not of training
    set_seed(seed)
    model = build_model(settings.model)
    if settings.training.gradient_checkpointing:
        model.activation_checkpointing_enable()
    processor = KformerProcessor(load_tokenizer(settings.model.encoder), model.config)
    facts = Knowledge(*knowledge) if knowledge else None
    limit = settings.training.max_train_questions
    training_set = load_examples(processor, questions, facts, "train", limit)
    validation_set = load_examples(processor, questions, facts, "validation")
    counts = parameter_counts(model)
    if model.fact_embeddings is not None:
        model.fact_embeddings.train_only(training_set.fact_tokens)

    bf16 = computes_in_bf16(settings.training.precision)
    stopwatch = Stopwatch()
    trainer = LengthGroupedTrainer(
        model=model,
        args=training_arguments(settings.training, len(training_set), seed, checkpoints, bf16),
        data_collator=lambda batch: collate(processor, batch),
        train_dataset=training_set,
        eval_dataset=validation_set,
        compute_metrics=accuracy,
        callbacks=[stopwatch, Reporter(log, "/".join(out.parts[-2:]))],
    )
    trainer.remove_callback(PrinterCallback)  # `Reporter` prints the same, readably
    inputs = [sha256_of(path) for path in (questions, *(knowledge or ()))]
    identity = {"seed": seed, "version": version, "inputs": inputs}
    _fit(trainer, checkpoints, identity | settings.model_dump(mode="json"))

    summary = TrainingSummary(
        seed=seed,
        steps=trainer.state.global_step,
        seconds_per_step=stopwatch.seconds_per_step,
        train_seconds=time.monotonic() - began,
        validation_accuracy=trainer.state.best_metric,
        best_step=trainer.state.best_global_step,
        train_questions=len(training_set),
        inputs_cut=training_set.inputs_cut + validation_set.inputs_cut,
        **counts,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        precision="bf16" if bf16 else "fp32",
        device=str(model.device),
        version=version,
    )
    _save(RunFolder(out), model, processor)
    summary.write(RunFolder(out).summary)
    remove_checkpoints(checkpoints)
    return summary.measured


def _fit(trainer: Trainer, checkpoints: Path, identity: Mapping[str, Any]) -> None:
    """Trains to the end, from the last checkpoint of the same run on; the best weights are kept."""
    last = last_checkpoint(checkpoints, identity)
    if last and steps_done(last) >= trainer.args.max_steps:
        # Trainer would take one step more.
        trainer.state = TrainerState.load_from_json(str(last / STATE))
        trainer._load_best_model()
    else:
        trainer.train(resume_from_checkpoint=str(last) if last else None)


def _save(run: RunFolder, model: KformerForMultipleChoice, processor: KformerProcessor) -> None:
    shutil.rmtree(run.model, ignore_errors=True)  # of a run that was killed after saving
    with replacing(run.model) as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)


def build_model(settings: Model) -> KformerForMultipleChoice:
    """A fresh model from its settings; raises KformerError as `from_encoder` does."""
    return KformerForMultipleChoice.from_encoder(
        settings.encoder, **settings.model_dump(exclude={"encoder"})
    )


def parameter_counts(model: KformerForMultipleChoice) -> dict[str, int]:
    """All parameters, and those that the injection adds to encoder and head."""
    total = sum(parameter.numel() for parameter in model.parameters())
    own = [*model.encoder.parameters(), *model.head.parameters()]
    return {
        "parameters": total,
        "added_parameters": total - sum(parameter.numel() for parameter in own),
    }
