"""The experiment and its layout, which says for every rule what it reads and where it lies.

Every rule gets just the settings that it uses as its params, so that changing anything else re-runs
nothing; where no key in its paths has the version of its stage, a plan or a param has it.
"""

import errno
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import get_args

from kformer.errors import KformerError
from kformer.evaluation.ladder import have_steps
from kformer.io.output_names import RunFolder
from kformer.retrieval.settings import Control
from kformer.study import paths
from kformer.study.condition_settings import write_conditions
from kformer.study.experiment import load_experiment
from kformer.study.stage_versions import VERSIONS
from kformer.study.kept_models import drops_models
from kformer.study.kept_results import tell_or_keep
from kformer.study.ladders import ladders_of
from kformer.study.layout import Layout
from kformer.study.machine import memory_of_this_machine
from kformer.study.plans import write_plans
from kformer.study.report_inputs import about_report
from kformer.study.run_lock import lock_run
from kformer.study.saved_study import StudyCommand, save_study
from kformer.study.training_memory import (
    UNKNOWN_MB,
    memory_of_training,
    threads_of_trainings,
)
from kformer.tracking import SENT_BY_ANOTHER


def or_exit(function, *arguments):
    """What a function returns; a mistake of the user's ends all with one line, Ctrl-C with none.

    A WorkflowError would add where in this file it was raised.
    """
    try:
        return function(*arguments)
    except KformerError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(130)


def run_or_exit(*command):
    """Runs a command of kformer; where it fails it has printed why, and all ends."""
    # In a group of its own: Ctrl-C reaches this process alone, which then kills the command.
    if subprocess.run(["kformer", *command], process_group=0).returncode:
        sys.exit(1)


def read_study():
    given = [word.partition("=")[0] for word in sys.argv]
    if given.count("--configfile") + given.count("--configfiles") > 1:
        # Snakemake would read the last one alone.
        raise KformerError(
            "--configfile: given twice; give all files behind one of them"
        )
    files = ", ".join(str(file) for file in workflow.configfiles) or "config"
    study = Layout(load_experiment(config, files))
    study.check_sources()
    return study


STUDY = or_exit(read_study)
or_exit(write_plans, STUDY, paths.RUN_LOCK)
EXPERIMENT = STUDY.experiment
LADDERS = ladders_of(STUDY.conditions)
ABOUT = about_report(STUDY)

os.environ.update(STUDY.environment)
os.environ[SENT_BY_ANOTHER] = "1"  # see follow_stages

# glibc would hand the memory of large tensors back to the kernel after every training step and get
# it again zeroed, page by page: a fifth of the time of a step on a CPU (benchmarks/README.md).
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**32))
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**32))

# On this machine; a cluster's profile sets it for the cluster's own. Without a GPU nothing may wait
# for one: several trainings then run side by side, a core each.
GPU = 1 if shutil.which("nvidia-smi") else 0


def threads_on_this_machine():
    """How many threads a training of each condition has, of the cores of this machine."""
    if not (workflow.is_main_process and workflow.local_exec):
        # A profile says how many, or the job has them already.
        return dict.fromkeys(STUDY.conditions, 1)
    memory = memory_of_this_machine()
    if "mem_mb" not in workflow.global_resources:
        workflow.register_resource("mem_mb", memory)
    cores = workflow._cores or 1  # a dry run needs none
    if GPU:
        return dict.fromkeys(STUDY.conditions, min(cores, 4))
    return threads_of_trainings(STUDY, cores, memory)


SENDER = None
TRAINING_THREADS = or_exit(threads_on_this_machine)


def memory_needed(wildcards, input, attempt):
    tokens = pathlib.Path(input.question_tokens)
    if not tokens.exists():  # Snakemake asks again when they are there
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(tokens))
    try:
        return attempt * memory_of_training(STUDY, wildcards.condition, tokens)
    except KformerError:
        return UNKNOWN_MB  # the job says what is wrong with its tokens


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


def retrieved(key, table):
    """A table of what was retrieved, as an input."""
    # Approximate search also depends on the number of indexes, for which the key does not stand.
    exact = STUDY.retrievals[key].settings.nearest == "exact"
    return ancient(table) if exact else table


def retrieved_for(wildcards):
    """What was retrieved for a condition that uses facts."""
    key = STUDY.retrieval_of[wildcards.condition].key
    return retrieved(key, STUDY.tables_of_facts(wildcards.condition)["retrieval"])


def tables_of_training(wildcards):
    """The tables of tokens that a condition reads and, if it uses facts, what was retrieved."""
    tables = STUDY.tables_of_training(wildcards.condition)
    inputs = {name: ancient(table) for name, table in tables.items()}
    if "retrieval" in tables:
        inputs["retrieval"] = retrieved_for(wildcards)
    return inputs


