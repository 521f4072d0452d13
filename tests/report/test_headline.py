"""The sentences at the top of a report."""

from kformer.report.headline import headline


def test_which_method_by_how_much_how_sure_at_what_cost_and_whether_by_knowledge(compared):
    found, knowledge, search = headline(compared())
    assert found.startswith(
        "kformer gets 91.3 % of 40 test questions right, 65.0 points above none"
    )
    assert (
        "95 % CI" in found and "p = 0.0" in found and "at 1.0x the CPU seconds of training" in found
    )
    assert knowledge.startswith(
        "Knowledge does it: the same method on other facts gets 26.2 %, 65.0"
    )
    assert search == "retrieval-only, which trains nothing, gets 50.0 %."


def test_where_the_control_gains_as_much_knowledge_is_not_shown(compared):
    _, knowledge, *_ = headline(compared(shuffled=35))
    assert knowledge.startswith("That knowledge does it is not shown")


def test_without_a_control_nobody_knows(compared):
    _, knowledge, *_ = headline(compared(ladders=()))
    assert knowledge == "Whether knowledge does it is not known: it has no control."


def test_no_difference_is_said_with_what_would_have_been_seen(compared):
    found, *_ = headline(compared(kformer=11))
    assert found.startswith("No method is shown to be better than none: the best, kformer, gets")
    assert "points would have been seen" in found


def test_a_method_that_is_worse_is_not_called_best(compared):
    found, *_ = headline(compared(kformer=10, none=36))
    assert found.startswith("No method is shown to be better than none")


def test_one_seed_is_said_first(compared):
    first, *_ = headline(compared(seeds=(1,)))
    assert first == "One seed: not a statement about a method, only about one model of it."
