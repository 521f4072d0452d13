"""Which trained models stay once runs have been compared."""

from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.io.training_summary import has_model, read_trained
from kformer.study.kept_models import drop_models, drops_models
from kformer.study.run_states import state_of

from .finished_study import FFN, finish, finished


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def with_kept(keep, **changes):
    study = finished(training={"keep_models": keep}, **changes)
    for run in study.runs:
        if run.seed is not None:
            (run.model / ".snakemake_timestamp").touch()
            (run.model / "folder").mkdir(exist_ok=True)
            (run.model / "folder" / "more").touch()
    return study


def kept(study) -> set[tuple[str, int]]:
    return {(run.condition, run.seed) for run in study.runs if run.seed and has_model(run)}


def test_all_stay_by_default():
    study = with_kept("all")
    assert not drops_models(study)
    assert drop_models(study)["dropped"] == []
    assert len(kept(study)) == 6


def test_none_stay():
    study = with_kept("none")
    assert drops_models(study)
    found = drop_models(study)
    assert (found["kept"], len(found["dropped"])) == ([], 6)
    assert kept(study) == set()


def test_the_best_on_validation_stays_of_equal_ones_the_first():
    study = with_kept("best")
    finish(study, study.run("ffn", 2), validation_accuracy=0.75)
    finish(study, study.run("shuffled", 1), validation_accuracy=None)
    found = drop_models(study)
    assert kept(study) == {("none", 1), ("ffn", 2), ("shuffled", 2)}
    assert len(found["kept"]) == 3
    assert drop_models(study) == found


def test_a_condition_may_keep_others():
    mine = FFN | {"training": {"keep_models": "all"}}
    study = with_kept("none", conditions={"none": {}, "mine": mine})
    drop_models(study)
    assert kept(study) == {("mine", 1), ("mine", 2)}


def test_the_folder_stays_for_the_workflow_and_the_run_counts_as_evaluated():
    study = with_kept("none")
    drop_models(study)
    run = study.run("ffn", 1)
    assert (run.model / ".snakemake_timestamp").is_file()
    assert state_of(study, run).words == "evaluated, no model kept"
    with pytest.raises(KformerError, match=r"seed-1/model: empty, as training.keep_models leaves"):
        read_trained(run)


def test_a_model_that_was_not_evaluated_stays():
    study = with_kept("none")
    study.run("ffn", 1).predictions.unlink()
    finish(study, study.run("ffn", 2), model_checksums="of another model")
    drop_models(study)
    assert kept(study) == {("ffn", 1), ("ffn", 2)}
    assert Path(drop_models(study)["kept"][0]) == study.run("ffn", 1).path
