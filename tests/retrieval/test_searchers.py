"""Which indexes fit the settings and the facts, and which are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.retrieval.query import Query
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Retrieval, Words
from kformer.retrieval.stages import list_events

FACTS = [
    ("The pet of Krez is dog.", "pet", "Krez"),
    ("The pet of Blon is cat.", "pet", "Blon"),
    ("The job of Krez is pilot.", "job", "Krez"),
    ("It rains.", None, "o"),
]
BM25 = Retrieval()


@pytest.fixture(scope="module")
def facts(facts_table):
    return facts_table(FACTS)


@pytest.fixture(scope="module")
def events(facts):
    list_events(facts, facts.with_name("events"))
    return facts.with_name("events")


@pytest.fixture(scope="module")
def shards(facts, indexed):
    """The folders of two shards."""
    return indexed(BM25, facts, 2)


@pytest.fixture
def index(facts, indexed):
    [folder] = indexed(BM25, facts)
    return folder


@pytest.fixture
def refused(facts):
    """The line that refuses indexes."""

    def refuse(*indexes, settings=BM25, of=facts):
        with pytest.raises(KformerError) as caught:
            open_searcher(settings, of, indexes)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refuse


@pytest.mark.parametrize(
    ("method", "kind"), [("bm25", "words"), ("dense", "embeddings"), ("hybrid", "words")]
)
def test_a_method_needs_its_indexes(refused, method, kind):
    assert refused(settings=Retrieval(method=method)) == (
        f"--index: retrieval.method: {method} needs an index of {kind}"
    )


def test_hybrid_needs_both(refused, index):
    line = refused(index, settings=Retrieval(method="hybrid"))
    assert "hybrid needs an index of embeddings" in line


def test_the_reference_needs_none(facts, index):
    searcher = open_searcher(Retrieval(method="rank_bm25"), facts, [])
    assert searcher.relations == open_searcher(BM25, facts, [index]).relations


@pytest.mark.parametrize("method", ["rank_bm25", "dense"])
def test_an_index_that_the_method_does_not_search(refused, index, method):
    assert refused(index, settings=Retrieval(method=method)) == (
        f"{index}: retrieval.method: {method} searches no index of words; leave it out"
    )


def test_an_index_of_other_settings(refused, index):
    line = refused(index, settings=Retrieval(words=Words(stemming=True)))
    assert f"{index}: built with " in line


def test_an_index_of_other_facts(refused, index, facts_table):
    for facts in (["a", "b"], [("A pet of Krez is dog.", "pet", "Krez"), *FACTS[1:]]):
        other = facts_table(facts)
        line = refused(index, of=other)
        assert f"{index}: not an index of the facts of {other}; give the one that is, or" in line


def test_facts_and_their_events_have_different_indexes(refused, index, facts, events, indexed):
    line = refused(index, settings=Retrieval(events=3))
    assert f"{index}: not an index of the events of {facts}" in line
    [of_events] = indexed(BM25, events)
    assert f"{of_events}: not an index of the facts of {facts}" in refused(of_events)
    open_searcher(Retrieval(events=3), facts, [of_events])


def test_events_are_not_searched_as_facts(refused, index, events):
    assert refused(index, of=events) == (f"{events}: holds events; give the facts that they are of")


def test_every_shard_is_needed_once(refused, shards, facts, indexed):
    for shard in shards:
        assert refused(shard) == (
            f"--index: 1 folders with words are given, but {shard} is one of 2 shards; "
            "give each of them once"
        )
    of_three = indexed(BM25, facts, 3)
    wrong = [[shards[0]] * 2, [*shards, shards[1]], [shards[0], of_three[1]]]
    for folders in (*wrong, [shards[0], *of_three[1:]]):
        assert "give each of them once" in refused(*folders)


def test_the_order_of_shards_does_not_matter(facts, shards):
    for folders in (shards, shards[::-1]):
        [[hits]] = open_searcher(BM25, facts, folders).search([Query("pet of Krez")], 5)
        assert hits.ids.tolist() == [0, 1, 2]


def test_a_missing_file(refused, index):
    for file in sorted(set(index.iterdir()) - {index / "index.json"}):
        content = file.read_bytes()
        file.unlink()
        assert refused(index) == f"{file}: missing; delete {index} and build it anew"
        file.write_bytes(content)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_damage_is_noticed(shards, facts, data):
    """Compiled loops would go wherever damaged numbers send them."""
    files = sorted(set(shards[0].iterdir()) - {shards[0] / "index.json"})
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(data.draw(st.sampled_from([changed, content[:position]])))
    try:
        with pytest.raises(KformerError):
            open_searcher(BM25, facts, shards)
    finally:
        file.write_bytes(content)
