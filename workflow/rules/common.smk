"""The experiment and its layout, which says for every rule what it reads and where it lies.

Every rule gets just the settings that it uses as its params, so that changing anything else re-runs
nothing; the version of its stage is a param where no key in its paths has it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

from kformer.errors import KformerError
from kformer.io.file_writing import held_lock, write_json
from kformer.study import paths
from kformer.study.experiment import load_experiment
from kformer.study.stage_versions import VERSIONS
from kformer.study.layout import Layout, fingerprint_of_files


def read_study():
    files = ", ".join(str(file) for file in workflow.configfiles) or "config"
    try:
        study = Layout(load_experiment(config, files))
        study.check_sources()
        return study
    except KformerError as error:
        # One line; a WorkflowError would add where in this file it was raised.
        sys.exit(f"error: {error}")


STUDY = read_study()
EXPERIMENT = STUDY.experiment

os.environ.update(STUDY.environment)

# glibc would hand the memory of large tensors back to the kernel after every training step and get
# it again zeroed, page by page: a fifth of the time of a step on a CPU (benchmarks/README.md).
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**32))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**32))

# On this machine; a cluster's profile sets it for the cluster's own. Without a GPU nothing may wait
# for one: several trainings then run side by side, a core each.
GPU = 1 if shutil.which("nvidia-smi") else 0


# Snakemake's `--set-scatter` changes these numbers; results have the same bytes whatever they are,
# but for the approximate search of FAISS in more or fewer indexes.
scattergather:
    facts=1,
    retrieval=1,


def as_json(settings):
    """Settings for the command line of a stage."""
    if hasattr(settings, "model_dump"):
        settings = settings.model_dump(mode="json")
    return json.dumps(settings, sort_keys=True)


def options(name, files):
    """An option of a command, once for each file."""
    return " ".join(f"--{name} {shlex.quote(str(file))}" for file in files)


def made_by_rules(files):
    # The key stands for the content, so its age does not matter.
    return [ancient(each.path) for each in files if not each.in_place]


def tables_of_facts(wildcards):
    """The facts and the retrieval table that a condition reads, if it uses facts."""
    return STUDY.tables_of_facts(wildcards.condition)


def options_of_facts(wildcards):
    tables = tables_of_facts(wildcards)
    return " ".join(options(name, [table]) for name, table in tables.items())


def counts_of_all_shards(wildcards):
    parts = gather.facts(str(paths.word_counts(wildcards.key, "{scatteritem}")))
    return parts if len(parts) > 1 else []


def facts_of_retrieval(wildcards):
    return paths.facts_table(STUDY.retrievals[wildcards.key].facts.key)


def indexes_of_retrieval(wildcards):
    """All shards of all indexes that are searched."""
    return [
        shard
        for index in STUDY.retrievals[wildcards.key].indexes
        for shard in gather.facts(str(paths.index_folder(index.key, "{scatteritem}")))
    ]


wildcard_constraints:
    source="|".join(map(re.escape, STUDY.sources)) or "none",
    key="[A-Za-z0-9_.+-]+",
    condition="[^/]+",
    seed=r"\d+",


onstart:
    RUN_LOCK = held_lock(paths.RUN_LOCK)
    if RUN_LOCK is None:
        sys.exit(
            f"error: {paths.RUN_LOCK}: another run is using this folder; wait until it ends"
        )
    prepare = ["kformer", "prepare-tracking", "--artifacts", str(STUDY.artifacts)]
    if subprocess.run(prepare).returncode:
        sys.exit(1)  # the reason is printed
    # Without the tracking address, which may hold a password.
    write_json(
        STUDY.config, EXPERIMENT.model_dump(mode="json", exclude={"tracking"})
    )


onsuccess:
    if STUDY.comparison.numbers.is_file():
        shell(f"kformer show {STUDY.comparison.numbers}")
