"""How far runs are, and the table of them."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from kformer.errors import KformerError
from kformer.study import paths
from kformer.study.run_list import list_runs
from kformer.study.run_states import state_of
from kformer.study.saved_study import read_studies

from .finished_study import finish, finished


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(only=None) -> list[str]:
    console = Console(width=80)
    with console.capture() as captured:
        for part in list_runs(read_studies(), only):
            console.print(part, soft_wrap=True)
    return captured.get().splitlines()


class TestState:
    def test_a_run_with_the_answers_of_its_model_is_evaluated(self):
        study = finished()
        assert {state_of(study, run).stage for run in study.runs} == {"evaluated"}

    def test_answers_of_another_model_do_not_count(self):
        study = finished()
        run = study.run("ffn", 1)
        finish(study, run, model_checksums="other")
        assert state_of(study, run).stage == "trained"
        run.predictions.unlink()
        assert state_of(study, run).words == "trained, not evaluated"

    def test_a_run_of_another_plan_will_be_trained_again(self):
        study = finished()
        finished(training={"batch_size": 4})  # which writes new plans
        finish(study, study.run("ffn", 1), plan="older")
        assert state_of(study, study.run("ffn", 1)).stage == "outdated"

    def test_without_a_model_the_newest_checkpoint_counts(self):
        study = finished()
        run = study.run("ffn", 1)
        (run.model / "weights").unlink()
        run.model.rmdir()
        assert state_of(study, run).stage == "not started"
        for name in ("checkpoint-9", "checkpoint-1200", ".checkpoint-7000", "checkpoint-x"):
            (study.checkpoints("ffn", 1) / name).mkdir(parents=True)
        assert state_of(study, run).words == "unfinished, at step 1,200"

    @pytest.mark.parametrize("file", ["training.json", "predictions.parquet"])
    def test_damaged_files_are_said_to_be(self, file):
        study = finished()
        (study.run("ffn", 1).path / file).write_text("{")
        assert state_of(study, study.run("ffn", 1)).stage == "damaged"

    def test_where_nothing_is_trained_answers_are_all(self):
        study = finished()
        run = study.run("untrained", None)
        run.predictions.unlink()
        assert state_of(study, run).stage == "not started"


class TestTable:
    def test_it_has_a_line_for_each_run_and_fits_a_terminal(self):
        study = finished()
        finish(study, study.run("ffn", 2), right=1)
        lines = shown()
        assert lines[0].startswith("study: 7 runs, compared; ")
        rows = {tuple(line.split()[:2]): line.split() for line in lines}
        assert rows["none", "1"][2:4] == ["evaluated", "75.0"]
        assert rows["ffn", "2"][2:4] == ["evaluated", "25.0"]
        assert rows["untrained", "evaluated"][2] == "75.0"
        assert rows["none", "1"][-1] == "s"
        assert max(map(len, lines)) <= 80

    def test_the_age_is_that_of_the_newest_file(self):
        study = finished()
        run = study.run("none", 1)
        for path in (run.path, *run.path.rglob("*")):
            os.utime(path, (0, 0))
        os.utime(run.predictions, (study.config.stat().st_mtime - 7300,) * 2)
        (row,) = (line for line in shown() if line.split()[:2] == ["none", "1"])
        assert row.endswith("2 h")

    def test_runs_that_the_config_has_no_more_are_there_too(self):
        finished()
        finished(seeds=[2], conditions={"none": {}})
        Path("results/study/runs/none/odd").mkdir()
        Path("results/study/runs/none/seed-x").mkdir()
        lines = [" ".join(line.split()) for line in shown()]
        assert sum("no longer in the config" in line for line in lines) == 6
        assert not any("odd" in line or "seed-x" in line for line in lines)

    def test_experiments_are_listed_one_below_the_other_or_one_alone(self):
        finished()
        other = finished("other")
        other.comparison.numbers.unlink()
        assert [line for line in shown() if ": 7 runs, " in line] == [
            line for name in ("other", "study") for line in shown(name)[:1]
        ]
        assert shown("other")[0].startswith("other: 7 runs, not compared yet")

    def test_one_whose_config_is_unreadable_is_a_line(self):
        finished()
        paths.saved_config(Path("results/study")).write_text("{")
        (line,) = shown()
        assert line.startswith("study: results/study/config.json: this is no JSON")

    def test_without_results_it_says_so(self):
        assert shown() == ["no experiment under results yet"]

    def test_a_name_that_is_not_there_is_an_error(self):
        finished()
        with pytest.raises(KformerError, match="nope: no experiment under results; there are stu"):
            shown("nope")
