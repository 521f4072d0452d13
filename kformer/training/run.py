"""One training run: an encoder, an injection method, a seed.

Training is Hugging Face's `Trainer`. What is added here: batches of similar length whose order
depends on seed and epoch alone, so that a killed run resumes exactly where it stopped; passes that
fit the memory; checkpoints that only count when they are whole; an end at a signal, or at the first
number that is none; and the measurements that the comparison shows with the accuracy.
"""

import os
from pathlib import Path

from kformer.compute_precision import device_kind, precision_of
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
from kformer.training.checkpoints import Checkpoints
from kformer.training.display import Log
from kformer.training.finished import finish, finished_before
from kformer.training.interruption import Interruption
from kformer.training.preparation import prepare
from kformer.training.settings import TrainSettings


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
        interruption: hears the signals that end training with a checkpoint; None hears none.
        states: the folder that `compute_states` wrote, if states are kept.

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
            settings, seed, questions, knowledge, unfinished, log, run_name, interruption, states
        )
        prepared.trainer.fit()
        prepared.recipe.merge()
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
            "precision": precision_of(settings.training.precision),
            "device": device_kind(),
        }
    )


def _content_of_encoder(name: str) -> str | None:
    """Stands for an encoder's files, for it may be trained anew in its folder; nothing is known of
    one on a hub."""
    folder = Path(locate_encoder(name))
    return Contents().checksum(folder) if folder.is_dir() else None
