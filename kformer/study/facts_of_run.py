"""Where the facts of a finished run were found: what was searched, and by which settings.

A run says to which plan it was trained, the plan names the table of what was retrieved, and this
table says its settings and its facts. So nothing has to be known of the config, and the chain also
holds after an update of kformer, which gives new files other keys.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of
from kformer.io.output_names import RunFolder
from kformer.io.tables import provenance
from kformer.retrieval.index import Index, read_index
from kformer.retrieval.methods import IndexKind
from kformer.retrieval.retrieve import settings_of_table
from kformer.retrieval.settings import Retrieval
from kformer.study import paths
from kformer.study.plans import checked_plan_of_run


class FactsOfRun(NamedTuple):
    """What the facts of a run are found with."""

    settings: Retrieval
    facts: Path
    indexes: list[Path]
    """the folders of all shards; none for a control, for which nothing is searched"""


def facts_of_run(run: RunFolder, plan_sha256: str) -> FactsOfRun:
    """The settings of a run's retrieval, with the facts and the indexes that it searched.

    Args:
        run: its folder, where the workflow made it.
        plan_sha256: of the plan that it was trained to, as its summary says.

    Raises:
        KformerError: the folder lies elsewhere, or something of this is not there any more.
    """
    table = retrieval_of_run(run, plan_sha256)
    results = _results_of(run)
    remedy = f"delete {table.parent} and start the study again"
    if not table.is_file():
        raise KformerError(f"{table}: says how facts were found, and is missing; {remedy}")
    settings = settings_of_table(table)
    sha256 = provenance(table, "retrieval").get("facts_sha256")
    facts = next((each for each in paths.facts_tables(results) if sha256_of(each) == sha256), None)
    if facts is None:
        raise KformerError(f"{results}: the facts of {table} are missing; {remedy}")
    indexes: list[Path] = []
    for kind in () if settings.control else settings.index_kinds:
        shards = _shards(kind, settings, facts, results)
        if not shards:
            raise KformerError(f"{results}: the index of {kind} of {facts} is missing; {remedy}")
        indexes += shards
    return FactsOfRun(settings, facts, indexes)


def retrieval_of_run(run: RunFolder, plan_sha256: str) -> Path:
    """The table of what was retrieved for a run, which may not be there any more.

    Raises:
        KformerError: the folder lies elsewhere, its study was changed, or it reads no facts.
    """
    plan = checked_plan_of_run(run, plan_sha256)
    tables = json.loads(plan.read_text("utf-8"))["tables"]
    if "retrieval" not in tables:
        raise KformerError(f"{run.path}: reads no facts")
    return _results_of(run) / Path(tables["retrieval"]).relative_to(paths.RESULTS)


def _results_of(run: RunFolder) -> Path:
    """The folder of all results, around that of a run in a study."""
    return paths.from_here(run.path.resolve().parents[3])


def _shards(kind: IndexKind, settings: Retrieval, facts: Path, results: Path) -> list[Path]:
    """All shards of the newest index that the settings ask for; none if there is no whole one."""
    wanted = (kind, settings.index_settings(kind), sha256_of(facts), settings.events is not None)
    found: dict[tuple[Path, int], list[Index]] = {}
    for folder in paths.finished_indexes(results):
        with suppress(KformerError):  # of another version
            index = read_index(folder)
            if (index.kind, index.settings, index.facts_sha256, index.of_events) == wanted:
                found.setdefault((folder.parent, index.shards), []).append(index)
    whole = (shards for (_, count), shards in found.items() if len(shards) == count)
    shards = sorted(next(whole, []), key=lambda shard: shard.number)
    return [shard.folder for shard in shards]
