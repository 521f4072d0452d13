"""Snakemake really runs a tiny study: what is made, what is made again, and what a kill does."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from kformer.io.tables import read_table

from .tiny_study import CONDITIONS, ROOT, command, planned, snakemake, tiny_config

COMPARED = {"compare_conditions", "write_report"}

pytestmark = pytest.mark.slow


def test_one_command_makes_the_comparison_and_prints_it(study):
    found = json.loads((study / "results/tiny/comparison.json").read_text())
    assert [each["condition"] for each in found["conditions"]] == list(CONDITIONS)
    assert found["questions"] == 24
    assert found["guessing"]["evenly"] == 0.25
    trained = {each["condition"]: each["seconds_per_step"] for each in found["conditions"]}
    assert trained.pop("retrieval-only") is None
    assert all(seconds > 0 for seconds in trained.values())
    assert (study / "results/tiny/accuracy.png").stat().st_size > 10_000
    assert (study / "results/tiny/ladder.png").stat().st_size > 10_000
    page = (study / "results/tiny/report.html").read_text("utf-8")
    assert "One seed: not a statement about a method" in page and "provenance" in page
    assert (study / "results/tiny/tables/test_conditions.tex").is_file()
    (ladder,) = found["ladders"]
    assert ladder["rungs"][0]["controls"][0]["condition"] == "kformer-shuffled"
    (use, of_control) = found["use_of_facts"]
    assert [use["condition"], of_control["condition"]] == ["kformer", "kformer-shuffled"]
    assert use["changed_without_facts"]["questions"] == 24
    assert use["gold_mattered_most"]["questions"] > 0 and not of_control["gold_mattered_most"]
    output = (study / "output.txt").read_text()
    assert "retrieval-only" in output and "Use of facts" in output


def test_one_mlflow_run_carries_training_and_evaluation(study):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{study}/results/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (kformer,) = [run for run in runs if run.data.tags.get("condition") == "kformer"]
    measured = {"train_loss", "validation_accuracy", "test_accuracy", "changed_without_facts"}
    assert measured <= kformer.data.metrics.keys()
    assert kformer.data.params["model.injection"] == "ffn"
    assert kformer.data.params["retrieval.top_k"] == "4"
    assert kformer.data.params["changes"] == "model.injection: ffn, model.key_init: identity"
    read = {each.dataset.name for each in kformer.inputs.dataset_inputs}
    assert read == {"question_tokens", "fact_tokens", "retrieval"}
    assert "system/process_memory_usage_megabytes" in kformer.data.metrics
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
        "control",
        "featurize",
    }
    assert stages == {*data, "run", "compare", "study"}
    (per_question,) = [
        run
        for run in runs
        if run.data.tags["stage"] == "describe-retrieval" and run.data.params["query"] == "question"
    ]
    assert per_question.data.metrics["gold_recall_at_5"] == 1.0
    artifacts = {each.path for each in client.list_artifacts(per_question.info.run_id)}
    assert {"retrieval.md", "sample.html"} <= artifacts


def test_runs_are_nested_in_that_of_the_study_and_jobs_leave_it_to_another_to_send_them(study):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{study}/results/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    (parent,) = [run for run in runs if run.data.tags["stage"] == "study"]
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs if run is not parent}
    assert parents == {parent.info.run_id}
    journals = [*study.rglob(".*mlflow_run.jsonl")]
    assert len(journals) == len(runs)
    notes = [json.loads(each.with_suffix(".json").read_text()) for each in journals]
    assert [each["sent"] for each in notes] == [each.stat().st_size for each in journals]


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


def test_an_encoder_of_a_hub_is_trained(tmp_path, tiny_encoder, monkeypatch):
    """From the hub client's own cache, as on a compute node without internet."""
    cached = tmp_path / "hub/models--somebody--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs/main").write_text("0" * 40)
    shutil.copytree(tiny_encoder, cached / "snapshots" / ("0" * 40))
    monkeypatch.setenv("HF_HUB_CACHE", str(cached.parent))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = snakemake(
        tmp_path,
        tiny_config("somebody/tiny", conditions={"none": {}}),
        "results/tiny/runs/none/seed-1/training.json",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_texts_are_tokenised_once_for_all_conditions_of_an_encoder(study):
    tables = sorted((study / "results/shared/tokens").glob("*/tokens.arrow"))
    assert [table.parent.name.split("-")[0] for table in tables] == ["facts", "questions"]


def test_a_second_run_has_nothing_to_do(study, tiny_encoder):
    done = snakemake(study, tiny_config(tiny_encoder), "all")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.fixture
def half_done(study, tmp_path, tiny_encoder):
    """A study whose data stages have ended, and what Snakemake noted of each of their outputs."""
    patterns = ("questions/*/questions.parquet", "facts/*/facts.parquet")
    files = [
        str(next(study.glob(f"results/shared/{pattern}")).relative_to(study))
        for pattern in patterns
    ]
    done = snakemake(tmp_path, tiny_config(tiny_encoder), *files)
    assert done.returncode == 0, done.stdout + done.stderr
    notes = [base64.b64encode(file.encode()).decode() for file in files]
    return [tmp_path / ".snakemake/metadata" / note for note in notes]


def change_rules(notes):
    """As if the files had been made by rules of other words."""
    for note in notes:
        note.write_text(json.dumps(json.loads(note.read_text()) | {"code": "another"}))


def test_nothing_is_left_out_behind_complete_files_of_killed_or_reworded_jobs(
    half_done, tmp_path, tiny_encoder
):
    change_rules(half_done)
    for note in half_done:  # what Snakemake leaves when it is killed as a job ends
        (tmp_path / ".snakemake/incomplete" / note.name).touch()
    jobs = planned(tmp_path, tiny_config(tiny_encoder))
    assert not jobs & {"read_questions", "read_facts"}
    assert {"train_model kformer 1", "evaluate_model none 1", "compare_conditions"} <= jobs


def test_a_run_that_leaves_out_what_was_asked_for_fails(half_done, tmp_path, tiny_encoder):
    change_rules(half_done)
    done = snakemake(tmp_path, tiny_config(tiny_encoder), "--rerun-triggers", "code")
    assert done.returncode == 1
    last = (done.stdout + done.stderr).rstrip().splitlines()[-1]
    assert last.startswith("error: results/tiny/comparison.json: not made yet,")
    assert "train_model kformer 1" in planned(tmp_path, tiny_config(tiny_encoder))


def jobs_of(condition, seed=1):
    """Those of a run that reads facts."""
    stages = ("train_model", "evaluate_model", "measure_use_of_facts")
    return {f"{stage} {condition} {seed}" for stage in stages}


def test_changing_one_condition_runs_only_that_condition(study, tiny_encoder):
    changed = {**CONDITIONS, "kformer": {"model": {"injection": "ffn", "key_scale": 2.0}}}
    jobs = planned(study, tiny_config(tiny_encoder, conditions=changed))
    assert jobs == {*jobs_of("kformer"), *COMPARED}


def test_adding_a_condition_runs_only_that_condition(study, tiny_encoder):
    added = {**CONDITIONS, "attention": {"model": {"injection": "attention"}}}
    jobs = planned(study, tiny_config(tiny_encoder, conditions=added))
    assert jobs == {*jobs_of("attention"), *COMPARED}


def test_a_control_without_facts_retrieves_nothing(study, tiny_encoder):
    static = {"model": {"injection": "static", "key_scale": 2.0}, "retrieval": {"top_k": 5}}
    jobs = planned(study, tiny_config(tiny_encoder, conditions={**CONDITIONS, "static": static}))
    assert jobs == {"train_model static 1", "evaluate_model static 1", *COMPARED}


def test_adding_a_seed_only_adds_runs(study, tiny_encoder):
    jobs = planned(study, tiny_config(tiny_encoder, seeds=[1, 2]))
    reading = (*jobs_of("kformer", 2), *jobs_of("kformer-shuffled", 2))
    assert jobs == {"train_model none 2", "evaluate_model none 2", *reading, *COMPARED}


def test_the_use_of_facts_is_measured_on_as_many_questions_as_asked_for(study, tiny_encoder):
    fewer, none = (
        planned(study, tiny_config(tiny_encoder, evaluation={"use_of_facts_questions": number}))
        for number in (9, 0)
    )
    measured = {f"measure_use_of_facts {name} 1" for name in ("kformer", "kformer-shuffled")}
    assert fewer == {*measured, *COMPARED}
    assert none == COMPARED


def test_changing_the_tracking_address_runs_nothing(study, tiny_encoder):
    elsewhere = {"uri": f"sqlite:///{study}/elsewhere.db"}
    assert planned(study, tiny_config(tiny_encoder, tracking=elsewhere)) == set()


def test_changing_the_retrieval_leaves_the_baseline_alone(study, tiny_encoder):
    jobs = planned(study, tiny_config(tiny_encoder, retrieval={"top_k": 5}))
    assert "train_model kformer 1" in jobs
    assert "train_model none 1" not in jobs


def test_ages_of_files_run_nothing(study, tmp_path, tiny_encoder):
    encoder, copy = tmp_path / "encoder", tmp_path / "copy"
    shutil.copytree(tiny_encoder, encoder, copy_function=shutil.copy)
    shutil.copytree(study, copy, copy_function=shutil.copy)  # with ages of its own
    shutil.rmtree(tiny_encoder)
    encoder.rename(tiny_encoder)
    assert planned(copy, tiny_config(tiny_encoder)) == set()
    for file in sorted(copy.rglob("*"), reverse=True):
        file.touch()
    assert planned(copy, tiny_config(tiny_encoder)) == set()


def test_an_encoder_that_was_replaced_in_place_is_noticed(study, tmp_path, tiny_encoder):
    weights = tiny_encoder / "model.safetensors"
    kept, state = weights.read_bytes(), weights.stat()
    try:
        weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
        jobs = planned(study, tiny_config(tiny_encoder))
    finally:
        weights.write_bytes(kept)
    again = {*jobs_of("kformer"), *jobs_of("kformer-shuffled")}
    again |= {"train_model none 1", "evaluate_model none 1"}
    assert jobs == {*again, "featurize", *COMPARED}


PARTS = ["model", "training.json", "predictions.parquet", "use_of_facts.parquet"]


@pytest.mark.parametrize("deleted", PARTS)
def test_a_part_of_a_run_that_was_deleted_is_made_again(study, tmp_path, tiny_encoder, deleted):
    part = study / "results/tiny/runs/kformer/seed-1" / deleted
    part.rename(tmp_path / "deleted")
    try:
        jobs = planned(study, tiny_config(tiny_encoder))
    finally:
        (tmp_path / "deleted").rename(part)
    unchanged = {
        "predictions.parquet": {"train_model kformer 1"},
        "use_of_facts.parquet": {"train_model kformer 1", "evaluate_model kformer 1"},
    }
    assert jobs == {*jobs_of("kformer") - unchanged.get(deleted, set()), *COMPARED}


def test_where_snakemakes_notes_are_lost_contents_still_decide(study, tmp_path, tiny_encoder):
    copy = tmp_path / "copy"
    shutil.copytree(study, copy, ignore=shutil.ignore_patterns(".snakemake"))
    for plan in copy.glob("results/tiny/plans/*"):  # which dry runs of other tests have written
        os.utime(plan, (1, 1))
    unchanged = tiny_config(tiny_encoder)
    assert planned(copy, unchanged) == set()
    fewer = {name: CONDITIONS[name] for name in ("none", "kformer")}
    for change in ({"baseline": "kformer"}, {"conditions": fewer}):
        assert planned(copy, tiny_config(tiny_encoder, **change)) == COMPARED
    longer = unchanged["training"] | {"max_steps": 13}
    jobs = planned(copy, tiny_config(tiny_encoder, training=longer, conditions=fewer))
    assert {"train_model none 1", "train_model kformer 1"} <= jobs
    assert planned(copy, unchanged) == COMPARED  # of more conditions again


def test_two_configfile_options_are_refused(study, tmp_path, tiny_encoder):
    (tmp_path / "over.yaml").write_text("seeds: [2]")
    done = snakemake(
        study, tiny_config(tiny_encoder), "--dry-run", "--configfile", str(tmp_path / "over.yaml")
    )
    assert done.returncode != 0
    assert "--configfile: given twice; give all files behind one of them" in done.stderr


def test_numbers_on_the_command_line_are_numbers(study, tiny_encoder):
    changes = ("--config", "seeds=[1,2]", "retrieval={top_k: 4}")
    done = snakemake(study, tiny_config(tiny_encoder), *changes, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_last_line_of_a_failed_study_says_why(tmp_path, tiny_encoder):
    (tmp_path / "q.jsonl").write_text('{"question": "?", "choices": ["a", "b"], "answer": 7}')
    questions = {"dataset": "jsonl", "path": str(tmp_path / "q.jsonl")}
    done = snakemake(tmp_path, tiny_config(tiny_encoder, questions=questions), "all")
    assert done.returncode != 0
    after = done.stderr.split("Exiting because a job execution failed")[1]
    assert f"error: {tmp_path}/q.jsonl:1: answer: 7 is out of range" in after


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
