"""The reference back end: rank_bm25 itself, behind the interface of all searchers."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from kformer.retrieval.query import Query
from kformer.retrieval.settings import Words
from kformer.retrieval.words.reference import RankBm25
from kformer.retrieval.words.tokenizer import tokenizer

tokenise = tokenizer(Words())
words = st.sampled_from("the the of krez blon pet job dog".split())
texts = st.lists(words, max_size=6).map(" ".join)
relations = st.sampled_from([None, "a", "b"])


@settings(max_examples=40, deadline=None)
@given(
    facts=st.lists(st.tuples(texts, relations), min_size=1, max_size=12),
    shared=texts,
    suffixes=st.lists(texts, min_size=1, max_size=3),
    wanted=st.none() | st.frozensets(relations),
    top_k=st.integers(1, 15),
)
def test_it_sorts_the_scores_of_okapi_among_matching_facts(facts, shared, suffixes, wanted, top_k):
    contents, of_facts = zip(*facts, strict=True)
    documents = [tokenise(text) for text in contents]
    searcher = RankBm25(contents, pa.chunked_array([pa.array(of_facts, pa.string())]), tokenise)
    [found] = searcher.search([Query(shared, tuple(suffixes), wanted)], top_k)
    for suffix, hits in zip(suffixes, found, strict=True):
        scores = np.zeros(len(facts), dtype=np.float32)
        if any(documents):
            query = tokenise(f"{shared} {suffix}")
            scores = BM25Okapi(documents).get_scores(query).astype(np.float32)
        matching = [i for i, name in enumerate(of_facts) if wanted is None or name in wanted]
        ids = [i for i in matching if scores[i] > 0]
        expected = sorted(ids, key=lambda i: (-scores[i], i))[:top_k]
        assert hits.ids.tolist() == expected
        assert hits.scores.tolist() == scores[expected].tolist()
    assert searcher.relations == set(of_facts)
