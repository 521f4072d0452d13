"""The statistics of words, for a whole corpus and for its shards."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.settings import Words
from kformer.retrieval.words.postings import Statistics
from kformer.retrieval.words.tokenizer import tokenizer

tokenise = tokenizer(Words())
words = st.sampled_from("the the of is krez blon pet".split())
corpora = st.lists(st.lists(words, max_size=8).map(" ".join), min_size=1, max_size=12)


@settings(max_examples=50)
@given(facts=corpora, parts=st.integers(1, 4))
def test_those_of_shards_add_up_to_those_of_all(facts, parts):
    whole = Statistics.of(facts, tokenise)
    shards = (Statistics.of(facts[i::parts], tokenise) for i in range(parts))
    assert Statistics.total(shards) == whole
    assert (whole.documents, whole.words) == (len(facts), sum(len(fact.split()) for fact in facts))
    for word, documents in whole.documents_with.items():
        assert documents == sum(word in fact.split() for fact in facts)
    assert whole.idf() == Statistics.of(facts[::-1], tokenise).idf()
