"""BM25: the scores of rank_bm25, from an index, for queries with suffixes and for relations."""

import math
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from kformer.retrieval.query import Query, best
from kformer.retrieval.relation_order import ByRelation
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Retrieval, Words
from kformer.retrieval.words.bm25 import Bm25, UncompiledBm25
from kformer.retrieval.words.compiled_loops import BLOCK
from kformer.retrieval.words.postings import Postings
from kformer.retrieval.words.tokenizer import tokenizer

tokenise = tokenizer(Words())
# Facts have words that many of them share, and words that few have; queries also unknown ones.
words = st.sampled_from("the of is".split() * 3 + "krez blon pet job dog cat pilot".split())
texts = st.lists(words, max_size=8).map(" ".join)
query_texts = st.lists(words | st.just("zorbak"), max_size=7).map(" ".join)
relations = st.sampled_from([None, "a", "b", "c"])
wanted_relations = st.none() | st.frozensets(relations)


@st.composite
def corpora(draw):
    """Facts, some of them the same, some without words; and their relations."""
    facts = draw(st.lists(texts, min_size=1, max_size=12))
    facts += draw(st.lists(st.sampled_from(facts), max_size=4))
    return facts, draw(st.lists(relations, min_size=len(facts), max_size=len(facts)))


def words_of(text):
    return re.findall(r"\w+", text.lower())


def okapi(facts, query):
    """The scores of rank_bm25 itself, (facts,)."""
    documents = [words_of(fact) for fact in facts]
    if not any(documents):
        return np.zeros(len(facts))
    return BM25Okapi(documents).get_scores(words_of(query))


def in_memory(facts, of_facts=None, threads=1, kind=Bm25):
    column = pa.chunked_array([pa.array(of_facts or [None] * len(facts), pa.string())])
    layout = ByRelation.of(column)
    return kind(Postings.build(facts, tokenise, layout.ids), layout, tokenise, threads)


def same(one, other):
    """Whether two results have the same bits."""
    one, other = (
        [[(hits.ids.tobytes(), hits.scores.tobytes()) for hits in each] for each in found]
        for found in (one, other)
    )
    return one == other


def searched_one_by_one(searcher, queries, top_k):
    """What is found for each full text of the queries, searched alone."""
    return [
        [
            searcher.search([Query(text, relations=each.relations)], top_k)[0][0]
            for text in each.texts
        ]
        for each in queries
    ]


def check_found(found, scores, top_k):
    """Checks that these are the best by scores that were computed in another way, (facts,)."""
    np.testing.assert_allclose(found.scores, scores[found.ids], rtol=1e-5, atol=1e-6)
    assert (found.scores > 0).all()
    ours = list(zip((-found.scores).tolist(), found.ids.tolist(), strict=True))
    assert ours == sorted(set(ours))  # best first, ties by id, nothing twice
    # Where a score is 0 but for rounding, either may be right.
    surely, perhaps = (int((scores > limit).sum()) for limit in (1e-6, -1e-6))
    assert min(surely, top_k) <= len(found.ids) <= min(perhaps, top_k)
    ranked = sorted(range(len(scores)), key=lambda i: (-np.float32(scores[i]), i))
    for one, other in zip(found.ids.tolist(), ranked, strict=False):
        # Another fact is only ever there where they differ by rounding.
        assert one == other or (
            math.isclose(scores[one], scores[other], rel_tol=1e-6, abs_tol=1e-6)
            and np.float32(scores[one]) != np.float32(scores[other])
        )


class TestTheScoresOfRankBm25:
    @settings(max_examples=50, deadline=None)
    @given(
        corpus=corpora(),
        query=query_texts,
        suffixes=st.lists(query_texts, min_size=1, max_size=3),
        wanted=wanted_relations,
        top_k=st.integers(1, 20),
    )
    @pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
    def test_an_index_on_disk_and_the_reference_find_what_it_finds(
        self, facts_table, indexed, method, corpus, query, suffixes, wanted, top_k
    ):
        facts, of_facts = corpus
        section, table = Retrieval(method=method), facts_table(list(zip(*corpus, strict=True)))
        searcher = open_searcher(section, table, indexed(section, table))
        [found] = searcher.search([Query(query, tuple(suffixes), wanted)], top_k)
        for suffix, hits in zip(suffixes, found, strict=True):
            scores = okapi(facts, f"{query} {suffix}")
            if wanted is not None:
                scores[[name not in wanted for name in of_facts]] = 0
            check_found(hits, scores, top_k)
        assert searcher.relations == set(of_facts)

    @settings(max_examples=50, deadline=None)
    @given(corpus=corpora(), query=query_texts)
    def test_of_all_facts_that_score_above_zero_the_first_are_found(self, corpus, query):
        facts, _ = corpus
        searcher = in_memory(facts)
        [[everything]] = searcher.search([Query(query)], len(facts) + 5)
        for top_k in range(1, len(facts) + 1):
            first = best(*everything, top_k)
            assert same(searcher.search([Query(query)], top_k), [[first]])
        # Facts with the same words, in whatever order, tie.
        uncompiled = in_memory(facts, kind=UncompiledBm25)
        assert same(uncompiled.search([Query(query)], 5), searcher.search([Query(query)], 5))
        scores = dict(zip(everything.ids.tolist(), everything.scores.tolist(), strict=True))
        by_words = {}
        for id, fact in enumerate(facts):
            key = tuple(sorted(words_of(fact)))
            assert scores.get(id) == scores.get(by_words.setdefault(key, id))

    @pytest.mark.parametrize(
        ("facts", "query"),
        [(["dog", "cat", ""], query) for query in ("", "?!", "zorbak")]
        + [(facts, "a") for facts in ([], [""], ["...", "?"])]
        # In tiny corpora a common word may count nothing or less.
        + [(facts, "a") for facts in (["a b", "a c"], ["a"], ["a b", "a c", "d e", "f g"])],
    )
    def test_without_common_words_nothing_is_found(self, facts, query):
        [[found]] = in_memory(facts).search([Query(query)], 9)
        assert found.ids.tolist() == found.scores.tolist() == []
        assert in_memory(facts).search([], 3) == []


