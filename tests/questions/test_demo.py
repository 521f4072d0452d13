"""Questions of the demo world: what was generated is what the table gets."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.questions.demo import Demo


def test_questions_come_as_they_were_generated(tiny_world):
    rows = list(Demo().read(tiny_world))
    lines = (tiny_world / "questions.jsonl").read_text("utf-8").splitlines()
    assert rows == [json.loads(line) for line in lines]
    assert len(rows) == 96


def test_a_malformed_line_is_named(tmp_path):
    (tmp_path / "questions.jsonl").write_text('{"question_id": "a"}\n{"question_id"\n')
    with pytest.raises(KformerError, match=r"questions\.jsonl:2: not valid JSON"):
        list(Demo().read(tmp_path))


def test_a_missing_file_is_an_error_for_the_user(tmp_path):
    with pytest.raises(KformerError, match=r"questions\.jsonl: there is no such file"):
        list(Demo().read(tmp_path))


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain)
texts = st.text(min_size=1, max_size=5)
whole = st.fixed_dictionaries(
    {
        "question_id": texts,
        "split": st.sampled_from(["train", "validation", "test"]),
        "question": texts,
        "choices": st.lists(texts, min_size=2, max_size=3),
        "answer": st.integers(0, 2),
    }
)
keys = ("question_id", "split", "context", "question", "choices", "answer", "type", "gold_facts")
broken = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, values))
lines = st.lists((whole | broken).map(json.dumps) | st.text(max_size=5), max_size=5)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40) | lines.map(lambda each: "\n".join(each).encode()))
def test_any_lines_give_questions_or_our_error(folder_of, build, content):
    with suppress(KformerError):
        build(Demo(), folder_of({"questions.jsonl": content}))
