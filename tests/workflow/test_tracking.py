"""A study whose tracking server is not there: it runs, and MLflow gets all of it later."""

import os
import socket
import subprocess
import sys

import pytest

from .tiny_study import snakemake, tiny_config

pytestmark = pytest.mark.slow


def test_a_study_without_its_server_runs_and_says_at_its_end_how_to_send_what_is_missing(
    tmp_path, tiny_encoder
):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    config = tiny_config(tiny_encoder, tracking={"uri": uri})
    done = snakemake(tmp_path, config, "--until", "read_questions")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert (
        f"tracking: {uri} does not answer (Connection refused); the study runs without it" in said
    )
    assert said.count(f"tracking: {uri} takes no runs now (Connection refused)") == 1
    last = [line for line in said.splitlines() if "nothing is lost: kformer sync sends" in line]
    assert last == [
        "error: 3 runs are not in MLflow as a whole (Connection refused); nothing is lost: "
        "kformer sync sends what is missing"
    ]

    store = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-m", "kformer", "sync"],
            env=os.environ | {"MLFLOW_TRACKING_URI": store},
            cwd=tmp_path,
            check=True,
        )
    from mlflow import MlflowClient

    client = MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    by_stage = {run.data.tags["stage"]: run for run in runs}
    assert len(runs) == 3
    assert by_stage.keys() == {"study", "demo-world", "questions"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs}
    assert parents == {None, by_stage["study"].info.run_id}
    assert by_stage["questions"].data.metrics["questions_stage_seconds"] > 0
