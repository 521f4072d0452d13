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
def test_that_questions_stay_together_is_told_where_it_is_why(tmp_path, change):
    told = r"; where they are dealt, questions with the same .* stay together, and these have 1$"
    with pytest.raises(KformerError, match=told):
        split_sizes([row | change for row in rows(test=9)], tmp_path)
    with pytest.raises(KformerError, match=r"(?<!and these have 2)$"):
        split_sizes(rows(test=2), tmp_path)
