"""Choices with the same text are one answer."""

import pytest

from kformer.io.choices import first_equal


@pytest.mark.parametrize(
    ("choices", "first"),
    [
        (["red", "blue", "red"], [0, 1, 0]),
        (["in vitro", " in  vitro\n", "In vitro"], [0, 0, 2]),
        (["x", "x", "x"], [0, 0, 0]),
    ],
)
def test_the_first_with_the_same_text(choices, first):
    assert [first_equal(choices, index) for index in range(len(choices))] == first
