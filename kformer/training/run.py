"""One training run: an encoder, an injection method, a seed.

Training is Hugging Face's `Trainer`. What is added here: batches of similar length whose order
depends on seed and epoch alone, so that a killed run resumes exactly where it stopped; passes that
fit the memory; checkpoints that only count when they are whole; an end at a signal, or at the first
number that is none; and the measurements that the comparison shows with the accuracy.
"""

import hashlib
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, set_seed
from transformers.utils import logging as transformers_logging

from kformer.compute_precision import computes_in_bf16
from kformer.encoder_lookup import locate_encoder
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
from kformer.modeling.question_features import Examples, TokenisedQuestions
from kformer.modeling.settings import Model
from kformer.training.arguments import training_arguments
from kformer.training.checkpoints import Checkpoints
from kformer.training.determinism import use_deterministic_kernels
from kformer.training.display import Display, Log, Reporter
from kformer.training.finished import finish, finished_before
from kformer.training.interruption import Interruption
from kformer.training.meter import Meter
from kformer.training.resumable_trainer import ResumableTrainer
from kformer.training.settings import TrainSettings
from kformer.training.trainer import TimedSaving, collate


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
    interruption: Interruption | None = None,
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
        interruption: hears the signals that end training with a checkpoint; None hears none.

    Returns:
        what was measured, by its names in tracking.

    Raises:
        KformerError: encoder missing, layers out of range, tables that do not fit together or were
            tokenised for another encoder, one of several processes, numbers that are not finite,
            memory that is too short, or checkpoints that were lost on the way.
        Interrupted: a signal asked for it.
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
        run_name = "/".join(out.parts[-2:])
        prepared = prepare(
            settings, seed, questions, knowledge, unfinished, log, run_name, interruption
        )
        prepared.trainer.fit()
        noted = {"seed": seed, "version": version, "identity": identity, "plan": plan}
        summary = TrainingSummary.model_validate(noted | prepared.measured())
        lock.check()
        finish(run, prepared.model, prepared.processor, summary)
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
            "precision": _precision(settings),
            "device": _device_type(),
        }
    )


def _content_of_encoder(name: str) -> str | None:
    """Stands for an encoder's files, for it may be trained anew in its folder; nothing is known of
    one on a hub."""
    folder = Path(locate_encoder(name))
    return Contents().checksum(folder) if folder.is_dir() else None


def _precision(settings: TrainSettings) -> str:
    return "bf16" if computes_in_bf16(settings.training.precision) else "fp32"


def _device_type() -> str:
    device = torch.accelerator.current_accelerator()
    return device.type if device else "cpu"


@dataclass
class Prepared:
    """A training that can begin, and what it is made of."""

    trainer: ResumableTrainer
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
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "device": str(self.model.device),
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
) -> Prepared:
    """Model, questions and Trainer of a run, as `train` needs them; nothing is written."""
    meter = Meter()
    transformers_logging.disable_progress_bar()  # those of loading and saving, not of training
    set_seed(seed)
    use_deterministic_kernels()
    model = build_model(settings.model)
    encoder_weights = _checksum_of_weights(model.encoder)
    if settings.training.gradient_checkpointing:
        model.activation_checkpointing_enable()
    processor = KformerProcessor(load_tokenizer(settings.model.encoder), model.config)
    tokenised = TokenisedQuestions(processor, questions, knowledge)
    training_set = tokenised.split("train", settings.training.max_train_questions)
    validation_set = tokenised.split("validation")
    counts = parameter_counts(model)
    if model.fact_embeddings is not None:
        model.fact_embeddings.train_only(training_set.fact_tokens)

    precision = _precision(settings)
    saving = TimedSaving(settings.training.checkpoint_minutes)
    display = Display(run_name, meter, len(validation_set))
    trainer = ResumableTrainer(
        unfinished,
        log,
        display,
        interruption or Interruption(),
        settings=settings.training,
        collate=lambda batch: collate(processor, batch),
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
        "precision": precision,
        "encoder": settings.model.encoder,
        "encoder_weights": encoder_weights,
    }
    return Prepared(trainer, model, processor, training_set, validation_set, meter, noted)


def _checksum_of_weights(encoder: torch.nn.Module) -> str:
    """Of all weights and their names: an encoder's name on a hub may stand for others tomorrow."""
    found = hashlib.sha256()
    for name, weight in sorted(encoder.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


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
