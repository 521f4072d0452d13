"""What a finished study says of its results, and what is left where an experiment is removed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kformer.study import paths
from kformer.study.explain import explain
from kformer.study.removal import plan_removal
from kformer.study.saved_study import read_studies

from .tiny_study import planned, snakemake, tiny_config

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(study, tmp_path, monkeypatch):
    """A copy of the finished study, which is the working directory."""
    folder = tmp_path / "study"
    shutil.copytree(study, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def test_every_file_of_a_finished_study_is_explained(copied, tiny_encoder):
    shutil.rmtree("results/tiny/plans")  # there may be some of what others have planned
    assert planned(copied, tiny_config(tiny_encoder)) == set()
    studies = read_studies()
    files = [each for each in Path("results").rglob("*") if each.is_file()]
    assert len(files) > 40
    for file in files:
        assert list(explain(str(file), studies)), file


def test_the_noted_command_makes_just_one_run_again(copied):
    noted = json.loads(Path("results/tiny/provenance.json").read_text("utf-8"))
    (run,) = (each for each in noted["runs"] if each["condition"] == "kformer")
    first, *words = shlex.split(run["make_again"])
    call = [sys.executable, "-m", first, "--dry-run", *words]
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    done = subprocess.run(call, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    jobs = re.findall(r"rule (\w+):", done.stdout + done.stderr)
    assert sorted(jobs) == ["evaluate_model", "train_model"]


def test_models_that_are_not_kept_are_not_made_again(copied, tiny_encoder):
    config = tiny_config(tiny_encoder)
    dropping = config | {"training": config["training"] | {"keep_models": "none"}}
    assert planned(copied, dropping) == {"drop_models"}
    done = snakemake(copied, dropping)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(Path("results/tiny/runs").rglob("*.safetensors")) == []
    assert planned(copied, dropping) == planned(copied, config) == set()


def test_after_a_removal_only_what_is_missing_is_made(copied, tiny_encoder):
    config = tiny_config(tiny_encoder)
    other = config | {"experiment": "other", "retrieval": {"top_k": 5}}
    done = snakemake(copied, other, "retrieval")
    assert done.returncode == 0, done.stderr
    plan_removal("other").carry_out()
    assert planned(copied, config) == set()
    assert planned(copied, other) >= {"retrieve_facts", "train_model kformer 1"}
    assert not planned(copied, other) & {"read_questions", "read_facts", "featurize"}
    shutil.rmtree("results/other")  # of the dry run
    plan_removal("tiny").carry_out()
    assert [path for path in paths.SHARED.rglob("*") if path.is_file()] == []
    jobs = planned(copied, config)
    assert {"read_questions", "train_model kformer 1", "compare_conditions"} <= jobs
    assert "generate_demo_world" not in jobs
