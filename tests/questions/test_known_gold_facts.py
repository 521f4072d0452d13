"""Test questions whose facts can be known from training questions."""

import pytest

from kformer.questions.known_gold_facts import share_of_known_gold_facts


def question(split, *facts):
    return {"split": split, "gold_facts": list(facts) or None}


@pytest.mark.parametrize(
    ("questions", "share"),
    [
        ([question("train", "a b"), question("test", "A  b.")], 1.0),
        ([question("train", "a"), question("test", "a", "b"), question("test", "c")], 0.5),
        ([question("validation", "a"), question("test", "a")], 0.0),
        ([question("train"), question("test", "a"), question("test")], 0.0),
    ],
)
def test_the_share_of_test_questions_with_a_known_fact(questions, share):
    assert share_of_known_gold_facts(questions) == {"test_gold_facts_in_train": share}


def test_without_gold_facts_there_is_no_share():
    assert share_of_known_gold_facts([question("train", "a"), question("test")]) == {}
