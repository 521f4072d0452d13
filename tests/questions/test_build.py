"""The stage of questions: only proper questions get into the table."""

import json

import pytest

from kformer.errors import KformerError
from kformer.io.tables import read_rows
from kformer.questions.build import build_questions
from kformer.questions.demo import DemoQuestions


def question(question_id, of_split, **change):
    return {
        "question_id": question_id,
        "split": of_split,
        "context": "",
        "question": "Which pet has Krez?",
        "choices": ["dog", "cat"],
        "answer": 1,
        "type": "easy",
        "gold_facts": ["The pet of Krez is cat."],
    } | change


GOOD = [question("a", "train"), question("b", "validation"), question("c", "test")]


def without(key):
    row = question("bad", "train")
    del row[key]
    return row


@pytest.fixture
def table(tmp_path):
    return tmp_path / "out" / "questions.parquet"


@pytest.fixture
def build(folder_of, table):
    """Builds the table of some rows, or of lines that are none."""

    def run(rows):
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        return build_questions(
            DemoQuestions(), folder_of({"questions.jsonl": "\n".join(lines)}), table
        )

    return run


def test_questions_are_written_in_order_and_counted_by_split(build, table):
    rows = [*GOOD, question("d", "train", answer=0), question("e", "test", choices=["x"] * 9)]
    assert build(rows) == {"train_questions": 2, "validation_questions": 1, "test_questions": 2}
    assert list(read_rows(table, "questions")) == rows
    before = table.read_bytes()
    build(rows)
    assert table.read_bytes() == before


def test_the_questions_of_a_demo_world_come_as_they_were_generated(tiny_world, table):
    counts = build_questions(DemoQuestions(), tiny_world, table)
    assert counts == {"train_questions": 48, "validation_questions": 24, "test_questions": 24}
    lines = (tiny_world / "questions.jsonl").read_text("utf-8").splitlines()
    assert list(read_rows(table, "questions")) == [json.loads(line) for line in lines]


def test_a_folder_without_the_file_is_refused(tmp_path, table):
    with pytest.raises(KformerError, match=r"questions\.jsonl: there is no such file"):
        build_questions(DemoQuestions(), tmp_path, table)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        *(
            (question("bad", "train", **change), f"question 'bad': {problem}")
            for change, problem in (
                ({"answer": 2}, "answer is 2, out of range 0 to 1"),
                ({"answer": -1}, "answer"),
                ({"answer": None}, "answer"),
                ({"answer": "1"}, "answer"),
                ({"choices": ["dog", " \t"]}, "choices.1: must not be empty"),
                ({"choices": ["dog", 2]}, "choices.1"),
                ({"choices": ["dog"], "answer": 0}, "choices"),
                ({"choices": None}, "choices"),
                ({"question": "  "}, "question"),
                ({"question": None}, "question"),
                ({"context": None}, "context"),
                ({"split": "dev"}, "split"),
                ({"split": None}, "split"),
            )
        ),
        *(
            (without(key), f"{key}: Field required")
            for key in question("bad", "train")
            if key != "context" and key not in ("type", "gold_facts")
        ),
        (question("a", "test"), "question 'a' is there twice"),
        ('{"question_id": "d", ', "questions.jsonl:4: not valid JSON"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line_and_the_old_table_stays(
    build, table, row, problem
):
    build(GOOD)
    before = table.read_bytes()
    with pytest.raises(KformerError) as caught:
        build([*GOOD, row])
    assert "\n" not in str(caught.value)
    assert problem in str(caught.value)
    assert [path.name for path in table.parent.iterdir()] == [table.name]
    assert table.read_bytes() == before


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_without_questions_is_refused(build, split):
    with pytest.raises(KformerError, match=f"the split {split} has no questions"):
        build([row for row in GOOD if row["split"] != split])
