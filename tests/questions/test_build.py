"""The stage of questions: only proper questions get into the table."""

import json

import pytest

from kformer.errors import KformerError
from kformer.io.tables import read_rows
from kformer.questions.build import build_questions
from kformer.questions.demo import Demo


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


def build(tmp_path, rows):
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "questions.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return build_questions(Demo(), folder, tmp_path / "out" / "questions.parquet")


def refused(tmp_path, rows):
    """The one line that refuses rows; nothing is written for them, and the old table stays."""
    build(tmp_path, GOOD)
    before = (tmp_path / "out" / "questions.parquet").read_bytes()
    with pytest.raises(KformerError) as caught:
        build(tmp_path, rows)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["questions.parquet"]
    assert (tmp_path / "out" / "questions.parquet").read_bytes() == before
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_questions_are_written_in_order_and_counted_by_split(tmp_path):
    rows = [*GOOD, question("d", "train", answer=0), question("e", "test", choices=["x"] * 9)]
    assert build(tmp_path, rows) == {
        "train_questions": 2,
        "validation_questions": 1,
        "test_questions": 2,
    }
    assert list(read_rows(tmp_path / "out" / "questions.parquet", "questions")) == rows


def test_the_same_questions_give_the_same_bytes(tmp_path):
    build(tmp_path, GOOD)
    before = (tmp_path / "out" / "questions.parquet").read_bytes()
    build(tmp_path, GOOD)
    assert (tmp_path / "out" / "questions.parquet").read_bytes() == before


def test_a_demo_world_becomes_a_table(tiny_world, tmp_path):
    counts = build_questions(Demo(), tiny_world, tmp_path / "q.parquet")
    assert counts == {"train_questions": 48, "validation_questions": 24, "test_questions": 24}
    assert list(read_rows(tmp_path / "q.parquet", "questions")) == list(Demo().read(tiny_world))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"answer": 2}, "answer is 2, out of range 0 to 1"),
        ({"answer": -1}, "answer is -1, out of range 0 to 1"),
        ({"answer": None}, "answer: Input should be a valid integer"),
        ({"choices": ["dog", ""]}, "choices.1: must not be empty"),
        ({"choices": ["dog", " \t"]}, "choices.1: must not be empty"),
        ({"choices": ["dog"], "answer": 0}, "choices: List should have at least 2 items"),
        ({"choices": []}, "choices: List should have at least 2 items"),
        ({"question": ""}, "question: must not be empty"),
        ({"question": "  "}, "question: must not be empty"),
        ({"split": "dev"}, "split: Input should be 'train', 'validation' or 'test' (not 'dev')"),
        ({"split": None}, "split: "),
    ],
)
def test_what_is_no_proper_question_is_refused_by_its_id(tmp_path, change, what):
    message = refused(tmp_path, [*GOOD, question("bad", "train", **change)])
    assert "question 'bad': " in message
    assert what in message
    assert str(tmp_path / "data") in message


def test_an_id_given_twice_is_refused(tmp_path):
    message = refused(tmp_path, [*GOOD, question("a", "test")])
    assert "question 'a' is there twice" in message


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_without_questions_is_refused(tmp_path, split):
    message = refused(tmp_path, [row for row in GOOD if row["split"] != split])
    assert f"the split {split} has no questions" in message


def test_a_data_set_without_questions_is_refused(tmp_path):
    assert "has no questions" in refused(tmp_path, [])


def test_a_malformed_line_is_refused_by_file_and_line(tmp_path):
    message = refused(tmp_path, [*GOOD, '{"question_id": "d", '])
    assert f"{tmp_path / 'data' / 'questions.jsonl'}:4: not valid JSON" in message


def test_a_context_may_be_empty_but_not_missing(tmp_path):
    assert "context" in refused(tmp_path, [*GOOD, question("bad", "train", context=None)])


@pytest.mark.parametrize(
    "change", [{"choices": ["dog", 2]}, {"answer": "1"}, {"question": None}, {"choices": None}]
)
def test_a_value_of_a_wrong_type_is_refused(tmp_path, change):
    refused(tmp_path, [*GOOD, question("bad", "train", **change)])


@pytest.mark.parametrize("key", ["question_id", "split", "question", "choices", "answer"])
def test_a_question_that_lacks_a_key_is_refused(tmp_path, key):
    row = {name: value for name, value in question("bad", "train").items() if name != key}
    refused(tmp_path, [*GOOD, row])
