"""Asking the model of a finished run: the same answers as in its study, and clear refusals."""

import csv
import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kformer.evaluation.predict import predict
from kformer.io.file_writing import sha256_of, write_json
from kformer.io.tables import read_rows
from kformer.retrieval.control import make_control
from kformer.retrieval.index import index_words
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.settings import Retrieval

pytestmark = pytest.mark.usefixtures("one_thread")
# The model and the retrieval of each condition.
CONDITIONS = {
    "none": ({"injection": "none"}, None),
    "static": ({"injection": "static"}, None),
    "concat": ({"injection": "concat"}, {"top_k": 6}),
    "kformer": ({"injection": "ffn"}, {"top_k": 6}),
    "attention": ({"injection": "attention"}, {"top_k": 4, "query": "choice"}),
    "by-score": (
        {"injection": "ffn", "scores_in_keys": True, "filter": "retrieval"},
        {"top_k": 4, "query": "choice"},
    ),
    "gold": ({"injection": "ffn"}, {"method": "gold", "top_k": 6, "distractors": 2}),
    "shuffled": ({"injection": "ffn"}, {"top_k": 6, "control": "shuffle"}),
}
QUESTION = ("What is the pet of Zorbak?", "--choices", "cat", "rabbit", "horse")


@pytest.fixture(scope="module")
def study(tmp_path_factory, tiny_tables, tiny_tokens, random_run):
    """A folder as the workflow leaves it, with a run of each condition, evaluated."""
    folder = tmp_path_factory.mktemp("study of mine")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shared = Path("results/shared")
        facts, index = shared / "facts/demo-1/facts.parquet", shared / "index/words-1/1-of-1"
        facts.parent.mkdir(parents=True)
        shutil.copyfile(tiny_tables / "facts.parquet", facts)
        index_words(Retrieval(), facts, index)
        index_words(Retrieval(words={"stemming": True}), facts, shared / "index/words-2/1-of-1")
        for name, (model, retrieval) in CONDITIONS.items():
            table = make_table(name, retrieval, tiny_tables / "questions.parquet", facts, index)
            plan = Path(f"results/tiny/plans/{name}-1.json")
            write_json(plan, {"tables": {"retrieval": str(table)} if table else {}})
            run = Path(f"results/tiny/runs/{name}/seed-1")
            settings = {"facts": 3, "max_tokens": 64, **model}
            random_run(run, settings.pop("injection"), {"plan": sha256_of(plan)}, **settings)
            knowledge = (tiny_tokens[1], table) if table else None
            predict(run, tiny_tokens[0], knowledge, run / "predictions.parquet")
    return folder


def make_table(name, settings, questions, facts, index):
    if settings is None:
        return None
    table = Path(f"results/shared/retrieval/{name}/retrieval.parquet")
    section = Retrieval(**settings)
    retrieve(section.model_copy(update={"control": None}), questions, facts, [index], table)
    if not section.control:
        return table
    make_control("shuffle", questions, facts, table, table.with_name("shuffle-1.parquet"))
    return table.with_name("shuffle-1.parquet")


@pytest.fixture
def in_study(study, monkeypatch):
    monkeypatch.chdir(study)
    monkeypatch.setenv("COLUMNS", "100")
    return study


@pytest.fixture(scope="module")
def asked(tiny_tables, tmp_path_factory):
    """The test questions in a file without answers."""
    rows = read_rows(tiny_tables / "questions.parquet", "questions")
    keys = {"question_id": "id", "context": "context", "question": "question"}
    keys |= {"choices": "choices", "type": "type", "gold_facts": "gold_facts"}
    lines = [
        json.dumps({new: row[old] for old, new in keys.items()})
        for row in rows
        if row["split"] == "test"
    ]
    file = tmp_path_factory.mktemp("asked") / "new questions.jsonl"
    file.write_text("\n".join(lines), "utf-8")
    return file


def run_of(condition):
    return f"results/tiny/runs/{condition}/seed-1"


@pytest.fixture
def refused(kformer, in_study):
    """Runs a command that fails; returns its one line. Nothing may be written by it."""

    def run(*arguments):
        before = sorted(in_study.rglob("*"))
        status, out, err = kformer(*arguments)
        assert (status, out, err.count("\n")) == (1, "", 1), err
        assert sorted(in_study.rglob("*")) == before
        return err

    return run


@pytest.mark.parametrize("condition", [name for name in CONDITIONS if name != "shuffled"])
def test_answers_are_those_of_the_study(condition, kformer, in_study, asked, tmp_path):
    out = tmp_path / "answers.parquet"
    status, _, err = kformer("predict", asked, "--run", run_of(condition), "--out", out)
    assert status == 0, err
    rows = pq.read_table(out).to_pylist()
    predicted = list(read_rows(Path(run_of(condition), "predictions.parquet"), "predictions"))
    assert len(rows) == 24
    for row, expected in zip(rows, predicted, strict=True):
        assert row["question_id"] == expected["question_id"]
        assert (row["prediction"], row["tied"]) == (expected["prediction"], expected["tied"])
        assert row["logits"] == pytest.approx(expected["logits"], abs=1e-5)
        read = [[fact["id"] for fact in facts] for facts in row["facts"]]
        assert read == expected["fact_ids"]


