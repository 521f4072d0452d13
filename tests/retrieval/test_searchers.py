"""Which indexes fit the settings and the facts, and which are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.io.output_names import INDEX_DESCRIPTION
from kformer.retrieval.query import Query
from kformer.retrieval.retrieve import list_events
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Retrieval

BM25 = Retrieval()


@pytest.fixture
def refused(facts):
    """The line that refuses indexes."""

    def refuse(*indexes, of=facts, **settings):
        with pytest.raises(KformerError) as caught:
            open_searcher(Retrieval(**settings), of, indexes)
        return str(caught.value)

    return refuse


@pytest.mark.parametrize(
    ("method", "kind"), [("bm25", "words"), ("dense", "embeddings"), ("hybrid", "words")]
)
def test_a_method_needs_its_indexes(refused, method, kind):
    line = f"--index: retrieval.method: {method} needs an index of {kind}"
    assert refused(method=method) == line


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "hybrid"}, "hybrid needs an index of embeddings"),
        ({"method": "rank_bm25"}, "rank_bm25 searches no index of words; leave it out"),
        ({"method": "dense"}, "dense searches no index of words; leave it out"),
        ({"words": {"stemming": True}}, "{index}: built with "),
        ({"events": 3}, "{index}: not an index of the events of {facts}; give the one that is, or"),
    ],
)
def test_an_index_that_the_settings_do_not_fit(refused, index, facts, settings, message):
    assert message.format(index=index, facts=facts) in refused(index, **settings)


def test_an_index_of_other_facts(refused, index, facts_table, few_facts):
    for other in (["a", "b"], [("A pet of Krez is dog.", "pet", "Krez"), *few_facts[1:]]):
        table = facts_table(other)
        assert f"{index}: not an index of the facts of {table}" in refused(index, of=table)


def test_events_are_searched_by_an_index_of_theirs_and_not_as_facts(refused, facts, indexed):
    events = facts.with_name("events")
    list_events(facts, events)
    [index] = indexed(BM25, events)
    open_searcher(Retrieval(events=3), facts, [index])
    assert f"{index}: not an index of the facts of {facts}" in refused(index)
    assert refused(index, of=events) == f"{events}: holds events; give the facts that they are of"


def test_every_shard_is_needed_once_in_any_order(refused, shards, facts, indexed):
    one, two = shards
    assert refused(two) == (
        f"--index: 1 folders with words are given, but {two} is one of 2 shards; "
        "give each of them once"
    )
    _, second, third = indexed(BM25, facts, 3)
    for wrong in ([one], [one, one], [one, two, two], [one, second], [one, second, third]):
        assert "give each of them once" in refused(*wrong)
    for right in (shards, shards[::-1]):
        [[hits]] = open_searcher(BM25, facts, right).search([Query("pet of Krez")], 5)
        assert hits.ids.tolist() == [0, 1, 2]


def test_a_missing_file(refused, index):
    for file in sorted(set(index.iterdir()) - {index / INDEX_DESCRIPTION}):
        content = file.read_bytes()
        file.unlink()
        assert refused(index) == f"{file}: missing; delete {index} and build it anew"
        file.write_bytes(content)


@pytest.fixture(scope="module")
def damaged(facts, indexed):
    return indexed(BM25, facts, 2)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_damage_is_noticed(damaged, facts, data):
    """Compiled loops would go wherever damaged numbers send them."""
    files = sorted(set(damaged[0].iterdir()) - {damaged[0] / INDEX_DESCRIPTION})
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(data.draw(st.sampled_from([changed, content[:position]])))
    try:
        with pytest.raises(KformerError):
            open_searcher(BM25, facts, damaged)
    finally:
        file.write_bytes(content)
