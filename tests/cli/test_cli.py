"""The command line: stages in order, and mistakes as one line."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kformer.cli import data, retrieval, runs
from kformer.io.tables import read_rows, write_table

DEMO = '{"dataset": "demo"}'
PER_CHOICE = ("--settings", '{"query": "choice"}')
QUESTION = {
    "question_id": "a",
    "split": "train",
    "context": "",
    "question": "Which?",
    "choices": ["x", "y"],
    "answer": 0,
    "type": None,
    "gold_facts": None,
}


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
        assert "Traceback" not in err
        new_files = {path for path in set(tmp_path.rglob("*")) - {*before} if path.is_file()}
        assert new_files == set()
        return err

    return run


def write_lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def settings_for(path):
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return json.dumps({"atomic": {"url": str(path), "sha256": sha256}})


class TestStages:
    def test_from_world_to_predictions_of_retrieval(self, kformer):
        size = {"train_questions": 24, "validation_questions": 24, "test_questions": 24}
        for command in (
            ("demo-world", "--out", "world", "--settings", json.dumps(size)),
            ("questions", "--input", "world", "--out", "q", "--settings", DEMO),
            ("facts", "--input", "world", "--out", "f", "--settings", '["demo"]'),
            tuple("index words --facts f --out i".split()),
            (*"retrieve --questions q --facts f --index i --out r".split(), *PER_CHOICE),
            tuple("describe-retrieval --questions q --facts f --retrieval r --out d".split()),
            ("shuffle", "--questions", "q", "--retrieval", "r", "--out", "s"),
            (*"answer-by-retrieval --questions q --retrieval r".split(), "--out", "p/x/untrained"),
        ):
            status, _, err = kformer(*command)
            assert status == 0, err
            assert f"{command[0]}" in err or "evaluate" in err
        assert len(list(read_rows(Path("p/x/untrained"), "predictions"))) == 24
        assert sorted(path.name for path in Path().iterdir()) == sorted(
            ["world", "q", "f", "i", "r", "d", "s", "p"]
        )
        assert sorted(path.name for path in Path("d").iterdir()) == [
            "retrieval.json",
            "retrieval.md",
            "sample.html",
        ]

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

    def test_a_stage_says_what_it_did_on_stderr(self, kformer, tiny_world):
        _, out, err = kformer("questions", "--input", tiny_world, "--out", "q", "--settings", DEMO)
        assert out == ""
        assert (
            "questions demo: train_questions 48, validation_questions 24, test_questions 24" in err
        )

    def test_a_source_from_a_local_file(self, kformer, tmp_path):
        (tmp_path / "atomic.txt").write_text("content")
        settings = settings_for(tmp_path / "atomic.txt")
        status, _, err = kformer("fetch", "atomic", "--out", "got", "--settings", settings)
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
        assert kformer("check", "f.tsv") == (0, "f.tsv: 1 facts are fine; 0 problems\n", "")

    def test_the_schema_is_json(self, kformer):
        status, out, _ = kformer("schema")
        assert status == 0
        assert "conditions" in json.loads(out)["properties"]


class TestMistakes:
    @pytest.mark.parametrize("settings", ["{", "", "{'seed': 1}"])
    def test_settings_that_are_no_json(self, mistake, settings):
        line = mistake("demo-world", "--out", "world", "--settings", settings)
        assert "--settings: not valid JSON" in line

    @pytest.mark.parametrize(
        "command",
        [
            ("fetch", "wikipedia", "--out", "got"),
            ("questions", "--input", "nowhere", "--out", "q", "--settings", DEMO),
            ("facts", "--input", "nowhere", "--out", "f", "--settings", '["demo"]'),
            ("events", "--facts", "nowhere", "--out", "e"),
            ("index", "words", "--facts", "nowhere", "--out", "i"),
            ("shuffle", "--questions", "nowhere", "--retrieval", "nowhere", "--out", "s"),
            (
                "compare",
                "nowhere/seed-1",
                "--experiment",
                "e",
                "--baseline",
                "nowhere",
                "--out",
                "c",
            ),
            ("show", "nowhere.json"),
        ],
        ids=lambda command: command[0],
    )
    def test_what_is_not_there_is_one_line_that_names_it(self, mistake, command):
        line = mistake(*command)
        assert ("wikipedia" if command[0] == "fetch" else "nowhere") in line

    def test_an_unknown_key_in_settings(self, mistake):
        line = mistake("demo-world", "--out", "world", "--settings", '{"sede": 1}')
        assert "sede: unknown key; did you mean seed? allowed here: hard_share, " in line

    def test_more_inputs_than_sources(self, mistake, tiny_world):
        inputs = ("--input", tiny_world, "--input", tiny_world)
        line = mistake("facts", *inputs, "--out", "f", "--settings", '["demo"]')
        assert "--input: 2 given for 1 sources in --settings; give one for each" in line

    @pytest.mark.parametrize(
        "command",
        [
            "events --facts data/f --out data/../data/f",
            "events --out data/f --facts data/f",
            "shuffle --questions q --retrieval data/f --out data/f",
            "gather p data/f --questions q --out data/f",
            "retrieve --questions q --facts data/f --out data/f",
            "questions --input data/f --out data/f --settings {}",
        ],
    )
    def test_what_is_read_is_never_written_over(self, mistake, tmp_path, command):
        write_lines(tmp_path / "data" / "f", QUESTION)
        before = (tmp_path / "data" / "f").read_bytes()
        assert "is also read; name another file" in mistake(*command.split())
        assert (tmp_path / "data" / "f").read_bytes() == before

    def test_a_folder_s_own_name_is_no_output(self, mistake):
        assert "--out: . is no new file" in mistake("events", "--facts", "f", "--out", ".")

    def test_counts_for_embeddings(self, mistake):
        line = mistake(*"index embeddings --facts f --out i --counts c.json".split())
        assert "--counts: an index of embeddings needs none" in line

    @pytest.mark.parametrize(
        "command",
        [
            "index words --facts f --out i",
            "count-words --facts f --out c",
            "retrieve --questions q --facts f --out r",
        ],
    )
    def test_what_is_not_a_shard(self, mistake, command):
        assert "--shard: '8/7'" in mistake(*command.split(), "--shard", "8/7")

    @pytest.mark.slow
    def test_facts_without_retrieval(self, mistake):
        arguments = "train --questions q --facts f --out o/none/seed-1 --checkpoints c --seed 1"
        settings = '{"model": {}, "training": {}}'
        line = mistake(*arguments.split(), "--settings", settings)
        assert "--facts and --retrieval: give both or neither" in line

    def test_an_unknown_command_or_a_missing_option_shows_the_usage(self, kformer):
        for arguments in (("nosuch",), ("fetch",), ("demo-world",)):
            status, out, err = kformer(*arguments)
            assert status == 2
            assert out == ""
            assert "Usage: kformer" in err
            assert "Traceback" not in err


COMMANDS = [
    command for group in (data, retrieval, runs) for command in group.app.registered_commands
]


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
            *("retrieve", "gather", "describe-retrieval", "search", "train", "compare"),
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
        rows = [
            {
                "question_id": f"q{i}",
                "split": "test",
                "answer": 0,
                "prediction": prediction,
                "logits": [0.0, 1.0],
                "fact_ids": [[], []],
            }
            for i, prediction in enumerate(predictions)
        ]
        folder = tmp_path / "runs" / condition / "untrained"
        write_table(folder / "predictions.parquet", "predictions", rows)
    runs = sorted((tmp_path / "runs").glob("*/*"))
    status, _, err = kformer("compare", *runs, *"--experiment my --baseline none --out c".split())
    assert status == 0, err
    status, out, _ = kformer("show", "c/comparison.json")
    assert status == 0
    assert out.startswith("my: ")
    (none,) = (line for line in out.splitlines() if line.startswith("none "))
    (other,) = (line for line in out.splitlines() if line.startswith("retrieval-only "))
    assert "50.0" in none
    assert "100.0" in other


def in_a_shell(*arguments):
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    return subprocess.run(
        [sys.executable, "-m", "kformer", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )


def test_in_a_shell_a_mistake_is_one_line_on_stderr_and_status_1(tmp_path):
    done = in_a_shell("fetch", "wikipedia", "--out", str(tmp_path / "got"))
    assert done.returncode == 1
    assert done.stdout == ""
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
