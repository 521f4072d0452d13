"""Two lists made one: by ranks, and by another order of what words found."""

from collections import Counter
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
    scores = Counter()
    for ranking in (sparse, dense):
        scores.update({number: 1 / (61 + rank) for rank, number in enumerate(ranking)})
    pairs = [(number, np.float32(score)) for number, score in scores.items()]
    expected = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:top_k]
    found = fused([hits(sparse), hits(dense)], top_k)
    assert list(zip(found.ids, found.scores, strict=True)) == expected
    assert found.scores.dtype == np.float32 and found.ids.dtype == np.int64


@pytest.mark.parametrize(("candidates", "ids"), [(3, [1, 3, 5, 2]), (1, [3, 5])])
def test_what_both_find_comes_first_among_so_many_candidates_of_each(candidates, ids):
    searcher = hybrid(Fixed([3, 1, 2]), [Fixed([5, 1, 4], near=[0] * 6)], "ranks", candidates)
    [[found]] = searcher.search([Query("q")], 4)
    assert found.ids.tolist() == ids


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
@pytest.mark.parametrize("near", [[0.5], []])
def test_where_nothing_is_found_there_is_nothing_to_order(fusion, near):
    searcher = hybrid(Fixed([]), [Fixed([], near)], fusion, candidates=5)
    [[found]] = searcher.search([Query("q")], 3)
    assert found.ids.tolist() == found.scores.tolist() == []
    assert searcher.search([], 3) == []
    assert searcher.relations == {"a"}


@pytest.mark.parametrize("fusion", ["ranks", "rerank"])
def test_the_settings_choose_the_fusion(fusion, facts_table, indexed, tiny_encoder):
    settings = Retrieval(method="hybrid", fusion=fusion, encoder=str(tiny_encoder))
    table = facts_table(["A dog sleeps.", "A hound asleep.", "A cat bites.", "Rain.", "Snow."])
    searcher = open_searcher(settings, table, indexed(settings, table))
    [[found]] = searcher.search([Query("Is the dog asleep?")], 9)
    if fusion == "ranks":
        assert len(found.ids) == 5 and found.scores.max() <= np.float32(2 / 61)
    else:
        assert set(found.ids.tolist()) == {0, 1} and found.scores.min() > 2 / 61
