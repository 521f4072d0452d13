"""A tiny study that Snakemake really runs, and what it would run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CONDITIONS = {
    "none": {},
    "kformer": {"model": {"injection": "ffn", "key_init": "identity"}},
    "kformer-shuffled": {
        "model": {"injection": "ffn", "key_init": "identity"},
        "retrieval": {"control": "shuffle"},
    },
    "retrieval-only": {"answer_by": "retrieval", "retrieval": {"query": "choice"}},
}


def tiny_config(encoder: Path, **changes) -> dict:
    config = {
        "experiment": "tiny",
        "questions": {"dataset": "demo"},
        "knowledge": ["demo"],
        "demo_world": {"train_questions": 48, "validation_questions": 24, "test_questions": 24},
        "retrieval": {"top_k": 4},
        "model": {"encoder": str(encoder), "facts": 3},
        "training": {"max_steps": 12, "warmup_steps": 2, "evaluations": 3, "learning_rate": 0.001},
        "seeds": [1],
        "baseline": "none",
        "conditions": CONDITIONS,
    }
    return config | changes


def command(folder: Path, config: dict, *options: str) -> tuple[list[str], dict[str, str]]:
    """Snakemake as a user calls it, in a folder of its own."""
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    call = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    call += ["--snakefile", str(ROOT / "Snakefile"), *options, "--configfile", str(file)]
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return call, environment


def snakemake(folder: Path, config: dict, *options: str) -> subprocess.CompletedProcess[str]:
    call, environment = command(folder, config, *options)
    return subprocess.run(call, env=environment, cwd=ROOT, text=True, capture_output=True)


def planned(folder: Path, config: dict) -> set[str]:
    """The jobs that Snakemake would run, such as ``train_model kformer 1``."""
    done = snakemake(folder, config, "--dry-run")
    assert done.returncode == 0, done.stderr
    jobs = set()
    for block in re.split(r"\n(?=\[)", done.stdout + done.stderr):
        rule = re.search(r"rule (\w+):", block)
        of_run = re.search(r"wildcards: condition=([\w-]+)(?:, seed=(\d+))?", block)
        if rule and rule[1] != "all":
            jobs.add(" ".join([rule[1], *(filter(None, of_run.groups()) if of_run else ())]))
    return jobs
