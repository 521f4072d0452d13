"""The `training` section of the config as the arguments of Hugging Face's `Trainer`."""

import math
from pathlib import Path

import torch
from transformers import TrainingArguments

from kformer.training.settings import Training


def training_arguments(
    settings: Training, questions: int, seed: int, checkpoints: Path, bf16: bool
) -> TrainingArguments:
    """The settings as arguments of `Trainer`.

    Args:
        settings: of training.
        questions: how many there are to train on.
        seed: of dropout and of the order of questions.
        checkpoints: the folder for checkpoints.
        bf16: whether to compute under bf16 autocast.
    """
    steps = settings.max_steps
    if settings.epochs is not None:
        per_epoch = math.ceil(questions / settings.batch_size)
        steps = min(steps, math.ceil(settings.epochs * per_epoch))
    every = math.ceil(steps / settings.evaluations)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
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
        metric_for_best_model="accuracy",
        greater_is_better=True,
        logging_steps=max(steps // 50, 1),
        # Training stops at the first loss that is no number; the filter would wait for a GPU at
        # every step.
        logging_nan_inf_filter=False,
        label_names=["labels"],
        remove_unused_columns=False,
        disable_tqdm=True,  # ours shows more, see `Display`
        dataloader_pin_memory=False,  # batches become tensors later
        report_to="none",
    )
    # Several GPUs in one process would multiply the batch; a run uses one, several runs several.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
