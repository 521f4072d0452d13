"""Questions with labelled choices: what is read, and what is refused."""

import copy
import json
import re

import pytest

from kformer.errors import KformerError
from kformer.io.ai2_records import ai2_questions

RECORD = {
    "id": "7-980",
    "question": {
        "stem": " The sun makes ",
        "choices": [{"text": "plants grow ", "label": "A"}, {"text": "rocks", "label": "B"}],
    },
    "answerKey": "B",
    "fact1": " the sun is warm ",
    "fact2": "warmth helps",
}


def changed(path, value):
    """The record with another value at a path; None = without it."""
    record = copy.deepcopy(RECORD)
    *parents, last = path
    inner = record
    for key in parents:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return record


@pytest.fixture
def read(tmp_path):
    def rows(*records):
        path = tmp_path / "train.jsonl"
        path.write_text("\n".join(map(json.dumps, records)), "utf-8")
        return list(ai2_questions(path, "AB", ("fact1", "fact2")))

    return rows


def test_a_question_with_its_gold_facts(read):
    assert read(RECORD) == [
        {
            "question_id": "7-980",
            "context": "",
            "question": "The sun makes",
            "choices": ["plants grow", "rocks"],
            "answer": 1,
            "type": None,
            "gold_facts": ["the sun is warm", "warmth helps"],
        }
    ]


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("question",), "text", "question.choices must be a list with the labels A, B"),
        (("question", "choices"), {"A": "x"}, "question.choices must be a list"),
        (("question", "choices"), ["x", "y"], "question.choices must be a list"),
        (("question", "choices", 1), None, "question.choices must be a list with the labels A, B"),
        (("question", "choices", 1, "label"), "C", "question.choices must be a list"),
        (("question", "choices", 1, "text"), " ", "choice B: text must be text that is not empty"),
        (("question", "stem"), 3, "question: stem must be text that is not empty: 3"),
        (("answerKey",), None, "answerKey must be one of A, B: None"),
        (("answerKey",), "AB", "answerKey must be one of A, B: 'AB'"),
        (("answerKey",), "", "answerKey must be one of A, B: ''"),
        (("id",), None, "id must be text that is not empty: None"),
        (("fact2",), None, "fact2 must be text that is not empty: None"),
    ],
)
def test_what_is_malformed_is_named_with_its_line(path, value, problem, read):
    with pytest.raises(KformerError, match=rf"train\.jsonl:2: {re.escape(problem)}"):
        read(RECORD, changed(path, value))
