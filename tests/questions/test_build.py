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


GOOD = [
    question("a", "train"),
    question("b", "validation", question="Which pet has Blon?"),
    question("c", "test", question="Which pet has Flov?"),
]
NO_DOUBTS = {
    "test_questions_in_train": 0,
    "test_questions_in_validation": 0,
    "validation_questions_in_train": 0,
    **{f"{split}_questions_repeated": 0 for split in ("train", "validation", "test")},
    "copies_dropped": 0,
    "questions_with_equal_choices": 0,
    "questions_with_right_choice_twice": 0,
}


@pytest.fixture
def table(tmp_path):
    return tmp_path / "out" / "questions.parquet"


@pytest.fixture
def build(folder_of, table):
    """Builds the table of some rows, or of lines that are none."""

    def run(rows, **settings):
        folder = folder_of({"questions.jsonl": rows})
        return build_questions(DemoQuestions(**settings), folder, table)

    return run


def test_questions_are_written_in_order_and_counted_by_split(build, table):
    more = question("d", "train", question="Which pet has Zub?", answer=0)
    rows = [*GOOD, more, question("e", "test", choices=list("abcde"))]
    sizes = {"train_questions": 2, "validation_questions": 1, "test_questions": 2}
    known = {"test_gold_facts_in_train": 1.0}
    assert build(rows) == sizes | NO_DOUBTS | known
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
        ({"\u00e9": 1, "e\u0301": 2}, "the key 'é' is there twice; rename one"),
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


COPIES = [
    *GOOD,
    question("d", "train", choices=["cow", "cat"]),
    question("e", "test", question="Which pet has krez", choices=["cat", "dog"], answer=0),
    question("f", "validation", question="Which pet has Flov?"),
    question("g", "train", question="Which pet has Blon?"),
]


@pytest.mark.parametrize(("overlap", "kept"), [("keep", "abcdefg"), ("drop", "bcde")])
def test_copies_of_other_splits_are_counted_named_and_left_out_on_request(
    build, table, caplog, overlap, kept
):
    counts = build(COPIES, overlap=overlap)
    found = {
        "test_questions_in_train": 1,
        "test_questions_in_validation": 1,
        "validation_questions_in_train": 1,
    }
    assert found.items() <= counts.items()
    assert counts["copies_dropped"] == len(COPIES) - len(kept)
    rows = list(read_rows(table, "questions"))
    assert [row["question_id"] for row in rows] == list(kept)
    assert counts["train_questions"] == sum(row["split"] == "train" for row in rows)
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "1 test question is in train too: e (a)",
        "1 test question is in validation too: c (f)",
        "1 validation question is in train too: b (g)",
    ]


def test_nothing_is_left_out_by_default():
    assert DemoQuestions().overlap == "keep"


def test_a_split_of_copies_alone_cannot_be_left_out(build, table):
    copies = [row | {"question_id": f"{row['question_id']}2", "split": "test"} for row in GOOD]
    assert build([*GOOD, *copies])["test_questions_in_train"] == 1
    table.unlink()
    with pytest.raises(KformerError, match="every question of train is in another split too"):
        build([*GOOD, *copies], overlap="drop")
    assert not table.exists()


def test_equal_choices_are_counted_and_named(build, caplog):
    counts = build([*GOOD, question("d", "test", choices=["cat", "dog", "cat"], answer=2)])
    assert counts["questions_with_equal_choices"] == 1
    assert counts["questions_with_right_choice_twice"] == 1
    (message,) = caplog.messages
    assert message.endswith(
        ": 1 question has the same choice twice (d), 1 the right one (d): both are right"
    )
