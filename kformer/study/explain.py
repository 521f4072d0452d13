"""What a file, a folder or a key under results/ is, for a person."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from kformer.errors import KformerError, listed
from kformer.study import paths
from kformer.study.inventory import Inventories, Use
from kformer.study.run_states import state_of
from kformer.study.saved_study import SavedStudies, read_command
from kformer.study.stage_versions import VERSIONS

_COMMON = {
    paths.TRACKING_STORE: "the MLflow store: the runs of all experiments, with their curves",
    paths.RUN_LOCK: "the lock of the run that uses this folder, and who that was last",
    paths.JOBS_LOCK: "the jobs of the last run, so that the next one waits for those still alive",
    paths.CHECKSUMS: "the checksums of large files, so that they are not read at every start",
    paths.SOURCES_LOCK: "the checksums of files whose owners publish none",
    paths.SHARED: "what experiments share, by keys: a key stands for all that a file depends on",
    paths.RESULTS: "the results of all experiments",
    paths.RESOURCES: "what was fetched or generated, for all experiments",
    paths.DOWNLOADS: "the downloads, for all experiments",
}


def explain(name: str, studies: SavedStudies) -> Iterator[str]:
    """Lines that say what a path or a key is, what it was made from, how, and who uses it.

    Raises:
        KformerError: no experiment leads to it.
    """
    inventories = Inventories(studies.readable)
    asked = paths.from_here(Path(name))
    relation, found = inventories.find(name)
    if common := _COMMON.get(asked):
        yield f"{asked}: {common}"
        found = inventories.below(asked)
    elif not found:
        raise _unknown(name, studies)
    else:
        if relation != "is":
            is_missing = relation == "belongs to" and not asked.exists()
            yield f"{name}{' (not there)' if is_missing else ''} {relation}"
        if len(found) == 1:
            yield from _explained(found[0], studies)
            found = inventories.below(found[0][0].file.path)
    for uses in found:
        if uses[0].file.path.exists():
            yield f"  {uses[0].file.path}: {uses[0].file.about}"


def _explained(uses: Sequence[Use], studies: SavedStudies) -> Iterator[str]:
    experiment, file = uses[0]
    study = studies.readable[experiment]
    yield f"{file.path}: {file.about}{'' if file.path.exists() else ' (not there)'}"
    for name, each in uses:
        yield f"  for         {name}: {', '.join(each.conditions)}"
    if file.run:
        yield f"  state       {state_of(study, file.run).words}"
    if file.settings:
        yield f"  settings    {json.dumps(file.settings, ensure_ascii=False)}"
    for path in file.inputs:
        yield f"  made from   {path}{'' if path.exists() else ' (not there)'}"
    if file.command:
        version = f" (version {VERSIONS[file.stage]} of the stage)" if file.stage else ""
        yield f"  made by     {file.command}{version}"
        yield f"  make it     {read_command(study.folder).line(file.target or file.path)}"
    for log in file.logs:
        yield f"  log         {log}"
    for name, error in studies.unreadable.items():
        yield f"  unknown     whether {name} uses it: {error}"


def _unknown(name: str, studies: SavedStudies) -> KformerError:
    problems = "".join(f"; {error}" for error in studies.unreadable.values())
    return KformerError(
        f"{name}: no file, folder or key of the experiments under {paths.RESULTS} "
        f"({listed(studies.readable)}) as they were last started; it may be of older settings, of "
        f"another version, or yours{problems}"
    )
