"""The compiled loops: which documents are the best, whatever their scores."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.by_relation import ByRelation
from kformer.retrieval.query import Query
from kformer.retrieval.settings import Words
from kformer.retrieval.words.bm25 import Bm25
from kformer.retrieval.words.postings import Postings
from kformer.retrieval.words.tokenizer import tokenizer


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
