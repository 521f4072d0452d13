"""Commands on results: in a shell, what they print and where they refuse."""

import json
from pathlib import Path

import pytest

from kformer.cli import results
from kformer.study import paths
from kformer.study.run_lock import lock_run

from ..study.finished_study import finished, tree


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def answer(monkeypatch):
    """Lets the next question be answered."""

    def give(yes):
        monkeypatch.setattr("typer.confirm", lambda *_, **__: yes)

    return give


def test_provenance_is_written_where_it_is_asked_for(kformer):
    finished()
    status, out, err = kformer("provenance", "study", "--out", "new/p.json")
    assert (status, out, err) == (0, "", "")
    assert json.loads(Path("new/p.json").read_text())["experiment"] == "study"


def test_explain_prints_what_a_file_is(kformer):
    study = finished()
    status, out, err = kformer("explain", study.questions)
    assert (status, err) == (0, "")
    assert out.startswith(f"{study.questions}: the table of questions\n")


def test_runs_prints_a_table(kformer):
    finished()
    status, out, err = kformer("runs")
    assert (status, err) == (0, "")
    assert out.startswith("study: 7 runs, compared; ") and out.count("evaluated") == 7
    assert kformer("runs", "study")[1].count("evaluated") == 7


class TestRemove:
    def test_it_lists_what_goes_asks_and_deletes(self, kformer, answer):
        study = finished()
        answer(True)
        status, out, err = kformer("remove", "study")
        assert (status, err) == (0, "")
        lines = [line.split()[-1] for line in out.splitlines()]
        assert str(study.questions.parent) in lines and str(study.folder) in lines
        assert out.splitlines()[-1].startswith("deleted; ")
        assert tree() == set()

    def test_nothing_goes_where_the_answer_is_no(self, kformer, answer):
        finished()
        before = tree()
        answer(False)
        status, _, err = kformer("remove", "study")
        assert (status, err) == (1, "error: nothing was deleted\n")
        assert tree() == before

    def test_a_dry_run_deletes_nothing_and_asks_nothing(self, kformer):
        finished()
        before = tree()
        status, out, _ = kformer("remove", "study", "--dry-run", "--yes")
        assert status == 0 and "nothing was deleted" in out
        assert tree() == before

    def test_while_a_study_runs_it_is_refused(self, kformer):
        finished()
        before = tree()
        with lock_run(paths.RUN_LOCK, paths.JOBS_LOCK):
            status, out, err = kformer("remove", "study", "--yes")
        assert (status, out) == (1, "")
        assert err.startswith("error: results/.lock: another run is using this folder")
        assert tree() == before
        assert kformer("remove", "study", "--yes")[0] == 0


@pytest.mark.parametrize(
    "command",
    [
        "provenance nowhere --out p.json",
        "provenance ../x --out p.json",
        "drop-models nowhere --out k.json",
        "explain nowhere",
        "runs nowhere",
        "remove nowhere --yes",
        "remove nowhere --dry-run",
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(kformer, command, folder):
    status, out, err = kformer(*command.split())
    assert (status, out) == (1, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize(
    "command", results.app.registered_commands, ids=lambda c: c.callback.__name__
)
def test_each_command_shows_an_example(kformer, command):
    name = command.callback.__name__.replace("_", "-")
    status, out, _ = kformer(name, "--help")
    assert status == 0
    assert f"Example: kformer {name}" in " ".join(out.split()).replace("`", "")
