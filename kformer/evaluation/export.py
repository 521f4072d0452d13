"""A run's model as a folder to share, ready for the Hugging Face hub."""

import json
import shlex
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from kformer.errors import KformerError
from kformer.evaluation.model_card import Described, model_card
from kformer.io.checksums import CHECKSUMS
from kformer.io.file_writing import replacing
from kformer.io.output_names import RunFolder
from kformer.io.tables import provenance, read_rows
from kformer.io.training_summary import TrainingSummary
from kformer.io.visible_files import visible_files

CARD = "README.md"
_CONFIG = "config.json"


def export(run: RunFolder, described: Described, out: Path) -> None:
    """Writes a folder with a run's weights, config, tokenizer and card, whole or not at all.

    Args:
        run: whose model is whole, as `read_trained` says.
        described: what the card says of it.
        out: the folder to make.

    Raises:
        KformerError: there is a file, or a folder that is not empty.
    """
    if out.is_file():
        raise KformerError(f"{out}: is a file; name a folder to be made")
    with replacing(out) as partial:
        partial.mkdir()
        for file in visible_files(run.model):
            # The hub has checksums of its own, and whoever edits the card damages nothing.
            if file.name != CHECKSUMS:
                shutil.copyfile(file, partial / file.name)
        _forget_folders(partial / _CONFIG)
        (partial / CARD).write_text(model_card(described), "utf-8")


def accuracies(run: RunFolder, summary: TrainingSummary) -> Mapping[str, tuple[float, int]]:
    """The accuracy of a run's model on each split that it answered, and on how many questions.

    None of a run that was not evaluated, or whose predictions are those of another model.

    Raises:
        KformerError: its predictions are damaged.
    """
    if not run.predictions.is_file():
        return {}
    made_by = provenance(run.predictions, "predictions").get("model_checksums")
    if made_by != summary.model_checksums:
        return {}
    credit: dict[str, list[float]] = defaultdict(list)
    for row in read_rows(run.predictions, "predictions"):
        credit[row["split"]].append(row["credit"])
    return {split: (sum(each) / len(each), len(each)) for split, each in credit.items()}


def push(folder: Path, repository: str, public: bool = False) -> str:
    """Uploads an exported folder to the Hugging Face hub.

    Args:
        folder: what `export` wrote.
        repository: OWNER/NAME; made, if there is none.
        public: whether everybody may see one that is made.

    Returns:
        the address of the upload.

    Raises:
        KformerError: the hub cannot be reached, or refuses it.
    """
    api = HfApi()
    try:
        made = api.create_repo(repository, private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id, folder_path=folder, commit_message="Upload a model of kformer"
        )
    except Exception as error:  # noqa: BLE001 (which HTTP library the hub's client has is its own)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise KformerError(
            f"--push: {repository}: {reason:.300}; {folder} is complete: correct that (is there a "
            f"token? `hf auth login`), then run: hf upload {shlex.join([repository, str(folder)])}"
        ) from None
    return str(made)


def _forget_folders(config: Path) -> None:
    """Leaves out of a model's config where its encoder was on this machine."""
    content: dict[str, Any] = json.loads(config.read_text("utf-8"))
    for section in (content, content.get("encoder", {})):
        if Path(section.get("_name_or_path", "")).is_absolute():
            del section["_name_or_path"]
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
