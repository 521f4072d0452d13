"""A run's model as a folder to share: it loads by itself, and its card says what is known of it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, ModelCard, RepoUrl, constants
from transformers import AutoModelForMultipleChoice

from kformer.evaluation.compare import compare
from kformer.evaluation.ladder import Ladder
from kformer.io.file_writing import sha256_of, write_json
from kformer.io.output_names import RunFolder
from kformer.io.tables import write_table
from kformer.io.training_summary import TrainingSummary
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.settings import Retrieval

LADDER = {
    "name": "kformer",
    "rungs": [
        {"kind": "retrieved", "condition": "kformer", "controls": {"shuffle": "kformer-shuffled"}}
    ],
}
RUN = "results/tiny/runs/kformer/seed-1"
QUESTIONS = 40


@pytest.fixture(scope="module")
def study(tmp_path_factory, tiny_tables, random_run):
    """A finished study as the workflow leaves it, with the model of one of its runs."""
    folder = tmp_path_factory.mktemp("study of mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        table = Path("results/shared/retrieval/bm25-1/retrieval.parquet")
        tables = tiny_tables / "questions.parquet", tiny_tables / "facts.parquet"
        retrieve(Retrieval(top_k=6), *tables, [tiny_tables / "index"], table)
        plan = Path("results/tiny/plans/kformer-1.json")
        write_json(plan, {"tables": {"retrieval": str(table)}})
        noted = {"plan": sha256_of(plan), "encoder": "roberta-base", "train_questions": 48}
        random_run(Path(RUN), "ffn", noted, facts=3, max_tokens=64)
        runs = [
            answer(Path("results/tiny/runs/none/untrained"), wrong_every=2),
            answer(Path(RUN), wrong_every=10),
            answer(Path("results/tiny/runs/kformer-shuffled/untrained"), wrong_every=2),
        ]
        ladders = [Ladder.model_validate(LADDER)]
        compare("tiny", runs, "none", Path("results/tiny"), ladders)
        config = {"experiment": "tiny", "knowledge": [{"source": "demo"}]}
        config |= {"questions": {"dataset": "social_iqa"}, "conditions": {"kformer": {}}}
        write_json(Path("results/tiny/config.json"), config)
    return folder


def answer(run, wrong_every):
    """Writes the predictions of a run."""
    common = {"split": "test", "answer": 0, "tied": False, "logits": [1.0, 0.0]}
    rows = [
        {"question_id": f"q{i}", "prediction": int(i % wrong_every == 0), **common}
        | {"credit": float(i % wrong_every != 0), "inputs_cut": 0, "fact_ids": [[], []]}
        for i in range(QUESTIONS)
    ]
    checksums = (
        TrainingSummary.read(run / "training.json").model_checksums
        if (run / "training.json").is_file()
        else ""
    )
    write_table(run / "predictions.parquet", "predictions", rows, {"model_checksums": checksums})
    return run


@pytest.fixture
def in_study(study, monkeypatch):
    monkeypatch.chdir(study)
    return study


@pytest.fixture
def exported(kformer, in_study, tmp_path):
    status, out, err = kformer("export", RUN, tmp_path / "to share", "--license", "apache-2.0")
    assert (status, out) == (0, ""), err
    return tmp_path / "to share"


def test_the_model_answers_as_in_its_run(exported, in_study):
    inputs = ("", "What is the pet of Zorbak?", ["cat", "dog"], ["The pet of Zorbak is cat."])
    logits = []
    for folder in (in_study / RUN / "model", exported):
        model = AutoModelForMultipleChoice.from_pretrained(folder).eval()
        processor = KformerProcessor.from_pretrained(folder)
        with torch.no_grad():
            logits.append(model(**processor.collate([processor(*inputs)])).logits)
    assert isinstance(model, KformerForMultipleChoice)
    assert torch.equal(*logits)


def test_the_code_of_the_card_runs_as_it_stands_there_in_a_fresh_python(exported):
    (code,) = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.DOTALL)
    code += "\nprint(type(model).__name__, tuple(scores.shape))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=exported, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "KformerForMultipleChoice (2,)\n"


def test_importing_kformer_stays_cheap():
    code = (
        "import sys, kformer, kformer.modeling; print({'torch', 'transformers'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_folder_has_what_the_hub_needs_and_nothing_of_this_machine(exported, in_study):
    names = {file.name for file in exported.iterdir()}
    weights = {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"}
    assert names == {"README.md", *weights}
    said = "".join((exported / name).read_text() for name in ("README.md", "config.json"))
    assert str(in_study.parent) not in said


def test_the_card_can_be_edited_without_damage_to_the_model(exported):
    (exported / "README.md").write_text("mine")
    KformerForMultipleChoice.from_pretrained(exported)


def test_the_header_of_the_card_is_read_by_the_hub(exported):
    data = ModelCard.load(exported / "README.md").data
    assert (data.license, data.pipeline_tag) == ("apache-2.0", "multiple-choice")
    assert (data.base_model, data.datasets) == ("roberta-base", ["allenai/social_i_qa"])
    assert (data.library_name, data.metrics) == ("kformer", ["accuracy"])
    (result,) = data.eval_results
    assert (result.task_type, result.dataset_split) == ("multiple-choice", "test")
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.9)


def test_the_card_says_what_the_study_found(exported):
    card = (exported / "README.md").read_text()
    assert "gets 90.0 % of 40 test questions right" in card
    numbers = json.loads(Path("results/tiny/comparison.json").read_text())
    for name in ("none", "kformer", "kformer-shuffled"):
        (row,) = (line for line in card.splitlines() if line.startswith(f"| {name} "))
        (result,) = (each for each in numbers["conditions"] if each["condition"] == name)
        assert f"{100 * result['accuracy_mean']:.1f}" in row
        assert "-".join(f"{100 * end:.1f}" for end in result["ci95"]) in row
    told = card.partition("### What the controls say")[2].partition("##")[0]
    assert "points above its control `kformer-shuffled`" in told
    assert "Facts from demo, retrieved with method: bm25, top_k: 6, query: question." in card


def test_of_a_run_outside_of_a_study_the_card_says_what_is_known(kformer, in_study, tmp_path):
    copy = shutil.copytree(RUN, tmp_path / "my model")
    status, _, err = kformer("export", copy, tmp_path / "out")
    assert status == 0
    assert "no license" in err
    data = ModelCard.load(tmp_path / "out" / "README.md")
    assert "gets 90.0 % of 40 test questions right" in data.content
    assert "There is no comparison with other methods." in data.content
    assert data.data.datasets is None and data.data.license is None


def test_numbers_of_another_model_are_left_out(kformer, in_study, tmp_path):
    copy = shutil.copytree(RUN, tmp_path / "my model")
    write_table(copy / "predictions.parquet", "predictions", [], {"model_checksums": "another"})
    assert kformer("export", copy, tmp_path / "out")[0] == 0
    assert "has not been evaluated" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere", "out"), "nowhere/training.json: there is no such file"),
        ((RUN, RUN), "this folder is there already; delete it or name another one"),
        ((RUN, f"{RUN}/training.json"), "training.json: is a file; name a folder"),
        ((RUN, "out", "--public"), "--public: is for what --push makes"),
    ],
)
def test_a_mistake_is_one_line(arguments, said, kformer, in_study):
    before = sorted(in_study.rglob("*"))
    status, out, err = kformer("export", *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert said in err
    assert sorted(in_study.rglob("*")) == before


class TestPush:
    @pytest.mark.parametrize("public", [False, True])
    def test_it_makes_a_repository_and_uploads_the_folder(
        self, public, kformer, in_study, tmp_path, monkeypatch
    ):
        calls = []

        def create_repo(self, name, **options):
            calls.append((name, options))
            return RepoUrl(f"https://huggingface.co/me/{name}")

        def upload_folder(self, **options):
            names = {file.name for file in options["folder_path"].iterdir()}
            calls.append((options["repo_id"], names))

        monkeypatch.setattr(HfApi, "create_repo", create_repo)
        monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
        options = ["--public"] * public
        status, _, err = kformer("export", RUN, tmp_path / "out", "--push", "mine", *options)
        assert (status, err.splitlines()[-1]) == (
            0,
            "uploaded to https://huggingface.co/me/mine",
        )
        made, uploaded = calls
        assert made == ("mine", {"private": not public, "exist_ok": True})
        assert uploaded[0] == "me/mine" and {"README.md", "model.safetensors"} <= uploaded[1]

    @pytest.mark.parametrize("name", ["me/mine", "not/a/name", "me/mi ne"])
    def test_a_hub_out_of_reach_or_a_wrong_name_is_one_line(self, name, refused, monkeypatch):
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        refused(name)

    def test_a_hub_that_refuses_is_one_line(self, refused, monkeypatch):
        class Refusing(BaseHTTPRequestHandler):
            def do_POST(self):
                self.send_error(403, "not yours")

            def log_message(self, *_):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
            threading.Thread(target=server.serve_forever).start()
            monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            line = refused("me/mine")
            server.shutdown()
        assert "403" in line

    @pytest.fixture
    def refused(self, kformer, in_study, tmp_path, monkeypatch):
        """Pushes in vain; returns the one line. The folder is there to be uploaded later."""
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")

        def push(name):
            out = tmp_path / "to share"
            status, _, err = kformer("export", RUN, out, "--push", name, "--license", "mit")
            assert status == 1
            said, line = err.splitlines()
            assert said.startswith(f"{out}: written") and "hf_of_a_test" not in err
            assert line.startswith(f"error: --push: {name}: ")
            assert line.endswith(f"run: hf upload {shlex.join([name, str(out)])}")
            assert (out / "README.md").is_file()
            return line

        return push


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"conditions": {"kformer": []}}'])
def test_a_damaged_config_of_the_study_is_refused(content, kformer, study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "copy")
    (copy / "results/tiny/config.json").write_text(content)
    status, _, err = kformer("export", copy / RUN, tmp_path / "out")
    assert status == 1 and "config.json: damaged; start the study again" in err
    assert not (tmp_path / "out").exists()


def test_a_damaged_run_is_refused(kformer, in_study, tmp_path):
    copy = shutil.copytree(RUN, tmp_path / "copy")
    (RunFolder(copy).model / "config.json").write_text("{}")
    status, _, err = kformer("export", copy, tmp_path / "out")
    assert status == 1 and "config.json is not what was written" in err
    assert not (tmp_path / "out").exists()
