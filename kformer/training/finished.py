"""The end of a training: its model and summary appear, and stay to be found after any kill.

Whoever runs the stages may delete the outputs of a job that was killed, even of one that had just
finished. So both are first written to a hidden folder beside them, complete, and are then hard
links to what is there. Evaluation, which comes when the outputs are known to be complete, removes
it.
"""

import shutil
import sys

from kformer.errors import KformerError
from kformer.io.checksums import CHECKSUMS, write_checksums
from kformer.io.file_writing import link_or_copy, remove, remove_leftovers, replacing, sha256_of
from kformer.io.output_names import RunFolder
from kformer.io.training_summary import TrainingSummary, read_trained
from kformer.modeling import KformerForMultipleChoice, KformerProcessor


def finish(
    run: RunFolder,
    model: KformerForMultipleChoice,
    processor: KformerProcessor,
    summary: TrainingSummary,
) -> None:
    """Writes the model and the summary of a run, whole or not at all."""
    remove(run.finished.path)
    with replacing(run.finished.path) as partial:
        written = RunFolder(partial)
        model.save_pretrained(written.model)
        processor.save_pretrained(written.model)
        write_checksums(written.model)
        checksums = sha256_of(written.model / CHECKSUMS)
        summary.model_copy(update={"model_checksums": checksums}).write(written.summary)
    _publish(run)


def finished_before(run: RunFolder, identity: str) -> TrainingSummary | None:
    """The summary of a run if it was trained to the end, with its outputs in place again.

    Args:
        run: the run.
        identity: of the training, see `TrainingSummary`; another one does not count.
    """
    for written in (run.finished.path, run.model, run.summary):
        remove_leftovers(written)
    damaged = []
    for place in (run.finished, run):
        if not place.path.is_dir() or not place.summary.is_file():
            continue
        try:
            summary = read_trained(place)
        except KformerError:
            damaged.append(place.path)
            continue
        if summary.identity == identity:
            if place is not run:
                _publish(run)
            print(f"{run.path}: trained before; not trained again", file=sys.stderr)
            return summary
    for path in damaged:
        print(f"{path}: trained before, but damaged; trained again", file=sys.stderr)
    return None


def _publish(run: RunFolder) -> None:
    remove(run.model)
    with replacing(run.model) as partial:
        shutil.copytree(run.finished.model, partial, copy_function=link_or_copy)
    with replacing(run.summary) as partial:
        link_or_copy(run.finished.summary, partial)
