"""The command line: stages in order, and mistakes as one line."""

import hashlib
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from kformer.cli import GROUPS
from kformer.io.contents import Contents
from kformer.io.tables import read_rows, write_table

PREDICTIONS = "p/x/untrained/predictions.parquet"
DEMO = '{"dataset": "demo"}'
PER_CHOICE = ("--settings", '{"query": "choice"}')


@pytest.fixture(autouse=True)
def no_tracking(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mistake(kformer, tmp_path):
    """Runs a command that fails; returns its one line. Nothing may be written by it."""

    def run(*arguments):
        before = sorted(tmp_path.rglob("*"))
        status, out, err = kformer(*arguments)
        assert status == 1
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        new_files = {path for path in set(tmp_path.rglob("*")) - {*before} if path.is_file()}
        assert new_files == set()
        return err

    return run


class TestStages:
    def test_from_world_to_predictions_of_retrieval(self, kformer):
        size = {"train_questions": 24, "validation_questions": 24, "test_questions": 24}
        said = {}
        for command in (
            ("demo-world", "--out", "world", "--settings", json.dumps(size)),
            ("questions", "--input", "world", "--out", "q", "--settings", DEMO),
            ("facts", "--input", "world", "--out", "f", "--settings", '["demo"]'),
            tuple("index words --facts f --out i".split()),
            (*"retrieve --questions q --facts f --index i --out r".split(), *PER_CHOICE),
            tuple("describe-retrieval --questions q --facts f --retrieval r --out d".split()),
            tuple("control shuffle --questions q --facts f --retrieval r --out s".split()),
            (*"answer-by-retrieval --questions q --retrieval r".split(), "--out", PREDICTIONS),
        ):
            status, out, said[command[0]] = kformer(*command)
            assert (status, out) == (0, ""), said
        counted = "train_questions 24, validation_questions 24, test_questions 24"
        assert said["questions"].startswith(f"questions demo: {counted} (")
        assert len(list(read_rows(Path(PREDICTIONS), "predictions"))) == 24
        assert {path.name for path in Path().iterdir()} == {"world", *"qfirdsp"}
        report = {"retrieval.json", "retrieval.md", "sample.html"}
        assert {path.name for path in Path("d").iterdir()} == report

    @pytest.mark.parametrize("settings", [(), ("--settings", '{"events": 9, "query": "choice"}')])
    def test_retrieval_in_shards_of_facts_and_questions(self, kformer, tiny_tables, settings):
        tables = ["--questions", tiny_tables / "questions.parquet"]
        facts = documents = ["--facts", tiny_tables / "facts.parquet"]
        commands = []
        if settings:
            commands.append(("events", *facts, "--out", "e"))
            documents = ["--facts", "e"]
        for number in (1, 2):
            shard = ("--shard", f"{number}-of-2", *settings)
            commands.append(("count-words", *documents, *shard, "--out", f"{number}.json"))
        counts = ("--counts", "1.json", "--counts", "2.json")
        for number in (1, 2):
            shard = ("--shard", f"{number}/2", *settings)
            commands.append(("index", "words", *documents, *shard, *counts, "--out", f"i{number}"))
        commands.append(("index", "words", *documents, *settings, "--out", "i"))
        indexes = ("--index", "i1", "--index", "i2", "--threads", 2)
        for number in (1, 2, 3):
            shard = ("--shard", f"{number}-of-3", "--out", f"{number}.parquet", *settings)
            commands.append(("retrieve", *tables, *facts, *indexes, *shard))
        parts = [f"{number}.parquet" for number in (1, 2, 3)]
        commands.append(("gather", *parts, *tables[:2], "--out", "r"))
        commands.append(("retrieve", *tables, *facts, "--index", "i", *settings, "--out", "whole"))
        for command in commands:
            status, out, err = kformer(*command)
            assert (status, out) == (0, ""), err
            assert err.startswith(command[0])
            assert err.count("\n") == 1
        assert Path("r").read_bytes() == Path("whole").read_bytes()

    @pytest.mark.slow
    def test_tokens_of_both_tables(self, kformer, tiny_tables, tiny_encoder):
        checksum = Contents().checksum(tiny_encoder)
        for name in ("questions", "facts"):
            command = ["featurize", "--table", tiny_tables / f"{name}.parquet", "--out", name]
            command += ["--encoder", tiny_encoder, "--content"]
            status, _, err = kformer(*command, "0123456789ab")
            assert (status, Path(name).exists()) == (1, False)
            assert err.endswith("changed since the run was planned; start the run again\n")
            status, _, err = kformer(*command, checksum)
            assert (status, err.count("\n")) == (0, 1)
            assert err.startswith(f"featurize {name}: texts ")
        assert kformer(*command[:5], "--encoder", tiny_encoder, "--content", "-")[0] == 0

    def test_a_source_from_a_local_file(self, kformer, tmp_path):
        (tmp_path / "atomic.txt").write_text("content")
        sha256 = hashlib.sha256(b"content").hexdigest()
        settings = {"atomic": {"url": str(tmp_path / "atomic.txt"), "sha256": sha256}}
        command = ("fetch", "atomic", "--out", "got", "--settings", json.dumps(settings))
        status, _, err = kformer(*command)
        assert status == 0, err
        assert (tmp_path / "got" / "atomic.txt").read_text() == "content"

    def test_a_check_lists_all_problems_and_says_what_is_fine(self, kformer, tmp_path):
        (tmp_path / "q.csv").write_text("question,A,B,answer\nWho?,x,y,A\nWho?,x,y,C\n,x,y,A\n")
        status, out, err = kformer("check", "q.csv")
        assert (status, err) == (1, "")
        lines = out.splitlines()
        assert lines[0].startswith("q.csv:3: answer: 'C' is neither a choice, nor a letter")
        assert lines[1] == "q.csv:4: question: Field required"
        assert lines[2] == "q.csv: 1 questions are fine (no split 1); 2 problems"

    def test_a_check_of_what_is_fine_ends_well(self, kformer, tmp_path):
        (tmp_path / "f.tsv").write_text("rain\tCauses\twet streets\n")
        read = "read as text: Rain causes wet streets.; relation: Causes; origin: rain"
        assert kformer("check", "f.tsv") == (
            0,
            f"{read}\nf.tsv: 1 facts are fine; 0 problems\n",
            "",
        )

    def test_the_schema_is_json(self, kformer):
        status, out, _ = kformer("schema")
        assert status == 0
        assert "conditions" in json.loads(out)["properties"]


class TestMistakes:
    @pytest.mark.parametrize(
        ("command", "said"),
        [
            ('questions --input nowhere --out q --settings {"dataset":"demo"}', "nowhere"),
            ('facts --input nowhere --out f --settings ["demo"]', "nowhere"),
            ("events --facts nowhere --out e", "nowhere"),
            ("index words --facts nowhere --out i", "nowhere"),
            ("control random --questions nowhere --facts f --retrieval r --out s", "nowhere"),
            ("compare nowhere/seed-1 --experiment e --baseline nowhere --out c", "nowhere"),
            ("show nowhere.json", "nowhere"),
            ("evaluate --run / --question-tokens q --out p", "/: the folder of a run"),
            (
                "use-of-facts --run / --question-tokens q --fact-tokens f --retrieval r --out u",
                "/: the folder of a run",
            ),
            (
                "use-of-facts --run / --question-tokens q --fact-tokens f --retrieval r --out u "
                "--facts f",
                "--questions and --facts: give both or neither",
            ),
            ("answer-by-retrieval --questions q --retrieval r --out p", "folder of a run"),
            ('facts --input a --input b --out f --settings ["demo"]', "--input: 2 given for 1 "),
            ("events --facts f --out .", "--out: . is no new file"),
            pytest.param(
                "featurize --table nowhere --encoder bundled/all-MiniLM-L6-v2 --out t",
                "nowhere: there is no such file",
                marks=pytest.mark.slow,
            ),
            pytest.param(
                "featurize --table t --encoder ./nowhere --out t2",
                "model.encoder: ./nowhere is no encoder folder",
                marks=pytest.mark.slow,
            ),
            ("index embeddings --facts f --out i --counts c", "--counts: an index of embeddings"),
            ("index words --facts f --out i --shard 8/7", "--shard: '8/7'"),
            ("count-words --facts f --out c --shard 8/7", "--shard: '8/7'"),
            ("retrieve --questions q --facts f --out r --shard 8/7", "--shard: '8/7'"),
            pytest.param(
                "train --question-tokens q --fact-tokens f --out o/none/seed-1 --checkpoints c "
                '--seed 1 --settings {"model":{},"training":{}}',
                "--fact-tokens and --retrieval: give both or neither",
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_a_mistake_is_one_line_that_names_it(self, mistake, command, said):
        assert said in mistake(*command.split())

    @pytest.mark.parametrize(
        "command",
        [
            "events --facts data/f --out data/../data/f",
            "events --out data/f --facts data/f",
            "control shuffle --questions q --facts f --retrieval data/f --out data/f",
            "gather p data/f --questions q --out data/f",
            "retrieve --questions q --facts data/f --out data/f",
            "questions --input data/f --out data/f --settings {}",
            "featurize --table data/f --encoder e --out data/f",
            "use-of-facts --run r --question-tokens q --fact-tokens f --retrieval data/f "
            "--out data/f",
        ],
    )
    def test_what_is_read_is_never_written_over(self, mistake, tmp_path, command):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "f").write_text("precious")
        assert "is also read; name another file" in mistake(*command.split())
        assert (tmp_path / "data" / "f").read_text() == "precious"

    @pytest.mark.parametrize("command", ["nosuch", "fetch", "demo-world"])
    def test_an_unknown_command_or_a_missing_option_is_one_line(self, kformer, command):
        status, out, err = kformer(command)
        assert (status, out) == (2, "")
        (line,) = err.splitlines()
        assert line.startswith("error: ")
        assert re.search(r"; see kformer.* --help$", line)
        assert "Traceback" not in err


COMMANDS = [command for group in GROUPS for command in group.app.registered_commands]


class TestHelp:
    def test_it_lists_every_stage(self, kformer):
        status, out, _ = kformer("--help")
        assert status == 0
        commands = [command.name or command.callback.__name__ for command in COMMANDS]
        assert len(commands) > 20
        assert [name for name in commands if name.replace("_", "-") not in out] == []

    @pytest.mark.parametrize(
        "command",
        [
            *("fetch", "demo-world", "questions", "facts", "events", "count-words", "index"),
            *(
                "retrieve",
                "gather",
                "describe-retrieval",
                "search",
                "featurize",
                "train",
                "compare",
                "ask",
                "predict",
                "export",
            ),
        ],
    )
    def test_a_command_shows_an_example(self, kformer, command):
        status, out, _ = kformer(command, "--help")
        assert status == 0
        assert "Example" in out
        assert f"kformer {command} " in " ".join(out.split())

    def test_without_a_command_it_is_shown_too(self, kformer):
        _, out, err = kformer()
        assert "Usage: kformer" in out + err


def test_show_prints_a_finished_comparison(kformer, tmp_path):
    for condition, predictions in (("none", [0, 1, 0, 1]), ("retrieval-only", [0, 0, 0, 0])):
        common = {"split": "test", "answer": 0, "logits": [0.0, 1.0], "tied": False}
        common |= {"fact_ids": [[], []], "inputs_cut": 0}
        rows = [
            {"question_id": f"q{i}", "prediction": prediction, "credit": 1.0 - prediction, **common}
            for i, prediction in enumerate(predictions)
        ]
        file = tmp_path / "runs" / condition / "untrained" / "predictions.parquet"
        write_table(file, "predictions", rows)
    runs = sorted((tmp_path / "runs").glob("*/*"))
    status, _, err = kformer("compare", *runs, *"--experiment my --baseline none --out c".split())
    assert status == 0, err
    status, out, _ = kformer("show", "c/comparison.json")
    assert status == 0
    assert out.startswith("my: ")
    shown = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "50.0" in shown["none"] and "100.0" in shown["retrieval-only"]
    assert kformer("show", "c")[1] == out  # its folder
    refused = "--experiment my --baseline none --out c --ladders".split()
    status, _, err = kformer("compare", *runs, *refused, '[{"name": "x"}]')
    assert status == 1 and "--ladders: 0.rungs: Field required" in err
    command = [sys.executable, "-m", "kformer", "show", "c"]
    ascii_only = dict(os.environ, PYTHONIOENCODING="ascii")
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True, check=True)
    assert "delta is the difference from none" in " ".join(done.stdout.split())


def test_the_version_is_told(kformer):
    status, out, _ = kformer("--version")
    assert (status, out) == (0, f"kformer {metadata.version('kformer')}\n")


def test_help_shows_where_a_run_lies(kformer):
    for command in ("train", "compare"):
        assert "CONDITION/seed-SEED" in "".join(kformer(command, "--help")[1].split("│"))


def test_in_a_shell_a_mistake_is_one_line_on_stderr_and_status_1(tmp_path):
    command = [sys.executable, "-m", "kformer", "fetch", "wikipedia", "--out", tmp_path / "got"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: sources: 'wikipedia' is not a known source")
    assert done.stderr.count("\n") == 1


def test_without_tracking_a_light_stage_does_not_load_mlflow(tmp_path):
    code = (
        "import sys\nfrom kformer import cli\n"
        f"sys.argv = ['kformer', 'demo-world', '--out', {str(tmp_path / 'world')!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\nprint('mlflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(28, "No space left on device"),
            "error: No space left on device; correct",
        ),
        (
            OSError(28, "No space left", "some/file"),
            "error: some/file: No space left; correct",
        ),
        (OSError("odd\nindeed"), "error: odd indeed; correct that"),
    ],
)
def test_an_error_of_the_system_is_one_line_with_or_without_a_file(
    error, line, mistake, monkeypatch
):
    def fail(*_):
        raise error

    monkeypatch.setattr("kformer.demo_world.write_world", fail)
    assert mistake("demo-world", "--out", "world").startswith(line)
