"""Readers of the demo world: what was generated is what the tables get."""

import json

import pytest

from kformer.errors import KformerError
from kformer.knowledge.demo import Demo as DemoFacts
from kformer.questions.demo import Demo


def test_questions_come_as_they_were_generated(tiny_world):
    rows = list(Demo().read(tiny_world))
    lines = (tiny_world / "questions.jsonl").read_text("utf-8").splitlines()
    assert rows == [json.loads(line) for line in lines]
    assert len(rows) == 96


def test_facts_come_as_they_were_generated(tiny_world):
    rows = list(DemoFacts().read(tiny_world))
    lines = (tiny_world / "facts.jsonl").read_text("utf-8").splitlines()
    assert rows == [json.loads(line) for line in lines]


def test_a_malformed_line_is_named(tmp_path):
    (tmp_path / "questions.jsonl").write_text('{"question_id": "a"}\n{"question_id"\n')
    with pytest.raises(KformerError, match=r"questions\.jsonl:2: not valid JSON"):
        list(Demo().read(tmp_path))


@pytest.mark.parametrize("reader", [Demo(), DemoFacts()])
def test_a_missing_file_is_an_error_for_the_user(tmp_path, reader):
    with pytest.raises(KformerError, match=r"questions\.jsonl|facts\.jsonl"):
        list(reader.read(tmp_path))
