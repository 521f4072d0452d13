"""The settings of retrieval: which of them an index, or a result, depends on."""

import pytest
from pydantic import ValidationError

from kformer.retrieval.methods import METHODS
from kformer.retrieval.settings import Match, Retrieval, Words

OTHER = {
    "words": {"stemming": True},
    "encoder": "other",
    "nearest": "faiss",
    "fusion": "rerank",
    "candidates": 500,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("key", OTHER)
def test_results_depend_only_on_settings_that_the_method_reads(method, key):
    usual, other = Retrieval(method=method), Retrieval(method=method, **{key: OTHER[key]})
    depends = usual.relevant_settings() != other.relevant_settings()
    assert depends == (key in METHODS[method].settings)
    for kind in usual.index_kinds:  # what an index depends on, results do
        assert depends or usual.index_settings(kind) == other.index_settings(kind)


@pytest.mark.parametrize(
    "change",
    [
        {"top_k": 7},
        {"query": "choice"},
        {"match": Match()},
        {"events": 3},
        {"method": "dense"},
        {"words": {"ngrams": 2}},
        {"max_without_facts": 1.0},  # for less, there may be no results
    ],
)
def test_results_depend_on_what_is_searched_for(change):
    assert Retrieval().relevant_settings() != Retrieval(**change).relevant_settings()


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ({}, {"words": {"language": "german"}}),  # of no stop words and no stems
        ({"match": {}}, {"match": {"boost": 9.0}}),  # of a filter
        ({}, {"control": "shuffle"}),
        ({}, {"control": "random"}),
    ],
)
def test_settings_that_others_make_irrelevant_change_nothing(usual, other):
    one, another = Retrieval(**usual), Retrieval(**other)
    assert one.relevant_settings() == another.relevant_settings()
    assert one.index_settings("words") == another.index_settings("words")


@pytest.mark.parametrize("method", METHODS)
def test_relevant_settings_give_the_same_settings_again(method):
    settings = Retrieval(method=method, match=Match(), words=Words(stemming=True))
    again = Retrieval(**settings.relevant_settings())
    assert again.relevant_settings() == settings.relevant_settings()
    for kind in settings.index_kinds:
        assert again.index_settings(kind) == settings.index_settings(kind)


def test_methods_share_indexes():
    one = Retrieval(method="bm25", top_k=5, query="choice", encoder="other", events=2)
    assert one.index_settings("words") == Retrieval(method="hybrid").index_settings("words")
    other = Retrieval(method="dense", words=Words(stemming=True), match=Match())
    assert other.index_settings("embeddings") == Retrieval().index_settings("embeddings")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_k": 101}, "candidates: 100 is less than top_k; make it larger"),
        ({"candidates": 5, "top_k": 2, "events": 6}, "candidates: 5 is less than events"),
        ({"fusion": "rerank", "match": Match(mode="boost")}, "boost does nothing to fusion"),
        ({"fusion": "rerank", "nearest": "faiss"}, "faiss does nothing to fusion: rerank"),
    ],
)
def test_impossible_hybrids_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Retrieval(method="hybrid", **settings)
    Retrieval(method="bm25", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"events": 0},
        {"top_k": True},
        {"candidates": "100.5"},
        {"encoder": " "},
        {"match": {"mode": "boost", "boost": 1.0}},
        {"match": {"relations": {"t": ["a", " "]}}},
    ],
)
def test_wrong_values_are_refused(settings):
    with pytest.raises(ValidationError):
        Retrieval(**settings)
