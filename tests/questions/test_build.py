"""The stage of questions: only proper questions get into the table."""

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


@pytest.fixture
def table(tmp_path):
    return tmp_path / "out" / "questions.parquet"


@pytest.fixture
def build(folder_of, table):
    """Builds the table of some rows, or of lines that are none."""

    def run(rows):
        return build_questions(DemoQuestions(), folder_of({"questions.jsonl": rows}), table)

    return run


def test_questions_are_written_in_order_and_counted_by_split(build, table):
    rows = [*GOOD, question("d", "train", answer=0), question("e", "test", choices=["x"] * 9)]
    assert build(rows) == {"train_questions": 2, "validation_questions": 1, "test_questions": 2}
    assert list(read_rows(table, "questions")) == rows
    before = table.read_bytes()
    build(rows)
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": 2}, "answer is 2, out of range 0 to 1"),
        *(({"answer": answer}, "answer") for answer in (-1, None, "1")),
        ({"choices": ["dog", " \t"]}, "choices.1: must not be empty"),
        ({"choices": ["dog", 2]}, "choices.1"),
        ({"choices": ["dog"], "answer": 0}, "choices"),
        *(({"question": text}, "question") for text in ("  ", None)),
        *(({"split": split}, "split") for split in ("dev", None)),
        *(({key: None}, key) for key in ("choices", "context")),
    ],
)
def test_what_is_no_question_is_refused_by_its_id_and_the_old_table_stays(
    build, table, change, problem
):
    build(GOOD)
    before = table.read_bytes()
    with pytest.raises(KformerError, match=rf"question 'bad': {problem}.*$"):
        build([*GOOD, question("bad", "train", **change)])
    assert [path.name for path in table.parent.iterdir()] == [table.name]
    assert table.read_bytes() == before


@pytest.mark.parametrize("key", ["question_id", "split", "question", "choices", "answer"])
def test_what_lacks_a_column_is_refused(build, key):
    row = {name: value for name, value in GOOD[0].items() if name != key}
    with pytest.raises(KformerError, match=f"{key}: Field required"):
        build([row])


def test_an_id_that_is_there_twice_is_refused(build):
    with pytest.raises(KformerError, match="question 'a' is there twice"):
        build([*GOOD, question("a", "test")])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_without_questions_is_refused(build, split):
    with pytest.raises(KformerError, match=f"the split {split} has no questions"):
        build([row for row in GOOD if row["split"] != split])
