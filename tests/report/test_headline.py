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
        "Knowledge does it: the same method on the facts of other questions gets 26.2 %, 65.0"
    )
    assert search == "retrieval-only, which trains nothing, gets 50.0 %."


def test_where_the_control_gains_as_much_knowledge_is_not_shown(compared):
    _, knowledge, *_ = headline(compared(shuffled=35))
    assert knowledge.startswith("That knowledge does it is not shown")


def test_without_a_control_nobody_knows(compared):
    _, knowledge, *_ = headline(compared(ladders=()))
    assert knowledge.startswith("Whether knowledge does it is not known: it has no control")


def test_no_difference_is_said_with_what_would_have_been_seen(compared):
    found, *_ = headline(compared(kformer=11))
    assert found.startswith("No method is shown to be better than none: the best, kformer, gets")
    assert "would have been seen in 4 of 5 such studies" in found


def test_a_method_that_is_worse_is_not_called_best(compared):
    found, *_ = headline(compared(kformer=10, none=36))
    assert found.startswith("No method is shown to be better than none")


def test_one_seed_is_said_first(compared):
    first, *_ = headline(compared(seeds=(1,)))
    assert first == "One seed: not a statement about a method, only about one model of it."


def test_a_control_that_gains_too_leaves_a_part_to_knowledge(compared):
    _, knowledge, *_ = headline(compared(kformer=38, shuffled=26))
    assert knowledge.startswith("Knowledge does a part of it")
    assert "of the 70.0 points 30.0 are due to knowledge" in knowledge


def test_a_finding_is_not_hidden_by_a_more_accurate_method_whose_seeds_differ(compared):
    """The more accurate one may be better by luck; the other one is better for certain."""
    found = compared()
    steady, wild = found.condition("kformer"), found.condition("kformer-shuffled")
    lucky = wild.model_copy(update={"accuracy_mean": 0.99, "p_holm": 0.2, "delta": 0.7})
    others = [each for each in found.conditions if each.condition != "kformer-shuffled"]
    changed = found.model_copy(update={"ladders": [], "conditions": [*others, lucky]})
    assert headline(changed)[0].startswith("kformer gets")
    assert steady.p_holm < 0.05


def test_where_only_gold_facts_are_compared_it_is_said(compared):
    found = compared()
    gold = found.ladders[0].rungs[0].model_copy(update={"kind": "gold"})
    ladder = found.ladders[0].model_copy(update={"rungs": [gold]})
    first, search = headline(found.model_copy(update={"ladders": [ladder]}))
    assert "only controls, gold facts or untrained answers" in first
    assert search.startswith("retrieval-only")
