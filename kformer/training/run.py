"""One training run: an encoder, an injection method, a seed.

Training is Hugging Face's `Trainer`. What is added here: batches of similar length whose order
depends on seed and epoch alone, so that a run that was killed goes on exactly as it would have
gone; checkpoints that only count when they are complete; and the measurements that the comparison
shows beside the accuracy.
"""

import json
import math
import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import (
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.utils import logging as transformers_logging

from kformer.errors import KformerError
from kformer.io.files import replacing, sha256_of, write_json
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.examples import Example, Examples, Knowledge, load_examples
from kformer.modeling.pretrained import load_tokenizer
from kformer.modeling.settings import Model
from kformer.precision import hardware_computes_in_bf16
from kformer.progress import SECONDS_BETWEEN_LINES
from kformer.training.settings import Training, TrainSettings

Log = Callable[[Mapping[str, float], int], None]
_IDENTITY = "identity.json"
_STATE = "trainer_state.json"  # the last file that Trainer writes into a checkpoint


def train(
    settings: TrainSettings,
    seed: int,
    questions: Path,
    knowledge: tuple[Path, Path] | None,
    out: Path,
    checkpoints: Path,
    log: Log,
) -> dict[str, float | None]:
    """Trains one model and keeps the checkpoint with the best validation accuracy.

    Args:
        settings: model and training.
        seed: of the initialisation, of dropout and of the order of questions.
        questions: the questions table.
        knowledge: the facts and the retrieval table; None when no facts are read.
        out: gets ``model/`` and ``training.json``.
        checkpoints: a folder for unfinished training; training goes on from the last checkpoint
            there, if it belongs to the same settings, and the folder is gone in the end.
        log: takes metrics and the step they were measured at, while training.

    Returns:
        the content of ``training.json``.

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
    arguments = _arguments(settings.training, len(training_set), seed, checkpoints, bf16)
    # Several GPUs in one process would multiply the batch; a run uses one, several runs several.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    stopwatch = Stopwatch()
    trainer = _Trainer(
        model=model,
        args=arguments,
        data_collator=lambda batch: collate(processor, batch),
        train_dataset=training_set,
        eval_dataset=validation_set,
        compute_metrics=accuracy,
        callbacks=[stopwatch, _Reporter(log, "/".join(out.parts[-2:]))],
    )
    trainer.remove_callback(PrinterCallback)  # `_Reporter` says the same, readably
    inputs = [sha256_of(path) for path in (questions, *(knowledge or ()))]
    identity = {"seed": seed, "inputs": inputs, **settings.model_dump(mode="json")}
    last = last_checkpoint(checkpoints, identity)
    if last and _steps_done(last) >= arguments.max_steps:
        # Trainer would take one step more.
        trainer.state = TrainerState.load_from_json(str(last / _STATE))
        trainer._load_best_model()
    else:
        trainer.train(resume_from_checkpoint=str(last) if last else None)

    summary = {
        "steps": trainer.state.global_step,
        "seconds_per_step": stopwatch.seconds_per_step,
        "train_seconds": time.monotonic() - began,
        "validation_accuracy": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "train_questions": len(training_set),
        "inputs_cut": training_set.inputs_cut + validation_set.inputs_cut,
        **counts,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    shutil.rmtree(out / "model", ignore_errors=True)  # of a run that was killed right here
    with replacing(out / "model") as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    described = {"precision": "bf16" if bf16 else "fp32", "device": str(model.device)}
    write_json(out / "training.json", {"seed": seed, **summary, **described})
    _clear(checkpoints)
    return summary


def build_model(settings: Model) -> KformerForMultipleChoice:
    """A fresh model from its settings; raises KformerError as `from_encoder` does."""
    return KformerForMultipleChoice.from_encoder(
        settings.encoder, **settings.model_dump(exclude={"encoder"})
    )


def collate(processor: KformerProcessor, batch: list[Example]) -> dict[str, torch.Tensor]:
    """Pads examples to one batch, with labels."""
    return processor.collate([each.features for each in batch], [each.answer for each in batch])


def accuracy(evaluated: EvalPrediction) -> dict[str, float]:
    """The share of questions whose highest logit is the right choice."""
    predictions = np.argmax(evaluated.predictions, axis=-1)
    return {"accuracy": float((predictions == evaluated.label_ids).mean())}


def computes_in_bf16(precision: str) -> bool:
    """Whether to train under bf16 autocast; ``auto`` asks the hardware."""
    return hardware_computes_in_bf16() if precision == "auto" else precision == "bf16"


def parameter_counts(model: KformerForMultipleChoice) -> dict[str, int]:
    """All parameters, and those that the injection adds to encoder and head."""
    total = sum(parameter.numel() for parameter in model.parameters())
    own = [*model.encoder.parameters(), *model.head.parameters()]
    return {
        "parameters": total,
        "added_parameters": total - sum(parameter.numel() for parameter in own),
    }


def last_checkpoint(folder: Path, identity: Mapping[str, Any]) -> Path | None:
    """The newest complete checkpoint of the same run; clears the folder of everything else.

    A checkpoint of a killed process may be incomplete, and one of other settings must not be
    gone on from. What is not a checkpoint is left alone.
    """
    marker = folder / _IDENTITY
    plain = json.loads(json.dumps(identity))
    if not marker.is_file() or json.loads(marker.read_text("utf-8")) != plain:
        _clear(folder)
        write_json(marker, identity)
        return None
    complete = []
    for checkpoint in folder.glob("checkpoint-*"):
        if _is_complete(checkpoint):
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=_steps_done, default=None)


def _is_complete(checkpoint: Path) -> bool:
    """Whether it and the best checkpoint so far, which it points to, have all their files."""
    try:
        state = json.loads((checkpoint / _STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    best = checkpoint.with_name(f"checkpoint-{state.get('best_global_step')}")
    return all((each / "model.safetensors").is_file() for each in (checkpoint, best))


def _clear(folder: Path) -> None:
    """Removes the checkpoints, their identity first, so that what a kill leaves counts as none."""
    (folder / _IDENTITY).unlink(missing_ok=True)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _steps_done(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])


def _arguments(
    settings: Training, questions: int, seed: int, folder: Path, bf16: bool
) -> TrainingArguments:
    steps = settings.max_steps
    if settings.epochs is not None:
        per_epoch = math.ceil(questions / settings.batch_size)
        steps = min(steps, math.ceil(settings.epochs * per_epoch))
    every = math.ceil(steps / settings.evaluations)
    return TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=min(settings.warmup_steps, steps // 2),
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        weight_decay=settings.weight_decay,
        adam_beta1=settings.adam_betas[0],
        adam_beta2=settings.adam_betas[1],
        adam_epsilon=settings.adam_epsilon,
        max_grad_norm=settings.max_grad_norm,
        bf16=bf16,
        use_cpu=not torch.accelerator.is_available(),
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,  # the best and the last
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        logging_steps=max(steps // 50, 1),
        label_names=["labels"],
        remove_unused_columns=False,
        disable_tqdm=not sys.stderr.isatty(),
        report_to="none",
    )


class _LengthGroupedSampler(Sampler[int]):
    """Questions of similar length together, in an order that depends on seed and epoch alone."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        return iter(
            get_length_grouped_indices(self._lengths, self._batch_size, generator=generator)
        )


