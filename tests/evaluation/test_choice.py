"""Which choice an answer is."""

import pytest

from kformer.errors import KformerError
from kformer.evaluation.choice import choose

TEXTS = ["red", "blue", "green", "black"]


@pytest.mark.parametrize(("answer", "credit"), [(0, 0), (2, 1), (None, None)])
def test_the_best_is_chosen(answer, credit):
    assert choose("q", TEXTS, answer, [1.0, 0.5, 3.0, -2.0]) == (2, False, credit)


def test_ties_have_no_favourite_and_depend_on_the_id_alone():
    drawn = [choose(f"q{i}", TEXTS, 0, [0.0] * 4) for i in range(2000)]
    assert all(is_tied and credit == 1 / 4 for _, is_tied, credit in drawn)
    for choice in range(4):
        assert 430 < sum(each.chosen == choice for each in drawn) < 570  # 500 ± 3.6 deviations
    assert drawn == [choose(f"q{i}", TEXTS, 3, [7.5] * 4) for i in range(2000)]
    # The same on every machine and Python, so it can be written down.
    assert [each.chosen for each in drawn[:8]] == [0, 3, 1, 3, 1, 3, 1, 2]


@pytest.mark.parametrize(("answer", "credit"), [(0, 0), (1, 1 / 2), (3, 1 / 2)])
def test_luck_in_a_draw_counts_for_nothing(answer, credit):
    draws = [choose(f"q{i}", TEXTS, answer, [1.0, 2.0, 0.0, 2.0]) for i in range(50)]
    assert {each.credit for each in draws} == {credit}


def test_only_the_best_are_drawn_from():
    drawn = {choose(f"q{i}", TEXTS, 0, [1.0, 2.0, 0.0, 2.0]).chosen for i in range(50)}
    assert drawn == {1, 3}


@pytest.mark.parametrize("answer", [0, 2])
def test_the_right_text_is_right_wherever_it_stands(answer):
    texts = ["red", "blue", " red"]
    for logits in ([1.78, 1.55, 1.78], [1.8, 1.5, 1.7], [1.7, 1.5, 1.8]):
        assert choose("q", texts, answer, logits) == (answer, False, 1)
    assert choose("q", texts, answer, [1.0, 2.0, 1.0]) == (1, False, 0)


def test_of_equal_wrong_choices_the_first_is_chosen_and_they_are_drawn_as_one():
    texts = ["red", "blue", "red", "red"]
    assert choose("q", texts, 1, [2.0, 1.0, 2.0, 2.0]) == (0, False, 0)
    right = sum(choose(f"q{i}", texts, 1, [0.0] * 4).chosen == 1 for i in range(1000))
    assert 430 < right < 570


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_scored(bad):
    with pytest.raises(
        KformerError, match=r"^the scores .* question 'q' are not all numbers \(0\.0, "
    ):
        choose("q", ["red", "blue"], 0, [0.0, bad])
