"""A training that can begin: model, recipe, questions and Trainer, made from the settings."""

import resource
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PrinterCallback, set_seed
from transformers.utils import logging as transformers_logging

from kformer.compute_precision import precision_of
from kformer.encoder_weights import checksum_of_weights
from kformer.errors import KformerError
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.pretrained import load_tokenizer
from kformer.modeling.question_features import Examples, TokenisedQuestions
from kformer.modeling.settings import Model
from kformer.modeling.state_store import KeptStates, StatesOrigin
from kformer.training.arguments import training_arguments
from kformer.training.checkpoints import Checkpoints
from kformer.training.determinism import use_deterministic_kernels
from kformer.training.display import Display, Log, Reporter
from kformer.training.interruption import Interruption
from kformer.training.meter import Meter
from kformer.training.recipe import Recipe
from kformer.training.resumable_trainer import ResumableTrainer
from kformer.training.settings import TrainSettings
from kformer.training.trainer import TimedSaving, collate


@dataclass
class Prepared:
    """A training that can begin, and what it is made of."""

    trainer: ResumableTrainer
    recipe: Recipe
    model: KformerForMultipleChoice
    processor: KformerProcessor
    training_set: Examples
    validation_set: Examples
    meter: Meter
    noted: dict[str, Any]

    def measured(self) -> dict[str, Any]:
        """What was measured when training has ended: most of a `TrainingSummary`."""
        state = self.trainer.state
        return {
            **self.noted,
            **self.meter.summary(),
            "steps": state.global_step,
            "validation_accuracy": state.best_metric,
            "best_step": state.best_global_step,
            "skipped_batches": self.trainer.skipped,
            "tokens_per_pass": self.trainer.tokens_per_pass,
            "threads": torch.get_num_threads(),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "device": str(self.model.device),
            "curve": list(_curve(state.log_history)),
        }


def prepare(
    settings: TrainSettings,
    seed: int,
    questions: Path,
    knowledge: tuple[Path, Path] | None,
    unfinished: Checkpoints,
    log: Log,
    run_name: str,
    interruption: Interruption | None = None,
    states: Path | None = None,
) -> Prepared:
    """Model, questions and Trainer of a run, as `train` needs them; nothing is written."""
    meter = Meter()
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
    training_set = tokenised.answered("train", settings.training.max_train_questions)
    validation_set = tokenised.answered("validation")
    if kept:
        kept.check_questions(training_set.question_ids + validation_set.question_ids)
    if model.config.scores_in_keys:
        _standardise_scores(model, training_set)
    model.train_only(training_set.input_tokens, training_set.fact_tokens)

    saving = TimedSaving(settings.training.checkpoint_minutes)
    display = Display(run_name, meter, len(validation_set))
    trainer = ResumableTrainer(
        unfinished,
        log,
        display,
        interruption or Interruption(),
        recipe=recipe,
        settings=settings.training,
        collate=lambda batch: collate(processor, batch, kept),
        meter=meter,
        model=model,
        args=training_arguments(
            settings.training, len(training_set), seed, unfinished.folder, precision == "bf16"
        ),
        train_dataset=training_set,
        eval_dataset=validation_set,
        callbacks=[meter, saving, Reporter(log), display],
    )
    trainer.remove_callback(PrinterCallback)  # `Display` shows the same, readably
    noted = {
        "train_questions": len(training_set),
        "inputs_cut": training_set.inputs_cut + validation_set.inputs_cut,
        **counts,
        "trained_parameters": recipe.trained_parameters,
        "precision": precision,
        "encoder": settings.model.encoder,
        "encoder_weights": encoder_weights,
        "states": kept.origin.identity if kept else "",
    }
    return Prepared(trainer, recipe, model, processor, training_set, validation_set, meter, noted)


def _standardise_scores(model: KformerForMultipleChoice, training_set: Examples) -> None:
    """Lets the model read scores by how they are spread among the facts that training offers."""
    scores = training_set.scores
    if len(scores):
        model.config.score_mean = float(scores.mean())
        model.config.score_std = float(scores.std()) or 1.0


def _curve(history: Sequence[Mapping[str, float]]) -> Iterator[dict[str, float]]:
    """The points of a `TrainingSummary`, of what Trainer has logged."""
    names = {"eval_loss": "validation_loss", "eval_accuracy": "validation_accuracy", "loss": "loss"}
    for logged in history:
        if point := {name: logged[key] for key, name in names.items() if key in logged}:
            yield {"step": int(logged["step"]), **point}


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
