"""One training run: an encoder, an injection method, a seed.

Training is Hugging Face's `Trainer`. What is added here: batches of similar length whose order
depends on seed and epoch alone, so that a killed run resumes exactly where it stopped; checkpoints
that only count when they are whole; an end at the first number that is none; and the measurements
that the comparison shows with the accuracy.
"""

import os
import resource
from pathlib import Path
from typing import Any, Literal

from transformers import PrinterCallback, set_seed
from transformers.utils import logging as transformers_logging

from kformer.compute_precision import device_kind, precision_of
from kformer.encoder_lookup import locate_encoder
from kformer.encoder_weights import checksum_of_weights
from kformer.errors import KformerError
from kformer.io.checksums import checksum_of
from kformer.io.contents import Contents
from kformer.io.file_writing import sha256_of
from kformer.io.locks import Lock
from kformer.io.output_names import RunFolder
from kformer.io.tables import count_rows
from kformer.io.token_tables import open_token_table
from kformer.io.training_summary import TrainingSummary
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.pretrained import load_tokenizer
from kformer.modeling.question_features import TokenisedQuestions
from kformer.modeling.settings import Model
from kformer.modeling.state_store import KeptStates, StatesOrigin
from kformer.training.checkpoints import Checkpoints
from kformer.training.determinism import use_deterministic_kernels
from kformer.training.finished import finish, finished_before
from kformer.training.recipe import Recipe
from kformer.training.resumable_trainer import ResumableTrainer
from kformer.training.settings import TrainSettings
from kformer.training.trainer import (
    Log,
    Reporter,
    Stopwatch,
    TimedSaving,
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
    lock: Lock,
    log: Log,
    version: str,
    plan: str = "",
    states: Path | None = None,
) -> dict[str, float | None]:
    """Trains one model and keeps the checkpoint with the best validation accuracy.

    A run that was trained to the end before, with the same settings, inputs and version, is not
    trained again.

    Args:
        settings: model and training.
        seed: of the initialisation, of dropout and of the order of questions.
        questions: the tokens of the questions, see `kformer.modeling.featurize`.
        knowledge: the tokens of the facts, and the retrieval table; None when no facts are read.
        out: the run's folder; gets ``model/`` and ``training.json``.
        checkpoints: a folder for unfinished training. The newest whole checkpoint in it is resumed
            if it belongs to the same settings, inputs and version; the folder is removed in the
            end.
        lock: that of ``out`` and ``checkpoints``, held: see `training_lock`.
        log: takes metrics and the step they were measured at, while training; it is
            flushed before each checkpoint.
        version: of this stage, and of the code of an injection from another package; noted, since
            runs of different versions cannot be compared.
        plan: checksum of the file that says what the run is to depend on, if there is one; noted.
        states: the folder that `compute_states` wrote, if states are kept.

    Returns:
        what was measured, as in ``training.json``.

    Raises:
        KformerError: encoder missing, layers out of range, tables that do not fit together or were
            tokenised for another encoder, one of several processes, numbers that are not finite, or
            checkpoints that were lost on the way.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise KformerError("WORLD_SIZE: a run is one process; start it without torchrun")
    identity = _identity(settings, seed, questions, knowledge, version)
    if out.exists() and not out.is_dir():
        raise KformerError(f"{out}: this is no folder; name another one")
    run = RunFolder(out)
    unfinished = Checkpoints(checkpoints, identity, lock)
    summary = finished_before(run, identity)
    if summary is None:
        model, processor, measured = _trained(
            settings,
            seed,
            questions,
            knowledge,
            unfinished,
            Reporter(log, "/".join(out.parts[-2:])),
            states,
        )
        noted = {"seed": seed, "version": version, "identity": identity, "plan": plan}
        summary = TrainingSummary.model_validate(noted | measured)
        lock.check()
        finish(run, model, processor, summary)
    unfinished.remove()
    return summary.measured


def training_lock(out: Path, checkpoints: Path) -> Lock:
    """The lock of all that a training writes; a second process waits for the first."""
    return Lock(out.resolve(), checkpoints.resolve())


def _identity(
    settings: TrainSettings,
    seed: int,
    questions: Path,
    knowledge: tuple[Path, Path] | None,
    version: str,
) -> str:
    """A checksum of all that a run depends on."""
    # Opened, which raises where one is missing or damaged.
    open_token_table(questions, "question_tokens")
    if knowledge:
        open_token_table(knowledge[0], "fact_tokens")
        count_rows(knowledge[1], "retrieval")
    return checksum_of(
        {
            "seed": seed,
            "version": version,
            "inputs": [sha256_of(path) for path in (questions, *(knowledge or ()))],
            "model": settings.model.model_dump(mode="json"),
            "encoder": _content_of_encoder(settings.model.encoder),
            "training": settings.training.relevant_settings(),
            # Half of a run on a GPU and half on a CPU would be neither.
            "precision": precision_of(settings.training.precision),
            "device": device_kind(),
        }
    )


def _content_of_encoder(name: str) -> str | None:
    """Stands for an encoder's files, for it may be trained anew in its folder; nothing is known of
    one on a hub."""
    folder = Path(locate_encoder(name))
    return Contents().checksum(folder) if folder.is_dir() else None


def _trained(
    settings: TrainSettings,
    seed: int,
    questions: Path,
    knowledge: tuple[Path, Path] | None,
    unfinished: Checkpoints,
    reporter: Reporter,
    states: Path | None,
) -> tuple[KformerForMultipleChoice, KformerProcessor, dict[str, Any]]:
    """The best model of a training, and what was measured: most of a `TrainingSummary`."""
    stopwatch = Stopwatch()
    transformers_logging.disable_progress_bar()  # those of loading and saving, not of training
    set_seed(seed)
    use_deterministic_kernels()
    model = build_model(settings.model)
    encoder_weights = checksum_of_weights(model.encoder)
    counts = parameter_counts(model)
    if settings.training.gradient_checkpointing:
        model.activation_checkpointing_enable()
    recipe = Recipe(model, settings)
    precision = precision_of(settings.training.precision)
    kept = None
    if settings.training.keep_states:
        kept = _kept_states(states, model, recipe, precision, encoder_weights)
    processor = KformerProcessor(load_tokenizer(settings.model.encoder), model.config)
    tokenised = TokenisedQuestions(processor, questions, knowledge)
    training_set = tokenised.split("train", settings.training.max_train_questions)
    validation_set = tokenised.split("validation")
    if model.fact_embeddings is not None:
        model.fact_embeddings.train_only(training_set.fact_tokens)

    trainer = ResumableTrainer(
        unfinished,
        stopwatch,
        recipe=recipe,
        model=model,
        args=training_arguments(
            settings.training, len(training_set), seed, unfinished.folder, precision == "bf16"
        ),
        data_collator=lambda batch: collate(processor, batch, kept),
        train_dataset=training_set,
        eval_dataset=validation_set,
        callbacks=[stopwatch, TimedSaving(settings.training.checkpoint_minutes), reporter],
    )
    trainer.remove_callback(PrinterCallback)  # `Reporter` prints the same, readably
    trained_parameters = recipe.trained_parameters
    trainer.fit()
    recipe.merge()
    measured = {
        "steps": trainer.state.global_step,
        "seconds_per_step": stopwatch.seconds_per_step,
        "train_seconds": stopwatch.seconds,
        "validation_accuracy": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "train_questions": len(training_set),
        "inputs_cut": training_set.inputs_cut + validation_set.inputs_cut,
        **counts,
        "trained_parameters": trained_parameters,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "precision": precision,
        "device": str(model.device),
        "encoder": settings.model.encoder,
        "encoder_weights": encoder_weights,
        "states": kept.origin.identity if kept else "",
    }
    return model, processor, measured


def _kept_states(
    folder: Path | None,
    model: KformerForMultipleChoice,
    recipe: Recipe,
    precision: Literal["bf16", "fp32"],
    encoder_weights: str,
) -> KeptStates:
    """The states that a run reads; the model then starts at the layer that they enter."""
    if folder is None:
        raise KformerError(
            "training.keep_states: give the folder that `kformer states` wrote, as --states"
        )
    kept = KeptStates(folder)
    layer = recipe.lowest_changing
    kept.check_origin(StatesOrigin.of(model, layer, precision, encoder_weights))
    model.states_layer = layer
    return kept


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