def tables_without_states(wildcards):
    """Those of training, for a stage that computes the states of frozen layers itself."""
    inputs = tables_of_training(wildcards)
    inputs.pop("states", None)
    return inputs


def facts_of_condition(wildcards):
    return ancient(STUDY.tables_of_facts(wildcards.condition)["facts"])


def options_of_tables(wildcards):
    return options_of(STUDY.tables_of_training(wildcards.condition))


def options_of(tables):
    return " ".join(
        options(name.replace("_", "-"), [table]) for name, table in tables.items()
    )


def figures_of_ladders():
    """None where no method has more than one condition."""
    svg = report(
        STUDY.comparison.ladder_svg,
        category="Comparison",
        labels={"figure": "accuracy of each method by the facts that it reads"},
    )
    return [svg, STUDY.comparison.ladder_png] if have_steps(LADDERS) else []


def counts_of_all_shards(wildcards):
    parts = gather.facts(str(paths.word_counts(wildcards.key, "{scatteritem}")))
    return parts if len(parts) > 1 else []


def facts_of_retrieval(wildcards):
    return ancient(paths.facts_table(STUDY.retrievals[wildcards.key].facts.key))


def indexes_of_retrieval(wildcards):
    """All shards of all indexes that are searched."""
    return [
        ancient(shard)
        for index in STUDY.retrievals[wildcards.key].indexes
        for shard in gather.facts(str(paths.index_folder(index.key, "{scatteritem}")))
    ]


def finished_runs_to_replace():
    """Those that this run makes again."""
    jobs = [
        job for job in workflow.dag.needrun_jobs() if job.rule.name == "train_model"
    ]
    summaries = [pathlib.Path(job.output.summary) for job in jobs]
    return [RunFolder(file.parent) for file in summaries if file.is_file()]


def check_targets():
    """Nothing that was asked for may be missing after a success.

    Snakemake leaves out all that comes behind a job whose outputs are there already and count as
    `ancient`, even what has not been made yet.
    """
    for job in workflow.dag.targetjobs:
        for file in job.output or job.input:
            if not pathlib.Path(file).exists():
                raise KformerError(
                    f"{file}: not made yet, as something before it had to be made again first; "
                    "start the same command again"
                )


def errors_of_failed_jobs(logs):
    """What the failed jobs said last, from their logs, which Snakemake's own logs name."""
    text = "".join(pathlib.Path(log).read_text(errors="replace") for log in logs)
    for name in re.findall(r"(?m)^    log: (.+) \(check log file", text):
        if pathlib.Path(name).is_file():
            lines = pathlib.Path(name).read_text(errors="replace").splitlines()
            yield from [line for line in lines if line.startswith("error: ")][-1:]


def follow_stages():
    """Starts to send what the stages measure to MLflow; returns the process that does it.

    So no stage loads MLflow, and none waits for a server.
    """
    # In a group of its own: Ctrl-C ends the stages first.
    command = ["kformer", "sync", "--follow", str(STUDY.folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, text=True, process_group=0)


def end_tracking(status):
    """Lets the rest be sent, which says what could not be."""
    if SENDER:
        SENDER.communicate(status)
        if SENDER.returncode < 0:  # it was killed
            subprocess.run(["kformer", "sync"])


def prepare():
    """Whatever must be done before the first job; returns the lock of the run."""
    lock = lock_run(paths.RUN_LOCK, paths.JOBS_LOCK)
    encoders = [
        f"--{option}={name}"
        for option, names in EXPERIMENT.encoders.items()
        for name in names
    ]
    run_or_exit("check-encoders", *encoders)
    run_or_exit("prepare-tracking", f"--artifacts={STUDY.artifacts}")
    tell_or_keep(STUDY, finished_runs_to_replace())
    save_study(
        STUDY,
        StudyCommand.of(
            workflow.basedir,
            workflow.configfiles,
            workflow.config_settings.config_args,
        ),
    )
    write_conditions(STUDY)
    return lock


wildcard_constraints:
    source="|".join(map(re.escape, STUDY.sources)) or "none",
    key="[A-Za-z0-9_.+-]+",
    condition="[^/]+",
    seed=r"\d+",


onstart:
    # Global, since the lock is held for as long as this lives.
    global RUN_LOCK, SENDER
    RUN_LOCK = or_exit(prepare)
    SENDER = follow_stages()


onsuccess:
    or_exit(check_targets)
    if STUDY.comparison.numbers.is_file():
        shell(f"kformer show {STUDY.comparison.numbers}")
        print(f"The report: {STUDY.comparison.report}", flush=True)
    end_tracking("FINISHED")  # last, for it may say what is missing


onerror:
    # Once more, where one looks: at the end, without the lines of Snakemake around it.
    end_tracking("FAILED")
    print(*errors_of_failed_jobs(log), sep="\n", file=sys.stderr)
