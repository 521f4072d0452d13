"""What the numbers of an experiment were made from, how, with what, and where."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from kformer.io.contents import Contents
from kformer.io.file_writing import read_memory, sha256_of
from kformer.io.output_names import INDEX_ENCODER, RunFolder
from kformer.io.training_summary import TrainingSummary
from kformer.sources.checksum_lock import unpacked_from
from kformer.study import paths
from kformer.study.inventory import inventory
from kformer.study.layout import Layout
from kformer.study.machine import describe_machine
from kformer.study.plans import check_plans, name_of
from kformer.study.saved_study import StudyCommand
from kformer.study.software import commit_of, software_versions
from kformer.study.stage_versions import VERSIONS
from kformer.study.study_file import StudyFile


def provenance_of(study: Layout, command: StudyCommand) -> dict[str, Any]:
    """What stands in `provenance.json`, all of it JSON; addresses are without secrets.

    Args:
        study: a finished experiment.
        command: how Snakemake was started for it.

    Raises:
        KformerError: a run was not trained, or its summary is damaged; or data or encoders have
            changed since the experiment was started, so that its keys are no longer known.
    """
    check_plans(study)
    return {
        "experiment": study.experiment.experiment,
        "command": command.line("all"),
        "config": str(study.config),
        "seeds": study.experiment.seeds,
        "workflow": commit_of(Path(command.workflow)),
        "software": software_versions(),
        "stages": VERSIONS,
        "machine": describe_machine(),
        "data": list(_data(study)),
        "encoders": list(_encoders(study)),
        "keys": {file.key: _of_key(file) for file in inventory(study) if file.key},
        "runs": [_of_run(study, run, command) for run in study.runs],
    }


def _data(study: Layout) -> Iterator[dict[str, Any]]:
    """Each file that the user gives or that was fetched, with its checksum."""
    for name in study.sources:
        source = study.source(name)
        folder = paths.source_folder(f"{name}-{source.key}")
        checksums = unpacked_from(source, folder, paths.SOURCES_LOCK)
        for file, sha256 in zip(source.files, checksums, strict=True):
            yield {
                "name": file.title,
                "folder": str(folder),
                "addresses": [str(address.text) for address in file.addresses],
                "sha256": sha256,
            }
    contents = Contents(paths.CHECKSUMS)
    own = [
        study.question_files,
        *chain.from_iterable(each.sources for each in study.facts.values()),
    ]
    for place in dict.fromkeys(files.path for files in own if files.in_place):
        for path, sha256 in contents.checksums(place).items():
            yield {"name": "yours", "path": str(path), "sha256": sha256}


def _encoders(study: Layout) -> Iterator[dict[str, Any]]:
    """Each encoder, with a name for its content where that lies on this machine.

    The weights that a model started with are noted with its run; those that facts were embedded
    with, here.
    """
    for use, names in study.experiment.encoders.items():
        for name in names:
            encoder = {"name": name, "used_for": use, "content": study.content_of_encoder(name)}
            weights = {"weights_sha256": _embedded_with(study, name)} if use == "retrieval" else {}
            yield encoder | weights


def _embedded_with(study: Layout, encoder: str) -> list[str]:
    """The SHA-256 of the encoder as the shards of all indexes have noted it."""
    keys = [key for key, each in study.indexes.items() if each.settings.get("encoder") == encoder]
    notes = [note for key in keys for note in _index(key).glob(f"*/{INDEX_ENCODER}")]
    return sorted({str(read_memory(note).get("sha256")) for note in notes})


def _index(key: str) -> Path:
    return paths.index_folder(key, "*").parent


def _of_key(file: StudyFile) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "about": file.about,
        "command": file.command,
        "version": VERSIONS[file.stage] if file.stage else None,
        "settings": file.settings,
        "inputs": list(map(str, file.inputs)),
        "conditions": list(file.conditions),
    }


def _of_run(study: Layout, run: RunFolder, command: StudyCommand) -> dict[str, Any]:
    plan = study.plan(name_of(run))
    rule = "answer_by_retrieval" if run.seed is None else "train_model"
    common = {
        "condition": run.condition,
        "seed": run.seed,
        "plan": str(plan),
        "plan_sha256": sha256_of(plan),
        "predictions_sha256": sha256_of(run.predictions),
        "make_again": command.line(run.predictions, again=[rule]),
    }
    if run.seed is None:
        return common
    summary = TrainingSummary.read(run.summary)
    noted = ("version", "encoder", "encoder_weights", "states", "model_checksums")
    computed = ("precision", "device", "threads")
    trained = {name: getattr(summary, name) for name in (*noted, *computed)}
    return common | {"trained_to_plan_sha256": summary.plan} | trained
