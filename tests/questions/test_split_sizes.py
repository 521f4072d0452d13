"""A study needs questions in each split."""

import pytest

from kformer.errors import KformerError
from kformer.questions.split_sizes import split_sizes


def rows(**sizes):
    return [
        {"split": split, "context": "", "question": f"{number}?"}
        for split, size in sizes.items()
        for number in range(size)
    ]


def test_each_split_is_counted(tmp_path):
    sizes = {"train": 3, "validation": 1, "test": 2}
    assert split_sizes(rows(**sizes), tmp_path) == sizes
    sizes["test_extra"] = 4
    assert split_sizes(rows(**sizes), tmp_path) == sizes


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"test": 1273}, r"the split train has no questions \(test 1,273\); add those to train on"),
        (
            {"train": 2, "validation": 1},
            r"the split test has no questions \(train 2, validation 1\)",
        ),
        ({"train": 1, "test": 1}, "the split validation has no questions"),
        ({}, "no questions in it"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(tmp_path, sizes, message):
    with pytest.raises(KformerError, match=f"^{tmp_path}: {message}"):
        split_sizes(rows(**sizes), tmp_path)


def test_to_a_file_alone_its_folder_is_preferred(tmp_path):
    (tmp_path / "test.jsonl").touch()
    with pytest.raises(
        KformerError, match=r"train\.…, and give the folder of all files; or, to have some of"
    ):
        split_sizes(rows(test=9), tmp_path / "test.jsonl")


@pytest.mark.parametrize("change", [{"context": "Krez ate."}, {"question": "Which of these?"}])
@pytest.mark.parametrize("others", [{}, {"test": 3}])
def test_that_questions_stay_together_is_told_where_it_may_be_why(tmp_path, change, others):
    same = [row | change for row in rows(validation=9)]
    told = "; those of validation have all the same context or text, and where questions are dealt"
    with pytest.raises(KformerError, match=told):
        split_sizes([*same, *rows(**others)], tmp_path)
    with pytest.raises(KformerError) as caught:
        split_sizes(rows(validation=2, **others), tmp_path)
    assert "stay together" not in str(caught.value)
