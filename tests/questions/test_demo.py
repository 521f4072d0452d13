"""Readers of the demo world: what was generated is what the tables get."""

import json
from collections import Counter

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
    facts = list(DemoFacts().read(tiny_world, Counter()))
    lines = (tiny_world / "facts.jsonl").read_text("utf-8").splitlines()
    rows = [{**fact._asdict(), "source": DemoFacts().label} for fact in facts]
    assert rows == [json.loads(line) for line in lines]


def test_a_malformed_line_is_named(tmp_path):
    (tmp_path / "questions.jsonl").write_text('{"question_id": "a"}\n{"question_id"\n')
    with pytest.raises(KformerError, match=r"questions\.jsonl:2: not valid JSON"):
        list(Demo().read(tmp_path))


def test_a_missing_file_is_an_error_for_the_user(tmp_path):
    with pytest.raises(KformerError, match=r"questions\.jsonl: there is no such file"):
        list(Demo().read(tmp_path))
    with pytest.raises(KformerError, match=r"facts\.jsonl: there is no such file"):
        list(DemoFacts().read(tmp_path, Counter()))


@pytest.mark.parametrize("key", ["text", "relation", "origin"])
def test_a_fact_that_lacks_a_key_is_named(folder_of, key):
    fact = {"text": "t", "relation": None, "source": "demo", "origin": "o"}
    lines = [fact, {name: value for name, value in fact.items() if name != key}]
    place = folder_of({"facts.jsonl": "\n".join(map(json.dumps, lines))})
    with pytest.raises(KformerError, match=rf"facts\.jsonl:2: no {key}; generate the demo world"):
        list(DemoFacts().read(place, Counter()))
