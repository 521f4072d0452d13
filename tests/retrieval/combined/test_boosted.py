"""Scores of matching facts are multiplied, and nothing is missed for it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.combined.boosted import Boosted
from kformer.retrieval.query import Query
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Match, Retrieval

relations = st.sampled_from([None, "a", "b", "c"])
some_scores = st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0])


def as_pairs(hits):
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(relations, some_scores), max_size=12),
    st.lists(st.none() | st.frozensets(relations), min_size=1, max_size=3),
    st.sampled_from([1.5, 2.0, 3.0]),
    st.integers(1, 15),
)
def test_scores_of_matching_facts_are_multiplied(scored, found, wanted, boost, top_k):
    searcher = Boosted(scored(found), boost)
    got = searcher.search([Query("q", ("x", "y"), each) for each in wanted], top_k)
    for of_query, each in zip(got, wanted, strict=True):
        scores = [
            score * boost if each is not None and name in each and score > 0 else score
            for name, score in found
        ]
        expected = sorted(enumerate(scores), key=lambda each: (-each[1], each[0]))[:top_k]
        assert [as_pairs(hits) for hits in of_query] == [expected] * 2
    assert searcher.relations == {name for name, _ in found}


@pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
def test_settings_say_by_how_much(method, facts_table, indexed):
    table = facts_table([("a b", "x", "o"), ("a c d", "y", "o"), ("e", "y", "o"), ("f", "x", "o")])
    match = Match(relations={"t": ["y"]}, mode="boost", boost=1.5)
    [[plain]], [[boosted]] = (
        open_searcher(section, table, indexed(section, table)).search([query], 9)
        for section, query in (
            (Retrieval(method=method), Query("a c b")),
            (Retrieval(method=method, match=match), Query("a c b", relations=frozenset("y"))),
        )
    )
    scores = dict(as_pairs(plain))
    assert dict(as_pairs(boosted)) == {0: scores[0], 1: np.float32(scores[1]) * np.float32(1.5)}
