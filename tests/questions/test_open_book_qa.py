"""OpenBookQA: the official files and splits, with the fact of the book."""

import pytest

from kformer.errors import KformerError
from kformer.questions.open_book_qa import OpenBookQa


def question(name, fact="the sun is warm"):
    choices = [{"text": f"choice {label}", "label": label} for label in "ABCD"]
    asked = {"stem": f"What is {name}?", "choices": choices}
    return {"id": name, "question": asked, "answerKey": "C", "fact1": fact, "clarity": "2.00"}


def files(**splits):
    return {f"Data/Additional/{split}_complete.jsonl": rows for split, rows in splits.items()}


def test_the_official_splits_with_their_gold_facts(folder_of, build):
    folder = folder_of(
        files(train=[question("one")], dev=[question("two")], test=[question("three", "ice melts")])
        | {"Data/Main/train.jsonl": [{"id": "one"}]}
    )
    rows = build(OpenBookQa(), folder)
    assert [(row["question_id"], row["split"]) for row in rows] == [
        ("one", "train"),
        ("two", "validation"),
        ("three", "test"),
    ]
    assert rows[2]["gold_facts"] == ["ice melts"]
    assert rows[2]["choices"][rows[2]["answer"]] == "choice C"


def test_a_file_that_is_missing(folder_of):
    folder = folder_of(files(train=[question("one")], dev=[question("two")]))
    with pytest.raises(KformerError, match=r"0 files called Additional/test_complete\.jsonl below"):
        list(OpenBookQa().read(folder))
