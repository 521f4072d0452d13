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
words = st.sampled_from(["the", "the", "of", "krez", "blon", "pet", "job", "dog"])
texts = st.lists(words, max_size=6).map(" ".join)
relations = st.sampled_from([None, "a", "b"])
facts_and_relations = st.lists(st.tuples(texts, relations), min_size=1, max_size=12)


def reference(facts, of_facts=None):
    of_facts = of_facts or [None] * len(facts)
    return RankBm25(facts, pa.chunked_array([pa.array(of_facts, pa.string())]), tokenise)


@settings(max_examples=40, deadline=None)
@given(
    facts=facts_and_relations,
    shared=texts,
    suffixes=st.lists(texts, min_size=1, max_size=3),
    wanted=st.none() | st.frozensets(relations),
    top_k=st.integers(1, 15),
)
def test_it_sorts_the_scores_of_okapi_among_matching_facts(facts, shared, suffixes, wanted, top_k):
    contents, of_facts = zip(*facts, strict=True)
    documents = [tokenise(text) for text in contents]
    searcher = reference(contents, of_facts)
    [found] = searcher.search([Query(shared, tuple(suffixes), wanted)], top_k)
    for suffix, hits in zip(suffixes, found, strict=True):
        scores = np.zeros(len(facts), dtype=np.float32)
        if any(documents):
            query = tokenise(f"{shared} {suffix}")
            scores = BM25Okapi(documents).get_scores(query).astype(np.float32)
        ids = [
            i for i, name in enumerate(of_facts) if scores[i] > 0 and (not wanted or name in wanted)
        ]
        if wanted is not None and not wanted:
            ids = []
        expected = sorted(ids, key=lambda i: (-scores[i], i))[:top_k]
        assert hits.ids.tolist() == expected
        assert hits.scores.tolist() == scores[expected].tolist()
    assert searcher.relations == set(of_facts)
