"""Removing an experiment: what goes, and what never does."""

import json
import shutil
from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.study import paths, removal
from kformer.study.inventory import inventory
from kformer.study.removal import plan_removal

from .finished_study import FFN, finished, tree


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def remove(name="study"):
    plan_removal(name).carry_out()


def missing(study) -> list[Path]:
    """The files of a study that are not there; there are none of unfinished trainings."""
    files = [file.path for file in inventory(study) if "checkpoints" not in file.path.parts]
    return [path for path in files if not path.exists()]


def test_the_last_experiment_takes_all_shared_files_along():
    finished()
    Path("resources/other").mkdir(parents=True)
    remove()
    assert tree() == set()
    assert not Path("results/study").exists()
    assert Path("resources/other").is_dir()


def test_what_another_experiment_needs_stays_to_the_last_file():
    study = finished(retrieval={"top_k": 9})
    other = finished("other", conditions={"none": {}, "ffn": FFN})
    before = tree()
    remove()
    assert missing(other) == []
    gone = {each.path for each in inventory(study)} - {each.path for each in inventory(other)}
    assert [str(path) for path in gone if path.is_relative_to("results") and path.exists()] == []
    assert tree() < before
    finished("study", retrieval={"top_k": 9})  # the same paths can be made again
    remove("other")
    assert missing(finished("study", retrieval={"top_k": 9})) == []


def test_of_a_retrieval_that_both_have_the_control_of_one_goes():
    study = finished()
    other = finished("other", conditions={"none": {}, "ffn": FFN})
    control = study.tables_of_facts("shuffled")["retrieval"]
    (control.parent / f".{control.name}.mlflow_run.json").write_text("{}")
    planned = plan_removal("study")
    assert control in planned.shared
    planned.carry_out()
    assert missing(other) == []
    assert [path for path in control.parent.iterdir() if control.name in path.name] == []


def test_files_of_older_settings_go_too_but_none_that_is_nobodys():
    before = finished()
    finished(questions={"dataset": "demo", "overlap": "drop"})
    mine = [
        paths.SHARED / "notes.txt",
        paths.SHARED / "questions" / "mine" / "notes.txt",
        paths.RESULTS / "figures" / "notes.txt",
    ]
    for file in mine:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    remove()
    assert not before.questions.exists()
    assert tree() == set(map(str, mine))


def test_what_others_made_before_their_settings_changed_stays():
    before = finished("other")
    keys = {"k": {"path": str(before.questions)}}
    finished("other", questions={"dataset": "demo", "overlap": "drop"})
    before.comparison.provenance.write_text(json.dumps({"keys": keys}))
    finished()
    remove()
    assert before.questions.exists()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"keys": 3}', '{"keys": {"a": 1, "b": {"path": 2}}}']
)
def test_an_odd_provenance_does_no_harm(content):
    other = finished("other")
    other.comparison.provenance.write_text(content)
    finished()
    remove()
    assert missing(other) == []


def test_without_readable_neighbours_nothing_goes():
    finished()
    finished("other")
    before = tree()
    paths.saved_config(Path("results/other")).write_text("{")
    with pytest.raises(KformerError) as refused:
        plan_removal("study")
    assert str(refused.value).startswith("results/other/config.json: this is no JSON")
    assert "what other shares with study is unknown, so nothing was removed" in str(refused.value)
    assert tree() == before
    remove("other")  # itself it can be removed
    assert missing(finished("study")) == []


def test_one_that_was_only_planned_needs_nothing():
    finished()
    Path("results/planned/plans").mkdir(parents=True)
    remove()
    assert {path.name for path in paths.RESULTS.iterdir() if path.is_dir()} == {"planned", "shared"}
    remove("planned")
    assert not Path("results/planned").exists()


@pytest.mark.parametrize("name", ["nope", "", ".", "..", "shared", "../study", "study/runs", "*"])
def test_only_an_experiment_is_removed(name):
    finished()
    before = tree()
    with pytest.raises(KformerError, match=r"no experiment under results; there are study$"):
        plan_removal(name)
    assert tree() == before


class TestLinks:
    def test_an_experiment_that_is_a_link_loses_just_the_link(self, folder):
        study = finished()
        shutil.move(study.folder, folder / "elsewhere")
        study.folder.symlink_to(folder / "elsewhere")
        remove()
        assert not study.folder.is_symlink()
        assert (folder / "elsewhere" / "comparison.json").is_file()

    def test_links_in_an_experiment_are_not_followed(self, folder):
        study = finished()
        (folder / "precious").mkdir()
        (folder / "precious" / "file").touch()
        (study.folder / "link").symlink_to(folder / "precious")
        remove()
        assert (folder / "precious" / "file").exists()

    @pytest.mark.parametrize("link", ["results/shared", "results/shared/questions"])
    def test_shared_files_behind_a_link_may_be_anybodys(self, folder, link):
        study = finished()
        shutil.move(link, folder / "elsewhere")
        Path(link).symlink_to(folder / "elsewhere")
        remove()
        assert study.questions.exists()

    def test_a_key_that_is_a_link_stays(self, folder):
        study = finished()
        shutil.move(study.questions.parent, folder / "elsewhere")
        study.questions.parent.symlink_to(folder / "elsewhere")
        remove()
        assert study.questions.exists()


class TestDataOfTheUser:
    CSV = "question,A,B,answer\nWho?,x,y,A\n"

    @pytest.mark.parametrize("name", ["study", "other"])
    def test_data_in_the_folder_of_an_experiment_stops_its_removal(self, name):
        Path("results/study").mkdir(parents=True)
        file = Path("results/study/q.csv")
        file.write_text(self.CSV)
        finished("study", **({} if name == "other" else {"questions": self.questions(file)}))
        finished("other", questions=self.questions(file))
        before = tree()
        if name == "study":
            remove("other")
            before = tree()
        with pytest.raises(KformerError, match=r"results/study/q.csv: lies in results/study"):
            plan_removal("study")
        assert tree() == before

    def test_data_elsewhere_stays(self):
        Path("q.csv").write_text(self.CSV)
        finished(questions=self.questions("q.csv"))
        remove()
        assert Path("q.csv").is_file()

    @staticmethod
    def questions(path):
        return {"dataset": "csv", "path": str(path)}


@pytest.mark.parametrize("deletions", range(1, 40, 6))
def test_stopped_in_the_middle_it_is_finished_by_starting_it_again(monkeypatch, deletions):
    study = finished()
    other = finished("other", conditions={"none": {}, "ffn": FFN})
    original, done = removal.remove, []

    def stopping(path):
        if len(done) == deletions:
            raise KeyboardInterrupt
        done.append(path)
        original(path)

    monkeypatch.setattr(removal, "remove", stopping)
    try:
        remove()
    except KeyboardInterrupt:
        monkeypatch.setattr(removal, "remove", original)
        assert missing(other) == []
        remove()
    assert missing(other) == []
    assert not study.folder.exists()
    assert plan_removal("other").shared  # what stays is that of the other one


@pytest.mark.parametrize("content", ["{", '{"unknown": 1}'])
def test_data_of_yours_is_kept_also_where_the_config_cannot_be_read(content):
    finished()
    paths.saved_config(Path("results/study")).write_text(content)
    data = Path("results/study/my questions.csv")
    data.write_text("content")
    with pytest.raises(KformerError, match=r"my questions.csv: lies in .* is data of yours"):
        plan_removal("study")
    data.unlink()
    assert plan_removal("study").folder == Path("results/study")
