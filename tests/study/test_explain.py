"""What is said of files, folders and keys of results."""

import re
from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.study import paths
from kformer.study.explain import explain
from kformer.study.inventory import inventory
from kformer.study.saved_study import read_studies

from .finished_study import FFN, finished, study_of


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(name) -> str:
    return "\n".join(explain(str(name), read_studies()))


def targets_of(text) -> list[str]:
    return re.findall(r"snakemake .* -- (.*)", text)


def test_every_file_of_a_study_is_explained_and_says_how_to_make_it():
    study = finished()
    studies = read_studies()
    for file in inventory(study):
        text = "\n".join(explain(str(file.path), studies))
        assert file.path.name in text and file.about in text
        assert "study: " + ", ".join(file.conditions) in text
        for path in file.inputs:
            assert f"made from   {path}" in text
        assert bool(targets_of(text)) == (file.command is not None)
        assert bool(file.conditions) and ("error" not in text)


def test_what_was_not_made_by_any_other_file_is_an_input_or_made_at_the_start():
    """All inputs of files are files of the study, too."""
    files = {file.path: file for file in inventory(study_of())}
    for file in files.values():
        assert [str(path) for path in file.inputs if path not in files] == []


def test_a_shared_file_says_which_experiments_and_conditions_use_it():
    study = finished()
    finished("other", conditions={"none": {}, "mine": FFN}, seeds=[5])
    text = said(study.retrieval_of["ffn"].key)
    assert "  for         study: ffn, shuffled\n" in text
    assert "  for         other: mine\n" in text
    assert '"top_k": 30' in text
    assert f"made from   {study.questions}" in text
    assert "made by     kformer retrieve, kformer gather (version 3 of the stage)" in text
    assert targets_of(text) == [str(paths.retrieval_table(study.retrieval_of["ffn"].key))]
    assert "--configfile config.yaml" in text


def test_a_key_may_be_given_by_its_digits_alone():
    study = finished()
    digits = study.questions_key.rpartition("-")[2]
    first, *rest = said(digits).split("\n")
    assert first == f"{digits} is the key of"
    assert rest == said(study.questions).split("\n")


def test_a_run_says_how_far_it_is():
    study = finished()
    run = study.run("ffn", 2)
    assert "  state       evaluated\n" in said(run.path)
    text = said(run.model / "weights")
    assert text.startswith(f"{run.model / 'weights'} belongs to\n{run.model}: the trained model")
    assert "made from   results/study/plans/ffn-2.json" in text


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("results/study/runs/ffn/seed-1/.mlflow_run.json", "results/study/runs/ffn/seed-1"),
        ("results/study/runs/ffn/seed-1/.finished/model/x", "results/study/runs/ffn/seed-1"),
        ("results/study/.comparison.json.writing.lock", "results/study/comparison.json"),
        ("results/study/logs/train/ffn-2.log", "results/study/runs/ffn/seed-2/training.json"),
        (
            "results/logs/gather_retrieval/{retrieval}.log",
            "results/shared/retrieval/{retrieval}/retrieval.parquet",
        ),
        (
            "results/logs/count_words/{index}-2-of-3.log",
            "results/shared/index/{index}",
        ),
        ("results/study/checkpoints/ffn-2/checkpoint-5", "results/study/checkpoints/ffn-2"),
    ],
)
def test_what_lies_beside_or_in_a_file_belongs_to_it(name, file):
    study = finished()
    keys = {"retrieval": study.retrieval_of["ffn"].key, "index": next(iter(study.indexes))}
    assert f"{file.format(**keys)}: " in said(name.format(**keys))


def test_paths_are_known_however_they_are_written(folder):
    study = finished()
    expected = said(study.questions)
    assert said(folder / study.questions) == expected
    assert said(f"./results/../{study.questions}/") == expected


def test_a_folder_lists_what_is_there():
    study = finished()
    (study.comparison.svg).unlink()
    lines = said("results/study").split("\n")
    assert "  results/study/comparison.json: how the conditions compare, in numbers" in lines
    assert "accuracy.svg" not in "".join(lines)
    assert "  results/study/runs/none/seed-1: the run none seed-1" in lines
    assert "results/study/runs/none/seed-1/model" not in "".join(lines)
    assert "results/shared/questions" in said("results")


def test_data_of_the_user_are_known(folder):
    (folder / "my data").mkdir()
    (folder / "my data" / "q.csv").write_text("question,A,B,answer\nWho?,x,y,A\n")
    finished(questions={"dataset": "csv", "path": "my data"})
    text = said("my data/q.csv")
    assert text.startswith("my data/q.csv belongs to\nmy data: data of yours")
    assert targets_of(text) == []


def test_a_local_file_of_a_source_is_known(folder):
    (folder / "q.jsonl").write_text("{}")
    study = finished(questions={"dataset": "jsonl", "url": "q.jsonl"})
    assert said("q.jsonl").startswith("q.jsonl: the file of jsonl_questions, kept by you\n")
    assert "  made from   q.jsonl\n" in said(study.question_files.path)


def test_a_local_encoder_is_known(tiny_encoder):
    finished(model={"encoder": str(tiny_encoder)})
    assert f"{tiny_encoder}: the encoder {tiny_encoder}, read where it is" in said(
        tiny_encoder / "config.json"
    )


def test_an_address_is_shown_without_its_secrets():
    address = "https://me:hidden12@host/a.jsonl?token=hidden34"
    study = finished(questions={"dataset": "jsonl", "url": address})
    text = said(study.question_files.path)
    assert "https://…@host/a.jsonl?token=…" in text and "hidden" not in text
    download = next(f for f in inventory(study) if f.path.parent == paths.DOWNLOADS)
    assert "as it was downloaded" in said(download.path) and "hidden" not in said(download.path)


@pytest.mark.parametrize(
    "name", ["results/study/notes.txt", "results/nothing", "/etc", "0123456789", ".git", "a\nb"]
)
def test_what_is_not_known_is_one_line(name):
    finished()
    with pytest.raises(KformerError, match=r"no file, folder or key .* \(study\)"):
        said(name)


def test_files_of_former_settings_are_not_known():
    before = finished()
    study = finished(questions={"dataset": "demo", "overlap": "drop"})
    assert study.questions != before.questions
    assert said(study.questions)
    with pytest.raises(KformerError, match="older settings"):
        said(before.questions)


def test_where_a_config_cannot_be_read_that_is_said():
    study = finished()
    finished("broken")
    paths.saved_config(Path("results/broken")).write_text("{")
    assert "  unknown     whether broken uses it: results/broken/config.json: " in said(
        study.questions
    )
    with pytest.raises(KformerError, match=r"results/broken/config.json: this is no JSON"):
        said("results/broken/comparison.json")
