"""What the numbers of an experiment were made from, how, with what, and where."""

import hashlib
import json
import shlex
import subprocess
from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of, write_json
from kformer.io.output_names import INDEX_ENCODER
from kformer.sources.checksum_lock import write_note
from kformer.study import paths
from kformer.study.provenance import provenance_of
from kformer.study.saved_study import read_command, read_study
from kformer.study.software import commit_of, software_versions

from .finished_study import FFN, TRAINED, finished


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def noted(study) -> dict:
    """The content of `provenance.json`, as it is read again."""
    found = provenance_of(study, read_command(study.folder))
    assert found == provenance_of(study, read_command(study.folder))
    return json.loads(json.dumps(found, allow_nan=False))


def test_every_key_has_its_settings_inputs_and_conditions():
    study = finished()
    keys = noted(study)["keys"]
    shared = {study.questions_key, *study.facts, *study.indexes, *study.retrievals, *study.tokens}
    assert shared < keys.keys()
    found = keys[study.retrieval_of["ffn"].key]
    assert found["command"] == "kformer retrieve, kformer gather" and found["version"] == 3
    assert found["settings"]["top_k"] == 30
    assert found["conditions"] == ["ffn", "shuffled"]
    assert str(study.questions) in found["inputs"]
    (control,) = (each for key, each in keys.items() if "/shuffle-" in key)
    assert control["conditions"] == ["shuffled"]
    for each in keys.values():
        assert Path(each["path"]).exists()


def test_every_run_says_what_was_trained_and_how_to_train_it_again():
    study = finished()
    runs = {(each["condition"], each["seed"]): each for each in noted(study)["runs"]}
    assert list(runs) == [(run.condition, run.seed) for run in study.runs]
    run = runs["ffn", 2]
    for name in ("precision", "device", "version", "encoder_weights", "model_checksums"):
        assert run[name] == TRAINED[name]
    assert run["plan"] == "results/study/plans/ffn-2.json"
    assert run["plan_sha256"] == run["trained_to_plan_sha256"] == sha256_of(Path(run["plan"]))
    assert run["predictions_sha256"] == sha256_of(study.run("ffn", 2).predictions)
    assert shlex.split(run["make_again"])[-3:] == [
        "train_model",
        "--",
        "results/study/runs/ffn/seed-2/predictions.parquet",
    ]
    untrained = runs["untrained", None]
    assert "--forcerun answer_by_retrieval -- " in untrained["make_again"]
    assert "precision" not in untrained


def test_it_names_what_everything_ran_with():
    found = noted(finished())
    assert found["seeds"] == [1, 2]
    assert found["command"] == "snakemake --cores all --configfile config.yaml -- all"
    for name in "python kformer torch transformers snakemake numpy pyarrow bm25s rank-bm25".split():
        assert found["software"][name]
    assert found["stages"]["train"] == 4
    assert found["machine"]["cores"] >= 1 and found["machine"]["memory_mb"] > 0
    assert found["machine"]["processor"] and isinstance(found["machine"]["gpus"], list)


def test_data_of_the_user_has_its_checksums(folder):
    (folder / "my data").mkdir()
    text = "question,A,B,answer\nWho?,x,y,A\n"
    (folder / "my data" / "q.csv").write_text(text)
    (folder / "my data" / ".hidden").write_text(text)
    (folder / "facts.txt").write_text("Rain is wet.\n")
    study = finished(
        questions={"dataset": "csv", "path": "my data"},
        knowledge=[{"source": "txt", "path": "facts.txt"}],
    )
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    first, second = noted(study)["data"]
    assert first == {"name": "yours", "path": "my data/q.csv", "sha256": sha256}
    assert second["path"] == "facts.txt"


def test_fetched_files_have_address_and_checksum_and_no_secrets():
    addresses = {
        "train": "https://me:hidden12@host/a.jsonl?token=hidden34",
        "test": {"url": "https://host/b.jsonl", "sha256": "A" * 64},
    }
    study = finished(questions={"dataset": "jsonl", "files": addresses})
    write_note(study.question_files.path, ["b" * 64, "a" * 64])
    found = noted(study)
    by_name = {each["name"].rpartition(".")[2]: each for each in found["data"]}
    assert by_name["train"]["addresses"] == ["https://…@host/a.jsonl?token=…"]
    assert by_name["train"]["sha256"] == "b" * 64
    assert by_name["test"]["sha256"] == "a" * 64
    assert "hidden" not in json.dumps(found)


