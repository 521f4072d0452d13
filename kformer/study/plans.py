"""What each run of a study depends on, as files that change when it changes.

Snakemake notes what its jobs depended on, but in a folder of its own: where results were copied
without it, or two folders share them, the plans tell what was trained differently.
"""

import json
from pathlib import Path

from kformer.io.file_writing import replacing
from kformer.io.output_names import RunFolder
from kformer.study.layout import Layout
from kformer.study.run_lock import refuse_running


def write_plans(study: Layout, run_lock: Path) -> None:
    """Writes the plans of all runs; those that are as they were stay untouched.

    Raises:
        KformerError: some have changed, while a run is using the folder.
    """
    plans = {
        study.plan(run.condition, run.seed): _plan(study, run)
        for run in study.runs
        if run.seed is not None
    }
    changed = {path: plan for path, plan in plans.items() if not _holds(path, plan)}
    if changed:
        refuse_running(run_lock)
    for path, plan in changed.items():
        with replacing(path) as partial:
            partial.write_text(plan, "utf-8")


def _plan(study: Layout, run: RunFolder) -> str:
    plan = {
        "version": study.train_version(run.condition),
        **study.train_settings(run.condition),
        "encoder": study.encoder(run.condition),
        "questions": str(study.questions),
        "facts": list(map(str, study.tables_of_facts(run.condition).values())),
    }
    return json.dumps(plan, indent=1, sort_keys=True) + "\n"


def _holds(path: Path, content: str) -> bool:
    return path.is_file() and path.read_bytes() == content.encode()
