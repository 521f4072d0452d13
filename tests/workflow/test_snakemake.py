"""Snakemake really runs a tiny study: what is made, what is made again, and what a kill does."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from kformer.io.tables import read_table

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def study(tmp_path_factory, tiny_encoder) -> Path:
    """A folder in which the tiny study was run from beginning to end."""
    folder = tmp_path_factory.mktemp("study")
    done = snakemake(folder, tiny_config(tiny_encoder), "all")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    return folder


def test_one_command_makes_the_comparison_and_prints_it(study):
    found = json.loads((study / "results/tiny/comparison.json").read_text())
    assert [each["condition"] for each in found["conditions"]] == list(CONDITIONS)
    assert found["questions"] == 24
    assert found["chance"] == 0.25
    trained = {each["condition"]: each["seconds_per_step"] for each in found["conditions"]}
    assert trained.pop("retrieval-only") is None
    assert all(seconds > 0 for seconds in trained.values())
    assert (study / "results/tiny/accuracy.png").stat().st_size > 10_000
    assert "retrieval-only" in (study / "output.txt").read_text()


def test_one_mlflow_run_carries_training_and_evaluation(study):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{study}/results/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (kformer,) = [run for run in runs if run.data.tags.get("condition") == "kformer"]
    assert {"train_loss", "validation_accuracy", "test_accuracy"} <= kformer.data.metrics.keys()
    assert kformer.data.params["model.injection"] == "ffn"
    artifacts = {each.path for each in client.list_artifacts(kformer.info.run_id)}
    assert {"config.json", "settings.json", "summary.json"} <= artifacts
    stages = {run.data.tags["stage"] for run in runs}
    data = {
        "demo-world",
        "questions",
        "facts",
        "index",
        "retrieve",
        "describe-retrieval",
        "shuffle",
    }
    assert stages == {*data, "run", "compare"}
    (per_question,) = [
        run
        for run in runs
        if run.data.tags["stage"] == "describe-retrieval" and run.data.params["query"] == "question"
    ]
    assert per_question.data.metrics["gold_recall_at_5"] == 1.0
    artifacts = {each.path for each in client.list_artifacts(per_question.info.run_id)}
    assert {"retrieval.md", "sample.html"} <= artifacts


def test_the_quality_of_every_retrieval_is_reported(study):
    reports = sorted((study / "results/shared/retrieval").glob("*/retrieval.md"))
    assert len(reports) == 2  # per question, and per choice
    for report in reports:
        assert "Are the right facts found?" in report.read_text()
        assert "<mark>" in report.with_name("sample.html").read_text()


def test_split_over_several_jobs_retrieval_has_the_same_bytes(study, tmp_path, tiny_encoder):
    tables = [
        file.relative_to(study) for file in (study / "results/shared/retrieval").glob("*/*.parquet")
    ]
    assert len(tables) == 3
    config = tiny_config(tiny_encoder)
    split = ("--set-scatter", "retrieval=2", "facts=2")
    done = snakemake(tmp_path, config, *map(str, tables), *split)
    assert done.returncode == 0, done.stdout + done.stderr
    for table in tables:
        assert (tmp_path / table).read_bytes() == (study / table).read_bytes()
    assert not list(tmp_path.rglob("parts/*.parquet"))


def test_relations_are_matched_and_events_are_searched(tmp_path, tiny_encoder):
    conditions = {
        "none": {},
        "matched": {
            "model": {"injection": "ffn", "facts": 2},
            "retrieval": {
                "match": {"relations": {"easy": ["pet", "job"], "hard": ["food"]}},
                "events": 3,
            },
        },
    }
    config = tiny_config(tiny_encoder, conditions=conditions)
    done = snakemake(tmp_path, config, "retrieval")
    assert done.returncode == 0, done.stdout + done.stderr
    (table,) = (tmp_path / "results/shared/retrieval").glob("*/retrieval.parquet")
    (facts,) = (tmp_path / "results/shared/facts").glob("*/facts.parquet")
    (questions,) = (tmp_path / "results/shared/questions").glob("*/questions.parquet")
    relations = read_table(facts, "facts")["relation"].to_pylist()
    types = read_table(questions, "questions")["type"].to_pylist()
    matching = {"easy": {"pet", "job"}, "hard": {"food"}}
    found = read_table(table, "retrieval")["fact_ids"].to_pylist()
    assert any(found)
    for kind, fact_ids in zip(types, found, strict=True):
        assert {relations[fact_id] for fact_id in fact_ids} <= matching[kind]


def test_the_resolved_config_is_kept_with_the_results(study):
    config = json.loads((study / "results/tiny/config.json").read_text())
    assert config["training"]["weight_decay"] == 0.01


def test_a_second_run_has_nothing_to_do(study, tiny_encoder):
    done = snakemake(study, tiny_config(tiny_encoder), "all")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_changing_one_condition_runs_only_that_condition(study, tiny_encoder):
    changed = {**CONDITIONS, "kformer": {"model": {"injection": "ffn", "key_scale": 2.0}}}
    jobs = planned(study, tiny_config(tiny_encoder, conditions=changed))
    assert jobs == {"train_model kformer 1", "evaluate_model kformer 1", "compare_conditions"}


def test_adding_a_condition_runs_only_that_condition(study, tiny_encoder):
    added = {**CONDITIONS, "attention": {"model": {"injection": "attention"}}}
    jobs = planned(study, tiny_config(tiny_encoder, conditions=added))
    assert jobs == {"train_model attention 1", "evaluate_model attention 1", "compare_conditions"}


def test_a_control_without_facts_retrieves_nothing(study, tiny_encoder):
    static = {"model": {"injection": "static", "key_scale": 2.0}, "retrieval": {"top_k": 5}}
    jobs = planned(study, tiny_config(tiny_encoder, conditions={**CONDITIONS, "static": static}))
    assert jobs == {"train_model static 1", "evaluate_model static 1", "compare_conditions"}


def test_adding_a_seed_only_adds_runs(study, tiny_encoder):
    jobs = planned(study, tiny_config(tiny_encoder, seeds=[1, 2]))
    trained = ("none", "kformer", "kformer-shuffled")
    added = {f"{stage} {name} 2" for name in trained for stage in ("train_model", "evaluate_model")}
    assert jobs == added | {"compare_conditions"}


def test_changing_the_tracking_address_runs_nothing(study, tiny_encoder):
    elsewhere = {"uri": f"sqlite:///{study}/elsewhere.db"}
    assert planned(study, tiny_config(tiny_encoder, tracking=elsewhere)) == set()


def test_changing_the_retrieval_leaves_the_baseline_alone(study, tiny_encoder):
    jobs = planned(study, tiny_config(tiny_encoder, retrieval={"top_k": 5}))
    assert "train_model kformer 1" in jobs
    assert "train_model none 1" not in jobs


def test_a_second_run_in_a_folder_is_refused(study, tiny_encoder, tmp_path):
    import fcntl

    with (study / "results/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = snakemake(study, tiny_config(tiny_encoder, seeds=[1, 2]), "all")
    assert done.returncode != 0
    assert "another run is using this folder" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("target", "begun", "result", "table"),
    [
        ("retrieval", "logs/retrieve_facts/*", "shared/retrieval/*/retrieval.parquet", "retrieval"),
        (
            "all",
            "tiny/checkpoints/kformer-1/checkpoint-4/*",
            "tiny/runs/kformer/seed-1/predictions.parquet",
            "predictions",
        ),
    ],
    ids=["retrieval", "training"],
)
def test_a_killed_study_is_simply_started_again(
    study, tmp_path, tiny_encoder, target, begun, result, table
):
    kformer = {"kformer": CONDITIONS["kformer"]}
    config = tiny_config(tiny_encoder, conditions=kformer, baseline="kformer")
    call, environment = command(tmp_path, config, target)
    results = tmp_path / "results"
    with (tmp_path / "killed.txt").open("w") as output:
        process = subprocess.Popen(
            call, env=environment, cwd=ROOT, start_new_session=True, stdout=output, stderr=output
        )
        while process.poll() is None and not list(results.glob(begun)):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not list(results.glob(result))

    done = snakemake(tmp_path, config, target)

    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.rglob("*.partial"))
    (again,) = results.glob(result)
    assert read_table(again, table).equals(read_table(study / again.relative_to(tmp_path), table))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainign": {}}, "trainign: unknown key; did you mean training?"),
        (
            {"conditions": {"none": {"model": {"injection": "ffn", "layers": [2, 9]}}}},
            "conditions.none: model.layers: [2, 9) is out of range, the encoder has 4 layers",
        ),
    ],
)
def test_a_wrong_config_stops_the_run_before_any_job(tmp_path, tiny_encoder, changes, message):
    done = snakemake(tmp_path, tiny_config(tiny_encoder, **changes), "all")
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert str(tmp_path / "config.yaml") in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "results").exists()


def test_a_source_out_of_reach_says_what_to_do(tmp_path, tiny_encoder):
    config = tiny_config(
        tiny_encoder,
        questions={"dataset": "social_iqa"},
        sources={"social_iqa": {"url": str(tmp_path / "nowhere.zip")}},
    )
    done = snakemake(tmp_path, config, "all")
    assert done.returncode != 0
    (line,) = {line for line in done.stdout.splitlines() if line.startswith("error: ")}
    assert "social_iqa" in line
    assert "nowhere.zip" in line
    assert not list((tmp_path / "resources").glob("social_iqa-*"))
