"""Questions that are there twice: found, counted, named, and left out on request."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.questions.copies import comparison_form, find_copies


def question(name, split, text="What is x?", choices=("1st", "2nd"), context=""):
    return {
        "question_id": name,
        "split": split,
        "context": context,
        "question": text,
        "choices": list(choices),
    }


def counts_of(*rows):
    return find_copies(rows).counts


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"text": " what  IS x"},
        {"text": "What is x?!"},
        {"text": "What is\u00a0x ?"},
        {"text": "What is\u200b x\u00ad?"},
        {"choices": ["2ND.", " 1st"]},
    ],
)
def test_a_question_is_the_same_but_for_case_spaces_ends_and_the_order_of_choices(change):
    between = counts_of(question("a", "train"), question("b", "test", **change))
    assert {name for name, count in between.items() if count} == {"test_questions_in_train"}
    within = counts_of(question("a", "test"), question("b", "test", **change))
    assert {name for name, count in within.items() if count} == {"test_questions_repeated"}


@pytest.mark.parametrize(
    "change",
    [
        {"text": "What is y?"},
        {"context": "Given x = y."},
        {"choices": ["1st", "3rd"]},
        {"choices": ["1st", "2nd", "3rd"]},
        {"choices": ["1st", "1st"]},
    ],
)
def test_a_question_with_another_text_context_or_choice_is_another(change):
    for split in ("train", "test"):
        assert not any(counts_of(question("a", split), question("b", "test", **change)).values())


def test_what_is_only_in_another_unicode_form_is_the_same():
    composed, decomposed = (unicodedata.normalize(form, "Où est José ?") for form in ("NFC", "NFD"))
    assert comparison_form(composed) == comparison_form(decomposed) == "où est josé"
    assert comparison_form("ΣΑΣ") == comparison_form("σας")
    assert comparison_form("哪一个？") == "哪一个"


@pytest.mark.parametrize(
    ("one", "other"),
    [("2²", "22"), ("5%", "5"), ("C#", "C"), ("C++", "C"), ("-1", "1"), ("?", "!")],
)
def test_what_may_be_the_whole_difference_stays(one, other):
    assert comparison_form(one) != comparison_form(other)


def test_each_pair_of_splits_is_counted_and_the_first_few_are_named():
    rows = [question(f"t{i}", "train", f"{i}?") for i in range(6)]
    rows += [question(f"v{i}", "validation", f"{i}?") for i in (0, 7)]
    rows += [question(f"x{i}", "test", f"{i}?") for i in (1, 2, 3, 4, 5, 7, 8)]
    copies = find_copies(rows)
    assert list(copies.counts.values()) == [5, 1, 1, 0, 0, 0]
    assert copies.lines() == [
        "5 test questions are in train too: x1 (t1), x2 (t2), x3 (t3) and 2 more",
        "1 test question is in validation too: x7 (v7)",
        "1 validation question is in train too: v0 (t0)",
    ]
    assert copies.unwanted == {"t0", "t1", "t2", "t3", "t4", "t5", "v7"}


def test_every_copy_counts_and_is_unwanted():
    rows = [
        question("a", "train"),
        question("b", "train"),
        question("c", "test"),
        question("d", "test"),
    ]
    copies = find_copies(rows)
    assert copies.counts["test_questions_in_train"] == 2
    assert copies.unwanted == {"a", "b"}


def test_an_extra_test_counts_as_a_test_and_what_the_test_has_is_left_out_of_it():
    rows = [question("t", "train"), question("v", "validation", "1?")]
    rows += [question(f"e{n}", "test_extra", f"{n}?") for n in range(3)]
    rows += [question(name, "test_extra") for name in ("et", "et2")]
    rows += [question("x", "test", "2?")]
    copies = find_copies(rows)
    assert {name: count for name, count in copies.counts.items() if count} == {
        "test_extra_questions_in_train": 2,
        "test_extra_questions_in_validation": 1,
        "test_questions_in_test_extra": 1,
        "test_extra_questions_repeated": 1,
    }
    assert copies.unwanted == {"t", "v", "e2"}


def test_copies_within_a_split_are_counted_and_named_and_no_reason_to_leave_them_out():
    rows = [question(f"{split}{i}", split) for split in ("train", "test") for i in range(6)]
    copies = find_copies([*rows, question("other", "test", "What is y?")])
    assert list(copies.counts.values()) == [6, 0, 0, 5, 0, 5]
    assert copies.lines()[1:] == [
        "5 train questions are in train already: train1 (train0), train2 (train0), train3 (train0)"
        " and 2 more",
        "5 test questions are in test already: test1 (test0), test2 (test0), test3 (test0)"
        " and 2 more",
    ]
    assert copies.unwanted == {f"train{i}" for i in range(6)}
    assert find_copies([question("a", "train"), question("b", "train")]).unwanted == frozenset()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_comparison_form_is_its_own(text):
    once = comparison_form(text)
    assert comparison_form(once) == once
    assert (
        once
        or not text.translate(
            dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
        ).strip()
    )
