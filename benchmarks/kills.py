"""Does a study survive being killed? Kills a tiny one at random moments and compares the results.

    python benchmarks/kills.py --kills 100 --seed 1

A study is run once undisturbed. Then it is started in a new folder, again and again: after a
random time the main process alone, or its whole process group, is killed with SIGKILL, and the same
command is started at once. Whenever a study was killed a few times it is left in peace until it
ends; then tables, weights and predictions must equal those of the undisturbed study byte by byte,
the numbers of its comparison too (but for times and memory), and every point in MLflow must be
there exactly once. Nothing is ever cleaned up. The exit status is 1 if anything differs; the folder
is then kept.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tiny_encoder import write_tiny_encoder

from kformer.demo_world import DemoWorld

ROOT = Path(__file__).parents[1]
WORLD = {"train_questions": 48, "validation_questions": 24, "test_questions": 24}
STUDY = {
    "experiment": "tiny",
    "questions": {"dataset": "demo"},
    "knowledge": ["demo"],
    "demo_world": WORLD,
    "retrieval": {"top_k": 4},
    "model": {"encoder": "./encoder", "facts": 3},
    "training": {"max_steps": 40, "warmup_steps": 2, "evaluations": 4, "learning_rate": 0.001},
    "seeds": [1],
    "baseline": "none",
    "conditions": {
        "none": {},
        "kformer": {"model": {"injection": "ffn", "key_init": "identity"}},
        "kformer-shuffled": {
            "model": {"injection": "ffn", "key_init": "identity"},
            "retrieval": {"control": "shuffle"},
        },
    },
}
MEASURED = ("second", "cost", "memory", "_mb")  # what differs from run to run, by name
FILES = (
    "resources/*/*",
    "results/shared/questions/*/*.parquet",
    "results/shared/facts/*/*.parquet",
    "results/shared/index/*/*/*",
    "results/shared/retrieval/*/*.parquet",
    "results/shared/retrieval/*/*.json",
    "results/shared/tokens/*/tokens.arrow",
    "results/tiny/runs/*/*/model/*",
    "results/tiny/runs/*/*/predictions.parquet",
)


def make_study(folder: Path) -> None:
    """Writes the config and a tiny random encoder into a new folder."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    write_tiny_encoder(folder / "encoder", DemoWorld(**WORLD))


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The study's one command, in a process group of its own."""
    call = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    call += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(folder / "config.yaml")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (folder / "output.txt").open("a") as output:
        return subprocess.Popen(
            [*call, "--", "all"],
            cwd=ROOT,
            env=dict(os.environ, PATH=path, OMP_NUM_THREADS="1"),
            start_new_session=True,
            stdout=output,
            stderr=output,
        )


def contents(folder: Path) -> dict[str, str]:
    """What must not differ: checksums of files, and the numbers of the comparison."""
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in FILES
        for path in sorted(folder.glob(pattern))
        if path.is_file() and not path.name.startswith(".")  # what MLflow's runs are called
    }
    comparison = json.loads((folder / "results/tiny/comparison.json").read_text())
    found["comparison.json"] = json.dumps(without_measured(comparison), sort_keys=True)
    return found


def without_measured(content: Any) -> Any:
    """JSON without what is measured anew by every run."""
    if isinstance(content, dict):
        kept = {k: v for k, v in content.items() if not any(word in k for word in MEASURED)}
        return {key: without_measured(value) for key, value in kept.items()}
    return [without_measured(each) for each in content] if isinstance(content, list) else content


def points(folder: Path) -> Counter[tuple[Any, ...]]:
    """How often MLflow has each point of each training run: condition, key, step, value."""
    query = """
        select tags.value, metrics.key, metrics.step, metrics.value from metrics
        join runs using (run_uuid) join tags using (run_uuid)
        where tags.key = 'condition' and runs.lifecycle_stage = 'active'
        and metrics.key not like 'system/%'
    """
    with sqlite3.connect(folder / "results/mlflow.db") as store:
        rows = store.execute(query).fetchall()
    measured = [any(word in key for word in MEASURED) for _, key, _, _ in rows]
    return Counter(
        (condition, key, step, None if is_measured else value)
        for (condition, key, step, value), is_measured in zip(rows, measured, strict=True)
    )


def differences(folder: Path, expected: Path) -> Iterator[str]:
    """All that is not as in the undisturbed study."""
    found, wanted = contents(folder), contents(expected)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            yield f"{name}: {'differs' if name in found and name in wanted else 'only in one'}"
    in_store, once = points(folder), points(expected)
    for point in sorted(in_store.keys() | once.keys(), key=str):
        if in_store[point] != once[point]:
            yield f"MLflow: {point} is there {in_store[point]} times instead of {once[point]}"


def disturbed(folder: Path, kills: int, seconds: float, chance: random.Random) -> int:
    """Runs a study to its end, killed so often on the way at most; returns how often it was."""
    done = 0
    while True:
        process = start(folder)
        if done == kills:
            status = process.wait()
            break
        alone = chance.random() < 0.5
        try:
            status = process.wait(chance.uniform(0, seconds))
            break
        except subprocess.TimeoutExpired:
            send = os.kill if alone else os.killpg
            send(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            print(f"  killed {'the main process' if alone else 'the group'}", flush=True)
    if status:
        raise SystemExit(f"{folder}: ended with status {status}; see output.txt there")
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=6, help="kills of one study, at most")
    parser.add_argument("--seconds", type=float, help="longest time before a kill; else measured")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    base = Path(tempfile.mkdtemp(prefix="kills-"))
    calm = base / "undisturbed"
    make_study(calm)
    began = time.monotonic()
    disturbed(calm, 0, 0, chance)
    whole = time.monotonic() - began
    print(f"{base}: undisturbed in {whole:.0f} s, {len(contents(calm))} files", flush=True)

    killed = studies = 0
    while killed < arguments.kills:
        studies += 1
        folder = base / f"study-{studies}"
        make_study(folder)
        most = min(arguments.each, arguments.kills - killed)
        killed += disturbed(folder, most, arguments.seconds or whole / 2, chance)
        if found := list(differences(folder, calm)):
            print(f"{folder}: not as undisturbed:", *found[:20], sep="\n  ")
            return 1
        print(f"study {studies}: the same after {killed} kills in all", flush=True)
        shutil.rmtree(folder)
    minutes = (time.monotonic() - began) / 60
    print(f"{killed} kills in {studies} studies, all results the same ({minutes:.0f} min)")
    shutil.rmtree(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