def test_answers_can_be_written_in_three_formats(kformer, in_study, asked, tmp_path):
    texts = {row["fact_id"]: row["text"] for row in facts_of(in_study)}
    command = ("predict", asked, "--run", run_of("kformer"), "--out")
    for suffix in ("parquet", "jsonl", "csv"):
        status, out, err = kformer(*command, tmp_path / f"a.{suffix}")
        assert (status, out) == (0, "")
        assert err.splitlines() == [
            "predict: questions 24, with_answers 0, right 0, inputs_cut 0",
            "facts retrieved from results/shared/facts/demo-1/facts.parquet (bm25)",
        ]
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    for row, of_row in zip(rows, cells, strict=True):
        for name in ("probabilities", "logits", "facts"):
            assert json.loads(of_row[name]) == row[name]
        assert of_row["answer"] == "" and of_row["tied"] == json.dumps(row["tied"])
        assert int(of_row["prediction"]) == row["prediction"]
        assert of_row["prediction_text"] == row["prediction_text"]
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert max(row["probabilities"]) == row["probabilities"][row["prediction"]]
        assert all(f["text"] == texts[f["id"]] for facts in row["facts"] for f in facts)
        assert all(f["fired"] is not None for facts in row["facts"] for f in facts)


def facts_of(study):
    return read_rows(study / "results/shared/facts/demo-1/facts.parquet", "facts")


def test_known_answers_are_counted(kformer, in_study, tmp_path):
    rows = [{"question": "What?", "choices": ["cat", "dog"], "answer": n} for n in (0, 1)]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ("predict", tmp_path / "q.jsonl", "--run", run_of("none"))
    _, _, err = kformer(*command, "--out", tmp_path / "a.jsonl")
    assert err == "predict: questions 2, with_answers 2, right 1, inputs_cut 0\n"


def test_a_question_is_answered_with_what_was_retrieved(kformer, in_study):
    status, out, err = kformer("ask", "--run", run_of("kformer"), *QUESTION)
    assert status == 0, err
    assert err == "facts retrieved from results/shared/facts/demo-1/facts.parquet (bm25)\n"
    lines = out.splitlines()
    assert sum("▶" in line for line in lines) == 1
    assert [word for line in lines for word in ("cat", "rabbit", "horse") if f" {word}" in line]
    assert any(row["text"] in out for row in facts_of(in_study))


def test_given_facts_are_read_instead(kformer, in_study, tmp_path):
    (tmp_path / "more.txt").write_text("The drink of Zorbak is tea.\n\nThe pet of Zorbak is cat.\n")
    given = ("--fact", "The pet of Zorbak is cat.", "--facts", tmp_path / "more.txt")
    status, out, err = kformer("ask", "--run", run_of("kformer"), *QUESTION, *given)
    assert (status, err) == (0, "")
    assert out.count("The pet of Zorbak is cat.") == out.count("The drink of Zorbak is tea.") == 1
    assert kformer("ask", "--run", run_of("kformer"), *given, *QUESTION)[1] == out
    assert "×" in kformer("ask", "--run", run_of("concat"), *QUESTION, *given)[1]


def test_given_facts_need_no_study(kformer, in_study, tmp_path):
    copy = shutil.copytree(run_of("kformer"), tmp_path / "my model")
    given = ("--fact", "The pet of Zorbak is cat.")
    status, out, err = kformer("ask", "--run", copy, *QUESTION, *given)
    assert (status, err) == (0, "")
    assert "The pet of Zorbak is cat." in out


def test_a_question_of_a_file_may_have_facts_of_its_own(kformer, in_study, tmp_path):
    row = {"question": "What is the pet of Zorbak?", "choices": ["cat", "dog"]}
    rows = [row | {"facts": ["The pet of Zorbak is cat."]}, row | {"facts": []}, row]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ["predict", tmp_path / "q.jsonl", "--out", tmp_path / "a.jsonl", "--run"]
    read = {}
    for condition, given in (
        ("kformer", ()),
        ("shuffled", ("--fact", "The pet of Zorbak is dog.")),
        ("none", ()),
    ):
        status, _, err = kformer(*command, run_of(condition), *given)
        assert status == 0, err
        lines = (tmp_path / "a.jsonl").read_text().splitlines()
        read[condition] = [
            [(fact["id"], fact["text"]) for fact in json.loads(line)["facts"][0]] for line in lines
        ]
    own = [(None, "The pet of Zorbak is cat.")]
    assert read["kformer"][:2] == [own, []]
    assert len(read["kformer"][2]) == 3 and all(fact_id >= 0 for fact_id, _ in read["kformer"][2])
    assert read["shuffled"] == [own, [], [(None, "The pet of Zorbak is dog.")]]
    assert read["none"] == [[], [], []]