class _Trainer(Trainer):
    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        assert isinstance(self.train_dataset, Examples)
        lengths = self.train_dataset.lengths
        return _LengthGroupedSampler(lengths, self.args.train_batch_size, self.args.seed)


class Stopwatch(TrainerCallback):
    """Times every step: forward, backward, optimiser; not evaluation, not saving."""

    def __init__(self) -> None:
        self._began = 0.0
        self._seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._seconds.append(time.perf_counter() - self._began)

    @property
    def seconds_per_step(self) -> float | None:
        """The median, which neither the first steps nor a busy machine moves much."""
        return statistics.median(self._seconds) if self._seconds else None


class _Reporter(TrainerCallback):
    """Passes Trainer's metrics on, and says how far it is where no progress bar can be seen."""

    _NAMES = {  # noqa: RUF012 (a constant)
        "loss": "train_loss",
        "grad_norm": "gradient_norm",
        "learning_rate": "learning_rate",
        "eval_loss": "validation_loss",
        "eval_accuracy": "validation_accuracy",
    }

    def __init__(self, log: Log, run: str) -> None:
        self._log, self._run = log, run
        self._last_line = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        logs: dict[str, float] = kwargs["logs"]
        named = {self._NAMES[key]: value for key, value in logs.items() if key in self._NAMES}
        if named:
            self._log(named, state.global_step)
        due = time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES
        if args.disable_tqdm and named and (due or "validation_accuracy" in named):
            self._last_line = time.monotonic()
            shown = ", ".join(f"{key} {value:.4g}" for key, value in named.items())
            place = f"{self._run}: step {state.global_step}/{state.max_steps}"
            print(f"{place}: {shown}", file=sys.stderr)
