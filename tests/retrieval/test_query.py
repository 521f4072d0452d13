"""Queries of questions; the best hits, and shards searched as one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.retrieval.query import Query, Shards, best, query_of
from kformer.retrieval.settings import Match, Retrieval


def as_pairs(found):
    return list(zip(found.ids.tolist(), found.scores.tolist(), strict=True))


some_scores = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.5]) | st.floats(-3, 3, width=32)


@given(st.lists(some_scores, max_size=40), st.integers(1, 45), st.randoms())
def test_the_best_are_sorted_by_score_and_then_by_id(scores, top_k, random):
    ids = list(range(len(scores)))
    random.shuffle(ids)
    ranked = sorted(zip(ids, scores, strict=True), key=lambda each: (-each[1], each[0]))[:top_k]
    assert as_pairs(best(np.array(ids, np.int64), np.array(scores, np.float32), top_k)) == ranked


def test_the_texts_of_a_query_are_its_shared_text_with_each_suffix():
    assert Query("Who?").texts == ["Who?"]
    assert Query("Who?", ("A", "B")).texts == ["Who? A", "Who? B"]
    assert Query("", ("A",)).texts == ["A"]


@pytest.mark.parametrize(
    ("kind", "context", "texts"),
    [
        ("question", "It rains.", ["It rains. Why?"]),
        ("choice", "It rains.", ["It rains. Why? A", "It rains. Why? B"]),
        ("context", "It rains.", ["It rains."]),
        ("context", "", ["Why?"]),
    ],
)
def test_the_settings_say_what_the_query_of_a_question_is(kind, context, texts):
    question = {"context": context, "question": "Why?", "choices": ["A", "B"], "type": "xWant"}
    query = query_of(question, Retrieval(query=kind, match=Match()))
    assert [text.strip() for text in query.texts] == texts
    assert query.relations == {"xWant"}


@pytest.mark.parametrize("top_k", [1, 3, 9])
def test_shards_are_searched_as_one(scored, top_k):
    shards = [scored([("a", 1), ("a", 3)]), scored([("b", 2), ("b", 3)], 2), scored([])]
    together = Shards(shards)
    assert together.relations == {"a", "b"}
    found = together.search([Query("q", ("x", "y")), Query("r")], top_k)
    found = [[as_pairs(each) for each in of_query] for of_query in found]
    expected = [(1, 3), (3, 3), (2, 2), (0, 1)][:top_k]
    assert found == [[expected, expected], [expected]]