def test_choices_may_stand_anywhere_and_look_like_options(kformer, in_study):
    options = ("--run", run_of("none"), "--context", "At home.")
    statuses = {
        kformer("ask", "How cold?", "--choices", "-5", "5 °C", *options)[1],
        kformer("ask", *options, "How cold?", "--choices", "-5", "5 °C")[1],
        kformer("ask", "How cold?", *options, "--choices", "-5", "--choices", "5 °C")[1],
    }
    (out,) = statuses
    assert " -5" in out and " 5 °C" in out


@pytest.mark.parametrize("condition", ["none", "static"])
def test_facts_for_a_model_that_reads_none_are_refused(condition, refused):
    said = refused("ask", "--run", run_of(condition), *QUESTION, "--fact", "Cats purr.")
    assert "its model reads no facts" in said and "leave facts out" in said


def test_a_model_that_reads_scores_cannot_be_given_facts(refused):
    said = refused("ask", "--run", run_of("by-score"), *QUESTION, "--fact", "Cats purr.")
    assert "scores_in_keys" in said and "so that they are retrieved" in said


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("shuffled", "a control reads facts that were not found for its questions"),
        ("gold", "has no gold facts, which this condition reads"),
    ],
)
def test_nothing_is_retrieved_where_the_study_retrieved_nothing(condition, said, refused):
    line = refused("ask", "--run", run_of(condition), *QUESTION)
    assert said in line and line.endswith("or give the facts, with --fact or --facts\n")


@pytest.mark.parametrize(
    ("deleted", "said"),
    [
        ("results/tiny/plans", "lies in no study"),
        ("results/shared/retrieval", "says how facts were found, and is missing; delete "),
        ("results/shared/facts", "the facts of .* are missing; delete "),
        ("results/shared/index/words-1", "the index of words of .* is missing; delete "),
    ],
)
def test_what_was_deleted_is_said_with_what_to_do(
    deleted, said, kformer, study, tmp_path, monkeypatch
):
    copy = shutil.copytree(study, tmp_path / "copy")
    shutil.rmtree(copy / deleted)
    monkeypatch.chdir(tmp_path)
    status, out, err = kformer("ask", "--run", copy / run_of("kformer"), *QUESTION)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert re.search(said, err)
    assert err.endswith("or give the facts, with --fact or --facts\n")


def test_a_run_of_another_plan_is_refused(kformer, study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "copy")
    (copy / "results/tiny/plans/kformer-1.json").write_text("{}")
    _, _, err = kformer("ask", "--run", copy / run_of("kformer"), *QUESTION)
    assert "was trained to another plan than" in err


def test_a_study_may_be_asked_from_any_folder(kformer, study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = kformer("ask", "--run", study / run_of("kformer"), *QUESTION)
    assert status == 0, err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--run", "nowhere", *QUESTION), "nowhere/training.json: there is no such file"),
        (("--run", run_of("none"), "Who?", "--choices", "a"), "the question: choices: List"),
        (("--run", run_of("none"), "Who?", "--choices", "a", ""), "choices.1: must not be empty"),
        (("--run", run_of("kformer"), *QUESTION, "--fact", " "), "--fact: must not be empty"),
        (("--run", run_of("kformer"), *QUESTION, "--facts", "nowhere"), "nowhere: does not exist"),
        (("--run", run_of("none"), "Who\udcff?", *QUESTION[1:]), "QUESTION: 'Who\\udcff?' is not"),
        (("--run", "a/untrained", *QUESTION), "a/untrained: nothing was trained here"),
        (
            ("--run", run_of("none"), "Who?", "--choices", "cat", "dog " * 90),
            "question 'Who?': model.max_tokens: the choice 'dog dog",
        ),
    ],
)
def test_a_mistake_is_one_line(arguments, said, refused):
    assert said in refused("ask", *arguments)


@pytest.mark.parametrize(
    ("questions", "options", "said"),
    [
        ("nowhere.jsonl", ("--out", "a.csv"), "nowhere.jsonl: does not exist"),
        (None, ("--out", "a.xlsx"), "a.xlsx: unknown suffix; name a file that ends in .csv"),
        (None, ("--out", "a.csv", "--columns", "{"), "--columns: not valid JSON"),
        (None, ("--out", "a.csv", "--columns", '{"stem": "x"}'), "--columns: stem: unknown key"),
        (None, ("--out", "a.csv", "--facts", "results"), "results/"),
    ],
)
def test_a_mistake_about_a_file_is_one_line(questions, options, said, refused, asked):
    command = ("predict", questions or asked, "--run", run_of("kformer"), *options)
    assert said in refused(*command)


def test_questions_are_never_written_over(refused, asked):
    said = refused("predict", asked, "--run", run_of("none"), "--out", asked)
    assert "is also read; name another file" in said