@settings(max_examples=50, deadline=None)
@given(
    corpus=corpora(),
    queries=st.lists(st.tuples(query_texts, st.lists(query_texts, max_size=5)), max_size=4),
    wanted=wanted_relations,
)
def test_queries_with_suffixes_find_what_the_full_texts_find(corpus, queries, wanted):
    searcher = in_memory(*corpus)
    queries = [Query(text, tuple(suffixes), wanted) for text, suffixes in queries]
    for top_k in (2, 30):
        full = searched_one_by_one(searcher, queries, top_k)
        assert same(searcher.search(queries, top_k), full)


@settings(max_examples=50, deadline=None)
@given(corpus=corpora(), query=query_texts, wanted=wanted_relations)
def test_only_matching_facts_are_found_with_the_scores_that_they_have_among_all(
    corpus, query, wanted
):
    searcher, of_facts = in_memory(*corpus), corpus[1]
    [[(ids, scores)]] = searcher.search([Query(query)], 99)
    matching = [i for i, id in enumerate(ids) if wanted is None or of_facts[id] in wanted]
    for top_k in (1, 3, 99):
        expected = best(ids[matching], scores[matching], top_k)
        assert same(searcher.search([Query(query, relations=wanted)], top_k), [[expected]])
    assert searcher.relations == set(of_facts)


@pytest.fixture(scope="module")
def many():
    """So many facts that a search crosses several blocks, and the relation of each."""
    random = np.random.default_rng(5)
    lengths = random.integers(0, 12, 3 * BLOCK + 77)
    drawn = iter((random.pareto(0.9, lengths.sum()) * 3).astype(int).clip(0, 4000).tolist())
    facts = [" ".join(f"w{next(drawn)}" for _ in range(length)) for length in lengths.tolist()]
    # "a" is longer than a block, "b" begins and ends inside of one, "d" is one fact.
    of_facts = random.choice(np.array(["a", "b", "c"]), len(facts), p=[0.6, 0.1, 0.3]).tolist()
    of_facts[12_345] = "d"
    of_facts[3::1000] = [None] * len(of_facts[3::1000])
    return facts, of_facts


@pytest.fixture(scope="module")
def many_queries():
    drawn = np.random.default_rng(6).pareto(0.7, (50, 6))
    return [" ".join(f"w{word}" for word in row) for row in (drawn * 3).astype(int).tolist()]


@pytest.fixture(scope="module")
def searcher(many):
    return in_memory(*many)


class TestManyFacts:
    def test_what_is_found_is_what_rank_bm25_finds(self, many, many_queries, searcher):
        facts, of_facts = many
        reference = BM25Okapi([words_of(fact) for fact in facts])
        groups = [None, {"a"}, {"b"}, {"d", None}, {"a", "c"}, {"b", "z"}]
        for query, group in zip(many_queries, groups * 2, strict=False):
            scores = reference.get_scores(words_of(query))
            if group:
                scores[[name not in group for name in of_facts]] = 0
            for top_k in (1, 30, 700):
                wanted = None if group is None else frozenset(group)
                [[found]] = searcher.search([Query(query, relations=wanted)], top_k)
                check_found(found, scores, top_k)

    def test_full_texts_and_uncompiled_search_find_the_same_bit_for_bit(
        self, many, many_queries, searcher
    ):
        uncompiled = in_memory(*many, kind=UncompiledBm25)
        for wanted in (None, frozenset({"a", None}), frozenset({"b", "d"}), frozenset({"z"})):
            queries = [
                Query(text, tuple(suffixes), wanted)
                for text, *suffixes in zip(*[iter(many_queries)] * 5, strict=True)
            ]
            full = searched_one_by_one(searcher, queries[:5], 30)
            assert same(searcher.search(queries[:5], 30), full)
            for top_k in (30, 100_000):
                assert same(uncompiled.search(queries, top_k), searcher.search(queries, top_k))

    def test_threads_find_the_same(self, many, many_queries, searcher):
        queries = [Query(text) for text in many_queries * 3]  # more than a thread takes at once
        assert same(in_memory(*many, threads=4).search(queries, 9), searcher.search(queries, 9))

    def test_facts_at_the_bounds_of_blocks_are_found(self):
        facts = ["common"] * (2 * BLOCK + 2)
        rows = [0, BLOCK - 1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1]
        for row in rows:
            facts[row] = "rare"
        searcher = in_memory(facts)
        for query, top_k in (("rare common", len(rows)), ("rare", 99)):
            [[found]] = searcher.search([Query(query)], top_k)
            assert found.ids.tolist() == rows
