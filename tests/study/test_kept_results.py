"""Finished runs that will be made again: said before, and kept where the config says so."""

from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.study.experiment import load_experiment
from kformer.study.kept_results import tell_or_keep
from kformer.study.layout import Layout


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes the layout of a study with finished runs in the working directory."""
    monkeypatch.chdir(tmp_path)

    def make(**changes) -> Layout:
        config = {
            "experiment": "study",
            "questions": {"dataset": "demo"},
            "knowledge": ["demo"],
            "seeds": list(range(8)),
            "baseline": "none",
            "conditions": {"none": {}},
        }
        layout = Layout(load_experiment({**config, **changes}))
        for run in layout.runs:
            run.model.mkdir(parents=True, exist_ok=True)
            (run.model / "weights").write_text("finished")
            run.summary.write_text("{}")
        log = layout.log("train", "none-1")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("step 1")
        return layout

    return make


def test_nothing_is_said_where_nothing_is_replaced(study, capsys):
    tell_or_keep(study(keep="before"), [])
    assert capsys.readouterr().err == ""
    assert not Path("results/before").exists()


def test_the_runs_are_named_and_how_to_keep_them(study, capsys):
    layout = study()
    tell_or_keep(layout, layout.runs)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("8 finished runs will be made again")
    assert "none seed-0" in line and "and 3 more" in line
    assert "--config keep=study_before" in line


def test_kept_results_stay_whatever_is_made_again(study, capsys):
    layout = study(keep="before")
    tell_or_keep(layout, layout.runs[:1])
    assert "1 finished run will be made again" in capsys.readouterr().err
    run = layout.runs[0]
    (run.model / "weights").unlink()
    (run.model / "weights").write_text("new")
    kept = Path("results/before/runs/none/seed-0")
    assert (kept / "model" / "weights").read_text() == "finished"
    assert (kept / "training.json").is_file()
    assert not Path("results/before/logs").exists()


def test_kept_results_are_never_replaced(study):
    layout = study(keep="before")
    Path("results/before").mkdir()
    with pytest.raises(KformerError, match="before is there already"):
        tell_or_keep(layout, layout.runs)