def test_without_a_note_the_lock_file_says_the_checksum():
    study = finished(knowledge=["conceptnet"])
    (found,) = noted(study)["data"]
    assert found["sha256"] is None
    (url,) = found["addresses"]
    entry = {"source": "conceptnet", "sha256": "c" * 64, "size": 5, "first_fetched": "2026-01-01"}
    paths.SOURCES_LOCK.write_text(json.dumps({url: entry}))
    assert noted(study)["data"][0]["sha256"] == "c" * 64


def test_a_local_encoder_has_its_content(tiny_encoder):
    (encoder,) = noted(finished(model={"encoder": str(tiny_encoder)}))["encoders"]
    assert encoder["name"] == str(tiny_encoder) and len(encoder["content"]) == 12


def test_facts_were_embedded_with_noted_weights(tiny_encoder):
    dense = {"method": "dense", "encoder": str(tiny_encoder)}
    study = finished(retrieval=dense, conditions={"none": {}, "ffn": FFN})
    (index,) = study.indexes
    for shard in ("1-of-2", "2-of-2"):
        write_json(paths.index_folder(index, shard) / INDEX_ENCODER, {"sha256": "d" * 64})
    (encoder,) = (each for each in noted(study)["encoders"] if each["used_for"] == "retrieval")
    assert encoder["weights_sha256"] == ["d" * 64]


def test_an_unfinished_study_is_one_line():
    study = finished()
    study.run("ffn", 2).summary.unlink()
    with pytest.raises(KformerError, match=r"ffn/seed-2/training.json: there is no such file"):
        noted(study)


def test_keys_of_data_that_changed_meanwhile_are_not_noted(folder):
    (folder / "facts.txt").write_text("Rain is wet.\n")
    study = finished(knowledge=[{"source": "txt", "path": "facts.txt"}])
    assert noted(study)
    (folder / "facts.txt").write_text("Rain is dry.\n")
    with pytest.raises(KformerError, match=r"plans/ffn-1.json: data or encoders have changed"):
        noted(read_study(study.folder))


class TestCommit:
    @staticmethod
    def git(*arguments):
        who = ("-c", "user.name=me", "-c", "user.email=me@here")
        done = subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def test_there_is_none_outside_of_git(self, folder, capsys):
        (folder / "Snakefile").touch()
        assert commit_of(folder) is None
        assert capsys.readouterr().err == ""

    def test_it_is_that_of_the_workflow_and_says_whether_files_differ(self, folder, monkeypatch):
        self.git("init", "--quiet")
        (folder / "Snakefile").touch()
        assert commit_of(folder) is None  # not under version control
        self.git("add", "Snakefile")
        self.git("commit", "--quiet", "--message", "first")
        commit = self.git("rev-parse", "HEAD")
        monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
        (folder / "results").mkdir()
        (folder / "results" / "new").touch()
        assert commit_of(folder) == {"commit": commit, "changed": False}
        (folder / "Snakefile").write_text("changed")
        assert commit_of(folder) == {"commit": commit, "changed": True}

    def test_why_git_cannot_say_is_one_line(self, folder, capsys):
        (folder / ".git").mkdir()
        (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        (folder / ".git" / "config").write_text("[core]\nrepositoryformatversion = 99\n")
        for name in ("objects", "refs"):
            (folder / ".git" / name).mkdir()
        assert commit_of(folder) is None
        err = capsys.readouterr().err
        assert err.startswith("provenance: no commit is noted: fatal: ") and err.count("\n") == 1

    def test_without_git_it_says_so(self, folder, capsys, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        assert commit_of(folder) is None
        assert capsys.readouterr().err == "provenance: git is not installed; no commit is noted\n"


def test_tools_for_development_are_no_part_of_it():
    assert "ruff" not in software_versions()
