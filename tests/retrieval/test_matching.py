"""Types of questions and relations of facts; and the search for events first."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.retrieval.matching import (
    ATOMIC,
    Boosted,
    ByEvent,
    FactsOfEvents,
    check_match,
    matching_relations,
)
from kformer.retrieval.query import Query, best
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Match, Retrieval
from kformer.retrieval.stages import list_events

relations = st.sampled_from([None, "a", "b", "c"])
wanted_relations = st.none() | st.frozensets(relations)
documents = st.lists(
    st.tuples(relations, st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0])), max_size=12
)


def strings(values):
    return pa.chunked_array([pa.array(values, pa.string())])


class Scored:
    """Documents with a relation and a score each, whatever is asked; like embeddings, it may
    find some with scores below 0."""

    def __init__(self, found):
        self._names = [name for name, _ in found]
        self._scores = np.array([score for _, score in found], dtype=np.float32)
        self.relations = frozenset(self._names)

    def search(self, queries, top_k):
        return [[self._best(each.relations, top_k)] * len(each.endings) for each in queries]

    def _best(self, wanted, top_k):
        ids = [i for i, name in enumerate(self._names) if wanted is None or name in wanted]
        ids = np.array(ids, dtype=np.int64)
        return best(ids, self._scores[ids], top_k)


def as_pairs(hits):
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


class TestMatch:
    def test_a_type_of_social_iqa_asks_for_the_dimension_of_its_name(self):
        for name in ATOMIC:
            assert name in matching_relations(Match(relations="atomic"), name)
        assert matching_relations(Match(relations="atomic"), "xWant") == {"xWant"}
        assert matching_relations(Match(relations="atomic"), "xIntent") == {"xIntent", "xReason"}

    @pytest.mark.parametrize("name", [None, "xwant", "step1", ""])
    def test_a_type_that_the_table_does_not_know_may_have_any_fact(self, name):
        assert matching_relations(Match(relations="atomic"), name) is None

    def test_a_table_of_ones_own_takes_the_place_of_atomic_s(self):
        match = Match(relations={"step1": ["Causes", "IsA"]})
        assert matching_relations(match, "step1") == {"Causes", "IsA"}
        assert matching_relations(match, "xWant") is None

    def test_atomic_s_table_fits_where_one_type_and_one_relation_are_there(self):
        check_match(Match(relations="atomic"), {"xIntent", "other"}, frozenset({"xReason", "IsA"}))

    def test_a_table_of_ones_own_must_fit_wholly(self):
        match = Match(relations={"t": ["Causes", "IsA"], "u": ["IsA"]})
        check_match(match, {"t", "u", None, "v"}, frozenset({"Causes", "IsA", None, "job"}))
        with pytest.raises(KformerError) as caught:
            check_match(match, {"t", "v", None}, frozenset({"Causes", "IsA"}))
        assert str(caught.value) == (
            "retrieval.match.relations: no question is of type u; the questions' types are t, v"
        )
        with pytest.raises(KformerError) as caught:
            check_match(match, {"t", "u"}, frozenset({"pet", None, "IsA"}))
        assert str(caught.value) == (
            "retrieval.match.relations: no fact has relation Causes; "
            "the facts' relations are IsA, pet"
        )

    def test_atomic_s_table_is_refused_where_nothing_fits(self):
        atomic = Match(relations="atomic")
        with pytest.raises(
            KformerError, match=r"no question is of type oEffect, .* types are none"
        ):
            check_match(atomic, {None}, frozenset({"xWant"}))
        with pytest.raises(
            KformerError, match=r"no fact has relation oEffect, .* relations are pet"
        ):
            check_match(atomic, {"xWant"}, frozenset({"pet", None}))


class TestBoosted:
    @given(
        documents,
        st.lists(wanted_relations, min_size=1, max_size=3),
        st.sampled_from([1.5, 2.0, 3.0]),
        st.integers(1, 15),
    )
    def test_scores_of_matching_facts_are_multiplied(self, found, wanted, boost, top_k):
        searcher = Boosted(Scored(found), boost)
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
    def test_a_search_by_words_is_boosted_like_that(self, method, facts_table, indexed):
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


FACTS = [
    ("Dana pays the bill. Before that, Dana needs money.", "xNeed", "PersonX pays the bill"),
    ("Dana rests. Dana is seen as calm.", "xAttr", "PersonX rests"),
    ("Dana pays the bill. As a result, Dana feels poor.", "xReact", "PersonX pays the bill"),
    ("Dana rests. Before that, Dana needs a bed.", "xNeed", "PersonX rests"),
    ("Dana cooks. As a result, Dana eats.", None, "PersonX cooks"),
]


class TestFactsOfEvents:
    def test_events_are_distinct_origins_in_the_order_in_which_they_first_occur(self):
        _, names, origins = zip(*FACTS, strict=True)
        events = FactsOfEvents(strings(origins), strings(names))
        assert events.texts == ["PersonX pays the bill", "PersonX rests", "PersonX cooks"]
        assert set(events.relations) == {"xNeed", "xAttr", "xReact", None}

    def test_it_knows_which_facts_are_about_which_event(self):
        _, names, origins = zip(*FACTS, strict=True)
        events = FactsOfEvents(strings(origins), strings(names))
        facts, about = events.of(np.array([2, 0]), None)
        assert (facts.tolist(), about.tolist()) == ([4, 0, 2], [0, 1, 1])
        facts, about = events.of(np.array([1, 0]), frozenset({"xNeed"}))
        assert (facts.tolist(), about.tolist()) == ([3, 0], [0, 1])
        facts, about = events.of(np.array([], dtype=np.int64), None)
        assert (facts.tolist(), about.tolist()) == ([], [])

    def test_no_facts_are_about_no_events(self):
        events = FactsOfEvents(strings([]), strings([]))
        assert events.texts == []
        assert events.of(np.array([], dtype=np.int64), frozenset("a"))[0].tolist() == []


class TestByEvent:
    @settings(max_examples=200, deadline=None)
    @given(
        facts=st.lists(st.tuples(st.integers(0, 5), relations), min_size=1, max_size=15),
        scores=st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=6, max_size=6),
        wanted=wanted_relations,
        events=st.integers(1, 7),
        top_k=st.integers(1, 18),
        boost=st.sampled_from([None, 2.0, 3.0]),
    )
    def test_the_facts_of_the_best_events_are_found(
        self, facts, scores, wanted, events, top_k, boost
    ):
        names = [name for _, name in facts]
        about = FactsOfEvents(strings([str(origin) for origin, _ in facts]), strings(names))
        of_event = [(None, scores[int(text)]) for text in about.texts]
        searcher = ByEvent(Scored(of_event), events, about, boost)
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

    @pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
    def test_events_by_words_equal_brute_force(self, method, facts_table, indexed):
        from rank_bm25 import BM25Okapi

        random = np.random.default_rng(2)
        vocabulary = [f"w{i}" for i in range(40)]
        events = [" ".join(random.choice(vocabulary, random.integers(2, 6))) for _ in range(150)]
        facts = [
            (f"fact {i}", random.choice(["a", "b", "c"]), random.choice(events)) for i in range(900)
        ]
        known = list(dict.fromkeys(origin for _, _, origin in facts))
        reference = BM25Okapi([event.split() for event in known])
        section, table = Retrieval(method=method, events=8), facts_table(facts)
        list_events(table, table.with_name("events"))
        indexes = indexed(section, table.with_name("events"))
        searcher = open_searcher(section, table, indexes)
        for wanted in (None, frozenset("ab")):
            for _ in range(30):
                query = random.choice(vocabulary, 4)
                scores = reference.get_scores(query).astype(np.float32)
                nearest = sorted(range(len(known)), key=lambda i: (-scores[i], i))[:8]
                score_of = {known[i]: scores[i] for i in nearest if scores[i] > 0}
                expected = sorted(
                    (-score_of[origin], id)
                    for id, (_, name, origin) in enumerate(facts)
                    if origin in score_of and (wanted is None or name in wanted)
                )[:20]
                [[hits]] = searcher.search([Query(" ".join(query), relations=wanted)], 20)
                assert hits.ids.tolist() == [id for _, id in expected]
                np.testing.assert_allclose(hits.scores, [-score for score, _ in expected], 1e-5)
