"""Which texts are new: as a set would say, in any batches."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.knowledge.duplicates import SeenTexts


def new_ones(batches):
    """Which texts of each batch are new, one batch after the other."""
    seen = SeenTexts()
    return [seen.add(batch).tolist() for batch in batches]


def test_the_first_of_equal_texts_is_new():
    assert new_ones([["a", "b", "a"], [], ["b", "c", "c", "A", " a", ""], [""]]) == [
        *([True, True, False], [], [False, True, False, True, True, True], [False])
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 40).map(str) | st.text(max_size=2), max_size=30)))
def test_it_says_what_a_set_would_say(batches):
    seen = set()
    expected = []
    for batch in batches:
        expected.append([])
        for text in batch:
            expected[-1].append(text not in seen)
            seen.add(text)
    assert new_ones(batches) == expected


def test_many_batches_make_few_runs():
    seen = SeenTexts()
    for first in range(0, 50_000, 100):
        texts = [f"{i}" for i in range(first, first + 100)]
        assert seen.add(texts).all()
        sizes = [len(run) for run in seen._runs]
        assert sum(sizes) == first + 100
        assert all(larger >= 2 * smaller for larger, smaller in pairwise(sizes))
    assert not seen.add([f"{i}" for i in range(50_000)]).any()
    assert len(seen._runs) < 10
