"""The compiled loops, called as Python calls them."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.query import Query
from kformer.retrieval.settings import Words
from kformer.retrieval.words import kernels
from kformer.retrieval.words.bm25 import Bm25
from kformer.retrieval.words.postings import Postings
from kformer.retrieval.words.tokenizer import tokenizer


@settings(max_examples=60, deadline=None)
@given(documents=st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=10), data=st.data())
def test_postings_say_where_each_word_is_and_how_often(documents, data):
    order = data.draw(st.permutations(range(len(documents))))
    words = np.array([word for document in documents for word in document], dtype=np.int32)
    starts = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    pointers, rows, times = kernels.invert(words, starts, np.array(order, dtype=np.int64), 6)
    counts = [Counter(documents[document]) for document in order]
    for word in range(6):
        here = slice(pointers[word], pointers[word + 1])
        expected = [(row, count[word]) for row, count in enumerate(counts) if count[word]]
        assert list(zip(rows[here].tolist(), times[here].tolist(), strict=True)) == expected
    assert pointers[0] == 0 and pointers[-1] == len(rows) == len(times)


def test_a_posting_weighs_what_the_formula_says():
    impacts = kernels.weigh(
        np.array([0, 2, 3]),
        np.array([0, 1, 1], dtype=np.int32),
        np.array([1, 2, 5], dtype=np.int32),
        np.array([0.5, 1.5]),
        np.array([2.0, -1.0]),
        1.5,
    )
    expected = [2 * 1 * 2.5 / 1.5, 2 * 2 * 2.5 / 3.5, -1 * 5 * 2.5 / 6.5]
    assert impacts.dtype == np.float32
    np.testing.assert_allclose(impacts, expected, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    impacts=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.5]), max_size=300),
    top_k=st.integers(1, 40),
    data=st.data(),
)
def test_the_best_above_zero_are_kept_best_first_and_ties_by_id(impacts, top_k, data):
    ids = np.array(data.draw(st.permutations(range(len(impacts)))), dtype=np.int64)
    postings = Postings(
        np.array(impacts, dtype=np.float32),
        np.arange(len(impacts), dtype=np.int32),
        np.array([0, len(impacts)]),
        {"word": 0},
    )
    layout = ByRelation(ids, [None], np.array([0, len(impacts)]))
    [[found]] = Bm25(postings, layout, tokenizer(Words())).search([Query("word")], top_k)
    ranked = sorted((-impact, id) for impact, id in zip(impacts, ids.tolist(), strict=True))
    expected = [(-score, id) for score, id in ranked if score < 0][:top_k]
    assert list(zip(found.scores.tolist(), found.ids.tolist(), strict=True)) == expected
