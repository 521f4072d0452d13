"""The experiment, and where the files of each of its parts lie.

Files are keyed by what they depend on, so that experiments share them: a key is a fingerprint of
the settings and of the sources behind a file. Every rule gets just the settings that it uses as
its params, so that changing anything else re-runs nothing.
"""

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from kformer.study.experiment import load_experiment
from kformer.study.keys import fingerprint
from kformer.errors import KformerError
from kformer.io.files import write_json
from kformer.sources.lock import check_unpacked
from kformer.sources.catalogue import resolve


def plain(section):
    """Settings as JSON text, for the command line of a stage."""
    return json.dumps(section.model_dump(mode="json"), sort_keys=True)


def read_experiment():
    files = ", ".join(str(file) for file in workflow.configfiles) or "config"
    try:
        experiment = load_experiment(config, files)
        for name in experiment.needed_sources:
            source = resolve(name, experiment.needed_sources)
            folder = Path("resources", f"{name}-{source.key}")
            check_unpacked(source, folder, Path("sources.lock.json"))
        return experiment
    except KformerError as error:
        # One line; a WorkflowError would add where in this file it was raised.
        sys.exit(f"error: {error}")


EXPERIMENT = read_experiment()
NAME = EXPERIMENT.experiment
CONDITIONS = {name: EXPERIMENT.condition(name) for name in EXPERIMENT.conditions}
RESULTS = f"results/{NAME}"

# Tracking is set by environment: it is nobody's parameter, so changing it re-runs nothing.
TRACKING_URI = (
    EXPERIMENT.tracking.uri or f"sqlite:///{Path('results/mlflow.db').resolve()}"
)
os.environ.update(
    MLFLOW_TRACKING_URI=TRACKING_URI,
    MLFLOW_EXPERIMENT_NAME=NAME,
    KFORMER_CONFIG=str(Path(RESULTS, "config.json").resolve()),
)

# So are the addresses of sources: what a source holds is named by its checksum.
SOURCES = EXPERIMENT.needed_sources
os.environ.update(
    KFORMER_SOURCES=json.dumps(
        {name: override.model_dump(mode="json") for name, override in SOURCES.items()}
    )
)

# glibc would hand the memory of large tensors back to the kernel after every training step and get
# it again zeroed, page by page: a fifth of the time of a step on a CPU (benchmarks/README.md).
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**32))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**32))

# On this machine; a cluster's profile sets it for the cluster's own. Without a GPU nothing may wait
# for one: several trainings then run side by side, a core each.
GPU = 1 if shutil.which("nvidia-smi") else 0


def hold_lock(path):
    """Keeps a second run out of this folder for as long as this process lives.

    Snakemake's own lock outlives a killed run and would have to be removed by hand; the profiles
    switch it off. This one is the kernel's, which lets go of it however the process ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(
            f"error: {path}: another run is going on in this folder; wait until it ends"
        )
    return lock


# Sources


def source_key(reader):
    """Names what a reader reads: by its checksum, by what generates it, or by where it lies."""
    if reader.archive is None:
        return reader.path
    if reader.archive == "demo":
        return f"demo-{fingerprint(EXPERIMENT.demo_world)}"
    return f"{reader.archive}-{resolve(reader.archive, SOURCES).key}"


def source_place(reader):
    """The file or folder that a reader is given."""
    return reader.path if reader.archive is None else f"resources/{source_key(reader)}"


def source_folders(readers):
    # The key stands for the content, so its age does not matter.
    return [ancient(source_place(reader)) for reader in readers if reader.archive]


def own_files(readers):
    """What lies at the paths of own data. As a parameter, so that any change is noticed, also to
    an older file; names are taken as they are, and nothing is read."""
    paths = [Path(reader.path) for reader in readers if reader.archive is None]
    files = [file for path in paths for file in sorted([path, *path.rglob("[!.]*")])]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return fingerprint([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])


# Questions, facts, indexes, retrieval: keys, and what each key stands for

QUESTIONS_KEY = (
    f"{EXPERIMENT.questions.dataset}-"
    f"{fingerprint(EXPERIMENT.questions, source_key(EXPERIMENT.questions))}"
)
FACTS = {}
INDEXES = {}
RETRIEVALS = {}


def facts_key(condition):
    readers = condition.knowledge
    labels = "+".join(reader.label for reader in readers)
    key = f"{labels}-{fingerprint(readers, [source_key(reader) for reader in readers])}"
    FACTS[key] = readers
    return key


# Snakemake's `--set-scatter` changes these numbers; results have the same bytes whatever they are,
# but for the approximate search of FAISS in more or fewer indexes.
scattergather:
    facts=1,
    retrieval=1,


def documents_table(settings, key):
    """What is indexed: the facts under a key, or the events that they are about."""
    table = "events" if settings.events else "facts"
    return f"results/shared/facts/{key}/{table}.parquet"


def index_keys(settings, key):
    """The indexes that are searched for the facts under a key."""
    documents = documents_table(settings, key)
    keys = []
    for kind in settings.index_kinds:
        needed = settings.index_settings(kind)
        keys.append(f"{kind}-{fingerprint(needed, documents)}")
        INDEXES[keys[-1]] = (needed, documents)
    return keys


def retrieval_key(condition):
    """The key of a condition's retrieval; a control shuffles what lies under the same key."""
    settings = condition.retrieval.model_copy(update={"control": None})
    facts = facts_key(condition)
    key = f"{settings.method}-{fingerprint(settings.relevant_settings(), QUESTIONS_KEY, facts)}"
    RETRIEVALS[key] = (settings, facts, index_keys(settings, facts))
    return key


