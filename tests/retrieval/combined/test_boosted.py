"""Scores of matching facts are multiplied, and nothing is missed for it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.combined.boosted import Boosted
from kformer.retrieval.query import Query, best
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Match, Retrieval

relations = st.sampled_from([None, "a", "b", "c"])
documents = st.lists(
    st.tuples(relations, st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0])), max_size=12
)


def as_pairs(hits):
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(
    documents,
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
        order = sorted(range(len(found)), key=lambda i: (-scores[i], i))[:top_k]
        for hits in of_query:
            assert as_pairs(hits) == [(i, scores[i]) for i in order]
    assert searcher.relations == {name for name, _ in found}


@pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
def test_a_search_by_words_is_boosted_like_that(method, facts_table, indexed):
    random = np.random.default_rng(1)
    vocabulary = [f"w{i}" for i in range(30)]
    facts = [
        (" ".join(random.choice(vocabulary, 5)), random.choice(["a", "b", "c"]), "o")
        for _ in range(300)
    ]
    table = facts_table(facts)
    match = Match(relations={"t": ["a"]}, mode="boost", boost=1.5)
    plain, boosted = (
        open_searcher(section, table, indexed(section, table))
        for section in (Retrieval(method=method), Retrieval(method=method, match=match))
    )
    queries = [" ".join(random.choice(vocabulary, 3)) for _ in range(20)]
    for wanted in (None, frozenset("a"), frozenset({"z"}), frozenset("abc")):
        for query in queries:
            [[everything]] = plain.search([Query(query)], 999)
            [[found]] = boosted.search([Query(query, relations=wanted)], 7)
            scores = [
                score * np.float32(1.5) if facts[id][1] in (wanted or ()) else score
                for id, score in zip(everything.ids, everything.scores, strict=True)
            ]
            expected = best(everything.ids, np.array(scores, dtype=np.float32), 7)
            assert as_pairs(found) == as_pairs(expected)
