"""The tutorial's commands do what the tutorial says, in a copy of the project of their own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "bring-your-own-data.md"
PROJECT = ("Snakefile", "workflow", "profiles", "config")


def shell(folder: Path, commands: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which every command of the tutorial was run, and what they printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    commands = re.findall(
        r"^```sh\n(.*?)^```", TUTORIAL.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(commands) == 3
    done = shell(folder, "\n".join(commands))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_the_checks_print_what_the_tutorial_shows(followed):
    _, printed = followed
    result = r"^    (science/questions\.csv: .*|read as question: .*)$"
    shown = re.findall(result, TUTORIAL.read_text("utf-8"), re.M)
    assert len(shown) == 2
    assert set(shown) <= set(printed.splitlines())
    assert "science/notes: 25 lines of text are fine; 0 problems" in printed


def test_it_ends_in_a_comparison(followed):
    folder, printed = followed
    comparison = json.loads((folder / "results/science/comparison.json").read_text())
    names = [each["condition"] for each in comparison["conditions"]]
    assert names == [
        *("none", "concat", "kformer-identity", "kformer-identity-shuffled", "retrieval-only"),
    ]
    assert comparison["questions"] == 5
    shown = printed.splitlines()
    assert any(line.startswith("kformer-identity-shuffled ") for line in shown), printed
    assert any("due to" in line for line in shown), printed  # the ladder, below


def test_a_changed_note_makes_anew_just_what_depends_on_it(followed):
    folder, _ = followed
    with (folder / "science/notes/physics.txt").open("a") as note:
        note.write("\nLight is faster than sound.\n")
    done = shell(folder, "snakemake -n --cores 2 --configfile science/config.yaml -- all")
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = set(re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE))
    assert {"read_facts", "retrieve_facts", "train_model", "compare_conditions"} <= jobs
    assert "read_questions" not in jobs