def counts_of_all_shards(wildcards):
    parts = gather.facts(
        f"results/shared/index/{wildcards.key}/{{scatteritem}}.words.json"
    )
    return parts if len(parts) > 1 else []


def indexes_of_retrieval(wildcards):
    """All shards of all indexes that are searched."""
    _, _, keys = RETRIEVALS[wildcards.key]
    return [
        shard
        for key in keys
        for shard in gather.facts(f"results/shared/index/{key}/{{scatteritem}}")
    ]


def facts_of_retrieval(wildcards):
    return f"results/shared/facts/{RETRIEVALS[wildcards.key][1]}/facts.parquet"


def embeds_queries(wildcards):
    return "embeddings" in RETRIEVALS[wildcards.key][0].index_kinds


def retrieval_settings(wildcards):
    """Of the settings those that are read: changing another one retrieves nothing anew."""
    settings, _, _ = RETRIEVALS[wildcards.key]
    return json.dumps(settings.relevant_settings(), sort_keys=True)


QUESTIONS = f"results/shared/questions/{QUESTIONS_KEY}/questions.parquet"


def facts_table(condition):
    return f"results/shared/facts/{facts_key(condition)}/facts.parquet"


def retrieval_table(condition):
    file = "shuffled" if condition.retrieval.control else "retrieval"
    return f"results/shared/retrieval/{retrieval_key(condition)}/{file}.parquet"


# Runs


def run_names(name):
    """The runs of a condition: one a seed, or a single one where nothing is trained."""
    if CONDITIONS[name].answer_by == "retrieval":
        return ["untrained"]
    return [f"seed-{seed}" for seed in EXPERIMENT.seeds]


RUNS = [
    f"{RESULTS}/runs/{name}/{run}" for name in CONDITIONS for run in run_names(name)
]

for condition in CONDITIONS.values():
    if condition.uses_facts:
        retrieval_key(condition)  # which notes what each key stands for


def knowledge_inputs(wildcards):
    """The tables that a condition's model reads besides the questions."""
    condition = CONDITIONS[wildcards.condition]
    if not condition.uses_facts:
        return {}
    return {"facts": facts_table(condition), "retrieval": retrieval_table(condition)}


def knowledge_options(wildcards):
    return " ".join(
        f"--{key} {path}" for key, path in knowledge_inputs(wildcards).items()
    )


# What a method does not read is no parameter of its: changing it trains nothing again.
UNREAD = {
    "none": {"layers", "facts", "key_init", "key_scale", "max_fact_tokens"},
    "concat": {"layers", "key_init", "key_scale"},
    "static": {"max_fact_tokens"},
}


def train_settings(wildcards):
    condition = CONDITIONS[wildcards.condition]
    unread = UNREAD.get(condition.model.injection, set())
    sections = {
        "model": condition.model.model_dump(mode="json", exclude=unread),
        "training": condition.training.model_dump(mode="json"),
    }
    return json.dumps(sections, sort_keys=True)


wildcard_constraints:
    source="|".join(map(re.escape, SOURCES)) or "none",
    key="[A-Za-z0-9_.+-]+",
    condition="[^/]+",
    seed=r"\d+",


onstart:
    RUN_LOCK = hold_lock(Path("results/.lock"))
    artifacts = f"{RESULTS}/mlflow-artifacts"
    if subprocess.run(
        ["kformer", "prepare-tracking", "--artifacts", artifacts]
    ).returncode:
        sys.exit(1)  # it has said why
    # Without the tracking address, which may hold a password.
    write_json(
        Path(RESULTS, "config.json"),
        EXPERIMENT.model_dump(mode="json", exclude={"tracking"}),
    )


onsuccess:
    if Path(RESULTS, "comparison.json").is_file():
        shell("kformer show {RESULTS}/comparison.json")
