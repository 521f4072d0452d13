"""The settings of retrieval: which of them an index, or a method, depends on."""

import pytest
from pydantic import ValidationError

from kformer.retrieval.settings import Match, Retrieval, Words

OTHER = {
    "words": {"stemming": True},
    "encoder": "other",
    "nearest": "faiss",
    "fusion": "rerank",
    "candidates": 500,
}
READ = {
    "bm25": {"words"},
    "rank_bm25": {"words"},
    "dense": {"encoder", "nearest"},
    "hybrid": set(OTHER),
}


@pytest.mark.parametrize(
    ("method", "kinds"),
    [
        ("bm25", ("words",)),
        ("rank_bm25", ()),
        ("dense", ("embeddings",)),
        ("hybrid", ("words", "embeddings")),
    ],
)
def test_a_method_searches_indexes(method, kinds):
    assert Retrieval(method=method).index_kinds == kinds


@pytest.mark.parametrize("method", READ)
@pytest.mark.parametrize("key", OTHER)
def test_only_settings_that_the_method_reads_tell_retrievals_apart(method, key):
    usual, other = Retrieval(method=method), Retrieval(method=method, **{key: OTHER[key]})
    assert (usual.relevant_settings() != other.relevant_settings()) == (key in READ[method])


@pytest.mark.parametrize(
    "change",
    [
        {"top_k": 7},
        {"query": "choice"},
        {"match": Match(relations="atomic")},
        {"events": 3},
        {"method": "dense"},
    ],
)
def test_what_is_looked_for_tells_retrievals_apart(change):
    assert Retrieval().relevant_settings() != Retrieval(**change).relevant_settings()


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ({}, {"words": {"language": "german"}}),
        ({"match": {"relations": "atomic"}}, {"match": {"relations": "atomic", "boost": 9.0}}),
        ({}, {"control": "shuffle"}),
    ],
    ids=["the language of no stop words and no stems", "the boost of a filter", "the control"],
)
def test_what_other_settings_leave_nothing_to_say_tells_nothing_apart(usual, other):
    one, another = Retrieval(**usual), Retrieval(**other)
    assert one.relevant_settings() == another.relevant_settings()
    assert one.index_settings("words") == another.index_settings("words")


@pytest.mark.parametrize("method", READ)
def test_settings_that_are_read_may_be_read_again(method):
    settings = Retrieval(method=method, match=Match(relations="atomic"), words=Words(stemming=True))
    again = Retrieval(**settings.relevant_settings())
    assert again.relevant_settings() == settings.relevant_settings()
    for kind in settings.index_kinds:
        assert again.index_settings(kind) == settings.index_settings(kind)


def test_an_index_depends_on_what_it_is_made_by_alone():
    one = Retrieval(method="bm25", top_k=5, query="choice", encoder="other", events=2)
    assert one.index_settings("words") == Retrieval(method="hybrid").index_settings("words")
    other = Retrieval(method="dense", words=Words(stemming=True), match=Match(relations="atomic"))
    assert other.index_settings("embeddings") == Retrieval().index_settings("embeddings")


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"top_k": 101}, "candidates: 100 is less than top_k; make it larger"),
        ({"candidates": 5}, "candidates: 5 is less than top_k; make it larger"),
        ({"candidates": 5, "top_k": 2, "events": 6}, "candidates: 5 is less than events"),
    ],
)
def test_a_hybrid_of_too_few_candidates_is_refused(settings, what):
    with pytest.raises(ValidationError, match=what):
        Retrieval(method="hybrid", **settings)
    Retrieval(method="bm25", **settings)
    Retrieval(method="hybrid", candidates=5, top_k=9, events=5)


@pytest.mark.parametrize(
    "settings",
    [
        {"events": 0},
        {"events": True},
        {"top_k": True},
        {"candidates": "100"},
        {"encoder": " "},
        {"candidates": 0},
        {"query": "both"},
        {"match": {"relations": "atomic", "mode": "boost", "boost": 1.0}},
        {"match": {"relations": "atomic2020"}},
        {"match": {"relations": {"t": ["a", " "]}}},
        {"words": {"language": "klingon"}},
        {"method": "hybrid", "fusion": "rerank", "nearest": "faiss"},
    ],
)
def test_impossible_values_are_refused(settings):
    with pytest.raises(ValidationError):
        Retrieval(**settings)
