"""Facts of the demo world: what was generated is what the table gets."""

import json
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.knowledge.demo import Demo

FACT = {"text": "The pet of Krez is dog.", "relation": "pet", "source": "demo", "origin": "Krez"}


def read(place):
    return list(Demo().read(place, Counter()))


def test_facts_come_as_they_were_generated(tiny_world):
    lines = (tiny_world / "facts.jsonl").read_text("utf-8").splitlines()
    rows = [{**fact._asdict(), "source": Demo().label} for fact in read(tiny_world)]
    assert rows == [json.loads(line) for line in lines]


def test_a_malformed_line_is_named(folder_of):
    place = folder_of({"facts.jsonl": f'{json.dumps(FACT)}\n{{"text"\n'})
    with pytest.raises(KformerError, match=r"facts\.jsonl:2: not valid JSON"):
        read(place)


@pytest.mark.parametrize("key", ["text", "relation", "origin"])
def test_a_fact_that_lacks_a_key_is_named(folder_of, key):
    lines = [FACT, {name: value for name, value in FACT.items() if name != key}]
    place = folder_of({"facts.jsonl": "\n".join(map(json.dumps, lines))})
    with pytest.raises(KformerError, match=rf"facts\.jsonl:2: {key}: Field required"):
        read(place)


def test_a_missing_file_is_an_error_for_the_user(tmp_path):
    with pytest.raises(KformerError, match=r"facts\.jsonl: there is no such file"):
        read(tmp_path)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain)
texts = st.text(min_size=1, max_size=5)
whole = st.fixed_dictionaries({"text": texts, "relation": st.none() | texts, "origin": texts})
broken = st.fixed_dictionaries({}, optional=dict.fromkeys(FACT, values))
lines = st.lists((whole | broken).map(json.dumps) | st.text(max_size=5), max_size=5)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40) | lines.map(lambda each: "\n".join(each).encode()))
def test_any_lines_give_facts_or_our_error(folder_of, build, content):
    with suppress(KformerError):
        build(Demo(), folder_of({"facts.jsonl": content}))
