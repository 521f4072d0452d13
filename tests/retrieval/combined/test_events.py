"""Facts of events, and the search for events first."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.combined.events import ByEvent, FactsOfEvents
from kformer.retrieval.query import Query
from kformer.retrieval.retrieve import list_events
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Match, Retrieval

relations = st.sampled_from([None, "a", "b", "c"])
FACTS = [
    ("Dana pays the bill. Before that, Dana needs money.", "xNeed", "PersonX pays the bill"),
    ("Dana rests. Dana is seen as calm.", "xAttr", "PersonX rests"),
    ("Dana pays the bill. As a result, Dana feels poor.", "xReact", "PersonX pays the bill"),
    ("Dana rests. Before that, Dana needs a bed.", "xNeed", "PersonX rests"),
    ("Dana cooks. As a result, Dana eats.", None, "PersonX cooks"),
]


def events_of(facts):
    """The events of facts, each (relation, origin)."""
    relations, origins = zip(*facts, strict=True)
    columns = ([pa.array(column, pa.string())] for column in (origins, relations))
    return FactsOfEvents(*map(pa.chunked_array, columns))


def as_pairs(hits):
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


def test_events_are_distinct_origins_which_know_their_facts():
    events = events_of([(relation, origin) for _, relation, origin in FACTS])
    assert events.texts == ["PersonX pays the bill", "PersonX rests", "PersonX cooks"]
    assert set(events.relations) == {"xNeed", "xAttr", "xReact", None}
    for numbers, wanted, facts, about in [
        ([2, 0], None, [4, 0, 2], [0, 1, 1]),
        ([1, 0], frozenset({"xNeed"}), [3, 0], [0, 1]),
        ([], None, [], []),
    ]:
        found = events.of(np.array(numbers, dtype=np.int64), wanted)
        assert [part.tolist() for part in found] == [facts, about]


class TestByEvent:
    @settings(max_examples=80, deadline=None)
    @given(
        facts=st.lists(st.tuples(relations, st.sampled_from("012345")), min_size=1, max_size=15),
        scores=st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=6, max_size=6),
        wanted=st.none() | st.frozensets(relations),
        events=st.integers(1, 7),
        top_k=st.integers(1, 18),
        boost=st.sampled_from([None, 2.0, 3.0]),
    )
    def test_the_facts_of_the_best_events_are_found(
        self, scored, facts, scores, wanted, events, top_k, boost
    ):
        about = events_of(facts)
        of_event = [(None, scores[int(text)]) for text in about.texts]
        searcher = ByEvent(scored(of_event), events, about, boost)
        [[hits]] = searcher.search([Query("q", relations=wanted)], top_k)
        nearest = sorted(range(len(of_event)), key=lambda i: (-of_event[i][1], i))[:events]
        chosen = {about.texts[i] for i in nearest}
        expected = [
            (id, scores[int(origin)] * (boost if boost and wanted and name in wanted else 1))
            for id, (name, origin) in enumerate(facts)
            if origin in chosen and (boost or wanted is None or name in wanted)
        ]
        assert as_pairs(hits) == sorted(expected, key=lambda each: (-each[1], each[0]))[:top_k]
        assert searcher.relations == {name for name, _ in facts}

    @pytest.fixture
    def found(self, facts_table, indexed):
        """The facts, with their scores, that a query finds by their events."""

        def search(query, wanted=None, **settings):
            section, table = Retrieval(**settings), facts_table(FACTS)
            list_events(table, table.with_name("events"))
            indexes = indexed(section, table.with_name("events"))
            searcher = open_searcher(section, table, indexes)
            [[hits]] = searcher.search([Query(query, relations=wanted)], 9)
            return as_pairs(hits)

        return search

    @pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
    def test_the_event_decides_and_not_the_words_of_the_fact(self, found, method):
        for query, wanted, ids in [
            ("Who pays the bill?", None, [0, 2]),
            ("needs money, feels calm", None, []),
            ("pays", frozenset({"xReact"}), [2]),
            ("pays", frozenset({"xAttr"}), []),
        ]:
            assert [id for id, _ in found(query, wanted, method=method, events=1)] == ids

    def test_a_boost_brings_up_the_matching_facts_of_the_events(self, found):
        match = Match(relations={"t": ["xNeed"]}, mode="boost", boost=10.0)
        pairs = found("pays rests bill", frozenset({"xNeed"}), events=2, match=match)
        assert [id for id, _ in pairs] == [0, 3, 2, 1]
