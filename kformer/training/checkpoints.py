"""Checkpoints of an unfinished training: which one is resumed, and when they are removed."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kformer.io.file_writing import write_json

STATE = "trainer_state.json"  # the last file that Trainer writes into a checkpoint
_IDENTITY = "identity.json"


def last_checkpoint(folder: Path, identity: Mapping[str, Any]) -> Path | None:
    """The newest complete checkpoint of the same run; all other checkpoints are removed.

    A checkpoint of a killed process may be incomplete, and one of other settings, inputs or
    another version must not be resumed. Files that are no checkpoints are left alone.

    Args:
        folder: where checkpoints are kept; it may not exist yet.
        identity: all that the run depends on, JSON-ready; written into the folder.
    """
    marker = folder / _IDENTITY
    as_json = json.loads(json.dumps(identity))
    if not marker.is_file() or json.loads(marker.read_text("utf-8")) != as_json:
        remove_checkpoints(folder)
        write_json(marker, identity)
        return None
    complete = []
    for checkpoint in folder.glob("checkpoint-*"):
        if _is_complete(checkpoint):
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=steps_done, default=None)


def steps_done(checkpoint: Path) -> int:
    """How many steps were trained before a checkpoint was written."""
    return int(checkpoint.name.split("-")[1])


def remove_checkpoints(folder: Path) -> None:
    """Removes all checkpoints, and the folder if nothing else is in it.

    Their identity goes first: if the process is killed half-way, what is left is never resumed.
    """
    (folder / _IDENTITY).unlink(missing_ok=True)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _is_complete(checkpoint: Path) -> bool:
    """Whether it and the best checkpoint so far, which its state names, have all their files."""
    try:
        state = json.loads((checkpoint / STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    best = checkpoint.with_name(f"checkpoint-{state.get('best_global_step')}")
    return all((each / "model.safetensors").is_file() for each in (checkpoint, best))
