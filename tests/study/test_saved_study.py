"""What is kept of an experiment: read again, it is the same experiment."""

import json
import shlex
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from kformer.errors import KformerError
from kformer.study import paths
from kformer.study.experiment import load_experiment
from kformer.study.layout import Layout
from kformer.study.plans import check_plans, write_plans
from kformer.study.saved_study import (
    StudyCommand,
    config_to_save,
    experiment_folders,
    read_command,
    read_studies,
    read_study,
    save_study,
)

from .conftest import STUDY

CONFIGS = Path(__file__).parents[2] / "config"
COMMAND = StudyCommand(workflow=".", configfiles=("config.yaml",))


def shipped(*names):
    config: dict = {}
    for name in names:
        update_config(config, yaml.safe_load((CONFIGS / name).read_text("utf-8")))
    return load_experiment(config)


def of_own_data(folder):
    (folder / "my questions.csv").write_text("q,A,B,key\nWho?,x,y,A\n")
    (folder / "facts.txt").write_text("Rain is wet.\n")
    return load_experiment(
        STUDY
        | {
            "questions": {
                "dataset": "csv",
                "path": "my questions.csv",
                "columns": {"question": "q", "choices": ["A", "B"], "answer": "key"},
            },
            "knowledge": [{"source": "txt", "path": "facts.txt", "name": "mine", "unit": "line"}],
            "conditions": {
                "none": {},
                "ffn": {
                    "model": {"injection": "ffn", "layers": [0, 2]},
                    "retrieval": {"match": {"relations": {"a": ["b"]}}, "words": {"ngrams": 2}},
                    "training": {"epochs": 2},
                },
                "other": {"model": {"injection": "concat"}, "knowledge": ["demo"]},
            },
        }
    )


def of_addresses(_):
    return load_experiment(
        STUDY
        | {
            "questions": {
                "dataset": "jsonl",
                "files": {
                    "train": ["https://me:hidden@host/a.jsonl?token=hidden", "hf://datasets/a/b/c"],
                    "test": {"url": "https://host/t.jsonl#hidden67890", "sha256": "0" * 64},
                },
            },
            "sources": {"atomic": {"url": "http://u:hidden@host/x.tgz", "mirrors": ["file:/y"]}},
            "knowledge": ["atomic"],
            "conditions": {"none": {}, "ffn": {"model": {"injection": "ffn"}}},
            "tracking": {"uri": "http://me:hidden@host"},
        }
    )


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "experiment",
    [
        *(
            pytest.param(lambda _, name=file.name: shipped(name), id=file.name)
            for file in sorted(CONFIGS.glob("*.yaml"))
            if not file.name.startswith("ablation")
        ),
        lambda _: shipped("social_iqa.yaml", "ablation_matching.yaml"),
        of_own_data,
        of_addresses,
    ],
)
def test_a_saved_experiment_is_read_as_it_was(experiment, folder):
    given = experiment(folder)
    save_study(Layout(given), COMMAND)
    text = paths.saved_config(paths.experiment_folder(given.experiment)).read_text("utf-8")
    assert "hidden" not in text
    read, whole = read_study(paths.experiment_folder(given.experiment)), Layout(given)
    assert read.conditions == whole.conditions
    assert read.experiment.seeds == given.seeds and read.experiment.baseline == given.baseline
    for kind in ("retrievals", "tokens", "facts", "indexes", "states", "runs"):
        assert list(getattr(read, kind)) == list(getattr(whole, kind)), kind
    assert config_to_save(read.experiment) == config_to_save(given)
    write_plans(whole, paths.RUN_LOCK)
    check_plans(read)


def test_a_folder_that_was_kept_is_an_experiment_of_its_own_name(folder):
    study = Layout(load_experiment(STUDY | {"conditions": {"none": {}}}))
    save_study(study, COMMAND)
    study.folder.rename("results/before")
    kept = Path("results/before")
    assert read_study(kept).folder == kept
    assert read_command(kept).line("x") == (
        "snakemake --cores all --configfile results/before/config.json --config experiment=before"
        " -- x"
    )


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", None, "config.json: there is no such file; start the experiment again"),
        ("command.json", None, "command.json: there is no such file; start the experiment again"),
        ("config.json", "{", "config.json: this is no JSON"),
        ("config.json", "\xff", "config.json: this is no JSON"),
        ("config.json", "[]", "config.json: Input should be"),
        ("config.json", '{"experiment": "x"}', "config.json: questions: Field required"),
        ("command.json", '{"workflow": 1}', "command.json: workflow: Input should be"),
    ],
)
def test_what_cannot_be_read_is_one_line(folder, file, content, said):
    study = Layout(load_experiment(STUDY | {"conditions": {"none": {}}}))
    save_study(study, COMMAND)
    if content is None:
        (study.folder / file).unlink()
    else:
        (study.folder / file).write_text(content, "latin-1")
    with pytest.raises(KformerError) as caught:
        read_study(study.folder)
    assert said in str(caught.value) and str(caught.value).startswith("results/study/")


def test_folders_that_are_no_experiments_are_left_out(folder):
    save_study(Layout(load_experiment(STUDY | {"conditions": {"none": {}}})), COMMAND)
    for name in ("shared/plans", "logs", "figures", ".hidden/plans", "planned/plans", "odd/plans"):
        (paths.RESULTS / name).mkdir(parents=True)
    (paths.RESULTS / "mlflow.db").touch()
    (paths.RESULTS / "odd" / "runs").mkdir()
    assert [each.name for each in experiment_folders()] == ["odd", "planned", "study"]
    found = read_studies()
    assert (list(found.readable), list(found.unreadable)) == (["study"], ["odd"])


def test_nothing_is_an_experiment_where_there_are_no_results(folder):
    assert experiment_folders() == []


class TestCommand:
    def test_it_names_configs_as_seen_from_here_and_no_secrets(self, folder):
        load_experiment(
            STUDY | {"conditions": {"none": {}}, "tracking": {"uri": "http://a:pw12@h"}}
        )
        config = ["seeds=[1, 2]", "tracking={'uri': 'http://a:pw12@h'}", "keep=before"]
        command = StudyCommand.of(str(folder), [folder / "my config.yaml", "/else/b.yaml"], config)
        line = command.line("results/x y", again=["train_model"])
        words = shlex.split(line)
        assert words[3:6] == ["--configfile", "my config.yaml", "/else/b.yaml"]
        assert words[6:8] == ["--config", "seeds=[1, 2]"]
        assert words[9:] == ["--forcerun", "train_model", "--", "results/x y"]
        assert "pw12" not in line and "keep" not in line

    def test_a_workflow_elsewhere_is_named(self):
        command = StudyCommand.of("/the/workflow", [], [])
        assert (
            command.line("all")
            == "snakemake --cores all --snakefile /the/workflow/Snakefile -- all"
        )

    def test_it_is_kept_with_the_config(self, folder):
        study = Layout(load_experiment(STUDY | {"conditions": {"none": {}}}))
        save_study(study, COMMAND)
        kept = json.loads(paths.saved_command(study.folder).read_text())
        assert kept == COMMAND.model_dump(mode="json")
