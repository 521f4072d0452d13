"""Facts of events, and the search for events first."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.combined.events import ByEvent, FactsOfEvents
from kformer.retrieval.query import Query
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Match, Retrieval
from kformer.retrieval.stages import list_events

relations = st.sampled_from([None, "a", "b", "c"])
FACTS = [
    ("Dana pays the bill. Before that, Dana needs money.", "xNeed", "PersonX pays the bill"),
    ("Dana rests. Dana is seen as calm.", "xAttr", "PersonX rests"),
    ("Dana pays the bill. As a result, Dana feels poor.", "xReact", "PersonX pays the bill"),
    ("Dana rests. Before that, Dana needs a bed.", "xNeed", "PersonX rests"),
    ("Dana cooks. As a result, Dana eats.", None, "PersonX cooks"),
]


def events_of(origins, names):
    return FactsOfEvents(
        *(pa.chunked_array([pa.array(column, pa.string())]) for column in (origins, names))
    )


def as_pairs(hits):
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


class TestFactsOfEvents:
    def test_events_are_distinct_origins_in_the_order_in_which_they_first_occur(self):
        _, names, origins = zip(*FACTS, strict=True)
        events = events_of(origins, names)
        assert events.texts == ["PersonX pays the bill", "PersonX rests", "PersonX cooks"]
        assert set(events.relations) == {"xNeed", "xAttr", "xReact", None}

    def test_it_knows_which_facts_are_about_which_event(self):
        _, names, origins = zip(*FACTS, strict=True)
        events = events_of(origins, names)
        facts, about = events.of(np.array([2, 0]), None)
        assert (facts.tolist(), about.tolist()) == ([4, 0, 2], [0, 1, 1])
        facts, about = events.of(np.array([1, 0]), frozenset({"xNeed"}))
        assert (facts.tolist(), about.tolist()) == ([3, 0], [0, 1])
        facts, about = events.of(np.array([], dtype=np.int64), None)
        assert (facts.tolist(), about.tolist()) == ([], [])

    def test_no_facts_are_about_no_events(self):
        events = events_of([], [])
        assert events.texts == []
        assert events.of(np.array([], dtype=np.int64), frozenset("a"))[0].tolist() == []


class TestByEvent:
    @settings(max_examples=80, deadline=None)
    @given(
        facts=st.lists(st.tuples(st.integers(0, 5), relations), min_size=1, max_size=15),
        scores=st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=6, max_size=6),
        wanted=st.none() | st.frozensets(relations),
        events=st.integers(1, 7),
        top_k=st.integers(1, 18),
        boost=st.sampled_from([None, 2.0, 3.0]),
    )
    def test_the_facts_of_the_best_events_are_found(
        self, scored, facts, scores, wanted, events, top_k, boost
    ):
        names = [name for _, name in facts]
        about = events_of([str(origin) for origin, _ in facts], names)
        of_event = [(None, scores[int(text)]) for text in about.texts]
        searcher = ByEvent(scored(of_event), events, about, boost)
        [[hits]] = searcher.search([Query("q", relations=wanted)], top_k)
        numbers = range(len(of_event))
        nearest = sorted(numbers, key=lambda i: (-of_event[i][1], i))[:events]
        chosen = {about.texts[i] for i in nearest}
        expected = [
            (id, scores[origin] * (boost if boost and wanted and name in wanted else 1))
            for id, (origin, name) in enumerate(facts)
            if str(origin) in chosen and (boost or wanted is None or name in wanted)
        ]
        assert as_pairs(hits) == sorted(expected, key=lambda each: (-each[1], each[0]))[:top_k]
        assert searcher.relations == set(names)

    @pytest.fixture
    def found(self, facts_table, indexed):
        """The ids of the facts that a query finds by their events."""

        def search(query, method="bm25", events=1, top_k=9, wanted=None, match=None, facts=FACTS):
            settings = Retrieval(method=method, events=events, match=match)
            table = facts_table(facts)
            list_events(table, table.with_name("events"))
            indexes = indexed(settings, table.with_name("events"))
            searcher = open_searcher(settings, table, indexes)
            [[hits]] = searcher.search([Query(query, relations=wanted)], top_k)
            return as_pairs(hits)

        return search

    @pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
    def test_the_event_decides_and_not_the_words_of_the_fact(self, found, method):
        assert [id for id, _ in found("Who pays the bill?", method)] == [0, 2]
        assert found("needs money, feels calm", method) == []
        assert [id for id, _ in found("pays", method, wanted=frozenset({"xReact"}))] == [2]
        assert found("pays", method, wanted=frozenset({"xAttr"})) == []
        assert [id for id, _ in found("pays", method, top_k=1)] == [0]

    @pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
    def test_facts_of_one_event_tie_and_those_of_a_nearer_one_come_first(self, found, method):
        pairs = found("pays rests bill", method, events=2)
        assert [id for id, _ in pairs] == [0, 2, 1, 3]
        scores = [score for _, score in pairs]
        assert scores[0] == scores[1] > scores[2] == scores[3] > 0

    def test_a_boost_brings_up_the_matching_facts_of_the_events(self, found):
        match = Match(relations={"t": ["xNeed"]}, mode="boost", boost=10.0)
        pairs = found("pays rests bill", events=2, match=match, wanted=frozenset({"xNeed"}))
        assert [id for id, _ in pairs] == [0, 3, 2, 1]
