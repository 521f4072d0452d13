"""Which split a file's name says, and that numbered parts are all there."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.questions.split_names import SplitNames, check_parts


@pytest.fixture
def tmp_path(tmp_path):
    """Not called after the test: the folder's name may say a split, too."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def splits_of(folder, *names):
    """The splits of files of a folder, which need not exist."""
    files = [folder / name for name in names]
    found = SplitNames(folder, files)
    return [found.split_of(file) for file in files]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((f"{word}.jsonl", "validation") for word in ("dev", "val", "valid", "validation", "DEV")),
        *(("train-00000-of-00001.jsonl", "train"), ("test-00000-of-00012.parquet", "test")),
        *(("medqa_test.jsonl", "test"), ("test_v2.jsonl", "test"), ("dev.2.csv", "validation")),
        *(("phrases_no_exclude_train.jsonl", "train"), ("Social IQA (Train).csv", "train")),
        *(("TEST.JSONL", "test"), ("Test.jsonl.gz", "test"), ("MedQA-DEV.csv.xz", "validation")),
        *(("test/part1.jsonl", "test"), ("en/train/0001.parquet", "train")),
        *(("MedQA_test/part1.jsonl", "test"), ("test/test1.jsonl", "test")),
        *(("train2.jsonl", "train"), ("test2024.csv", "test"), ("q.valid.jsonl", "validation")),
        *(("trainset.jsonl", "train"), ("my_testset.jsonl", "test"), ("testsplit.csv", "test")),
        *(("tests.jsonl", "test"), ("tests/part1.jsonl", "test")),
        *(("training.jsonl", "train"), ("Testing/a.jsonl", "test"), ("public_test.jsonl", "test")),
        *(("socialiqa-train-dev/train.jsonl", "train"), ("train-dev-test/x/dev.csv", "validation")),
        *(("v4_atomic_trn.csv", "train"), ("v4_atomic_tst.csv", "test")),
        *(("evaluation/test.jsonl", "test"), ("test_0-of-2.jsonl", "test")),
    ],
)
def test_a_word_of_the_name_or_of_a_folder_is_the_split(tmp_path, name, split):
    assert splits_of(tmp_path, name) == [split]
    is_file = "/" not in name
    if is_file:  # also where the file itself is what is given
        (tmp_path / name).touch()
        assert SplitNames(tmp_path / name, [tmp_path / name]).split_of(tmp_path / name) == split


@pytest.mark.parametrize(
    "name",
    [
        *("questions.jsonl", "latest.jsonl", "contest.csv", "developer.jsonl", "device.csv"),
        *("training_notes.jsonl", "pretrain.jsonl", "restraints.csv", "MCTest.jsonl", "value.csv"),
        *("validity.csv", "protest/a.csv", "medieval.csv", "trainer.jsonl", "testament.jsonl"),
        *("part-00000-of-00002.jsonl", "chapter_1.csv", "invalid.csv", "..jsonl"),
    ],
)
def test_a_part_of_a_word_is_no_split(tmp_path, name):
    assert splits_of(tmp_path, name) == [None]


def test_words_that_only_sound_like_splits_may_stand_side_by_side(tmp_path):
    names = (
        "latest.jsonl",
        "contest.jsonl",
        "developer.jsonl",
        "training_notes.jsonl",
        "trainer.csv",
    )
    assert set(splits_of(tmp_path, *names)) == {None}


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["train_test.jsonl"], "its path says test and train"),
        (["test/train.jsonl"], "its path says test and train"),
        (["train-dev/train_test.jsonl"], "its path says test and train"),
        (["train/dev/a.jsonl"], "its path says train and validation"),
        (["train-dev/a.jsonl"], "its path says train and validation"),
        (["holdout-1.jsonl"], "name it train"),
        (["train.jsonl", "held_out.jsonl"], "name it train"),
        (["Hold-Out/a.jsonl"], "name it train"),
        *(
            ([f"{name}.jsonl"], "name it train")
            for name in ("eval", "evalset", "EvalData", "evals")
        ),
        (["my_evaluation_2.csv"], "name it train"),
        (["medqatrain.jsonl", "medqatest.jsonl"], "it differs from medqa"),
        (["medqatrainqs.jsonl", "medqatestqs.jsonl"], "it differs from medqa"),
        (["atrain/1.jsonl", "atest/1.jsonl"], "it differs from a"),
    ],
)
def test_what_is_not_plain_is_refused(tmp_path, names, problem):
    with pytest.raises(KformerError, match=rf"^{tmp_path}/.*: which split\? {problem}") as caught:
        splits_of(tmp_path, *names)
    assert "or set `split` in each question" in str(caught.value)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["trainQuestions", "testQs", "myDevSet"], ["train", "test", "validation"]),
        (["medqaTrain", "medqaDev"], ["train", "validation"]),
        (["traindata", "testdata_final", "devdata"], ["train", "test", "validation"]),
        (["trainingdata", "TestingSet", "valset"], ["train", "test", "validation"]),
        (["training_set", "testing_set", "validation_set"], ["train", "test", "validation"]),
        (["Training Set", "Test Set", "Development Data"], ["train", "test", "validation"]),
        (["training_questions", "testing_questions"], ["train", "test"]),
        (["medqa_training", "medqa_testing"], ["train", "test"]),
        (["medqa_training/1", "medqa_training/2", "medqa_dev/1"], ["train", "train", "validation"]),
        (
            ["dataset_training", "dataset_dev", "dataset_test"],
            ["train", "validation", "test"],
        ),
        (["dataset-training-0-of-1", "dataset_test-0-of-1"], ["train", "test"]),
        (["tr", "te", "va"], ["train", "test", "validation"]),
        (["medqa_tr", "medqa_te", "medqa_vl"], ["train", "test", "validation"]),
        # what is no split's word beside others
        (["training_notes", "anatomy"], [None, None]),
        (["development of children", "teeth"], [None, None]),
        (["latest", "contest", "attest", "protest"], [None] * 4),
        (["greatest", "fastest", "developer", "device"], [None] * 4),
        (["restrain", "invalid", "DevOps", "testament"], [None] * 4),
        (["tr", "en", "vi"], [None] * 3),
        (["xquad_tr", "xquad_ta"], [None] * 2),
    ],
)
def test_files_of_a_folder_make_each_other_plain(tmp_path, names, splits):
    assert splits_of(tmp_path, *(f"{name}.jsonl" for name in names)) == splits


@pytest.mark.parametrize(
    "names",
    [
        *(["medqatest", "other"], ["Trainingsfragen", "Testfragen"], ["Testfragen", "Fragen"]),
        *(["medqatraining", "b"], ["validierung", "b"], ["aTestbank", "b"], ["testbank", "b"]),
        *(["medqa_training", "other"], ["MCTest", "RACE"], ["devfragen", "b"], ["pretest", "b"]),
        *(["my_development", "b"], ["testbank/1", "b/1"], ["qvalid", "b"]),
    ],
)
def test_a_word_that_holds_a_split_is_refused_beside_other_files(tmp_path, names):
    with pytest.raises(KformerError, match=rf"^{tmp_path}/.*: which split\? .* may mean one; name"):
        splits_of(tmp_path, *(f"{name}.jsonl" for name in names))
    assert splits_of(tmp_path, f"{names[0]}.jsonl") == [None]


def folder_with(path, *names):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    return path


@pytest.mark.parametrize("name", ["train/data", "dev/science", "my_test/q", "test/a/b/c"])
def test_the_folders_around_are_named_for_much_else(tmp_path, name):
    folder = folder_with(tmp_path / name, "a.jsonl", "b.jsonl")
    assert splits_of(folder, "a.jsonl", "b.jsonl") == [None, None]


@pytest.mark.parametrize("name", ["test/en", "test_set/q", "tests/a", "Testing/x", "testset/q"])
def test_folders_around_that_say_test_alone_count(tmp_path, name):
    folder = folder_with(tmp_path / name, "0000.parquet", "train/a.jsonl")
    assert splits_of(folder, "0000.parquet") == ["test"]
    assert splits_of(folder, "train/a.jsonl", "0000.parquet") == ["train", None]
    file = folder / "0000.parquet"
    assert SplitNames(file, [file]).split_of(file) == "test"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(
            (name, "test")
            for name in ("test", "Test", "medqa_test", "test_set", "testing", "tests")
        ),
        *(("medqaTrain", "train"), ("my dev", "validation"), ("blood_tests", None)),
        *(("training_notes", None), ("latest", None)),
    ],
)
def test_the_name_of_the_folder_counts_where_no_file_is_named_after_a_split(tmp_path, name, split):
    folder = folder_with(tmp_path / name, "part1.jsonl")
    assert splits_of(folder, "part1.jsonl", "part2.jsonl") == [split, split]
    assert splits_of(folder, "train.jsonl", "a.jsonl") == ["train", None]


@pytest.mark.parametrize("name", ["train_test", "held_out", "my_eval", "evalset"])
def test_a_folder_whose_name_is_not_plain_is_refused(tmp_path, name):
    folder = folder_with(tmp_path / name, "part1.jsonl")
    with pytest.raises(KformerError, match=rf"^{folder}: which split\? .*name it train, val"):
        splits_of(folder, "part1.jsonl")
    assert splits_of(folder, "test.jsonl") == ["test"]


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_any_name_has_a_split_or_none_or_is_refused(name):
    try:
        (split,) = splits_of(Path("/nowhere"), f"{name}.jsonl")
    except KformerError as error:
        assert "which split?" in str(error)
    else:
        assert split in (None, "train", "validation", "test")


class TestParts:
    def check(self, *names):
        check_parts([Path("q") / name for name in names])

    @pytest.mark.parametrize(
        "names",
        [
            ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "test.jsonl"],
            ["train-00000-of-00001.jsonl", "test-00000-of-00001.jsonl"],
            ["a/0-of-2.csv", "a/1-of-2.csv.gz", "b/part_1_of_1.csv"],
            ["part 1 of 2.csv", "part 2 of 2.csv"],
            ["train.jsonl", "train2.jsonl", "a/train.jsonl"],
        ],
    )
    def test_that_are_all_there_are_fine(self, names):
        self.check(*names)

    @pytest.mark.parametrize(
        ("names", "missing"),
        [
            (["train-00000-of-00003.jsonl", "train-00002-of-00003.jsonl"], "train-00001-of-00003"),
            (["train-00001-of-00002.parquet"], "train-00000-of-00002.parquet"),
            (["a-00000-of-00002-0123456789abcdef.csv"], "a-00001-of-00002-….csv;"),
            (["test-1-of-2.jsonl.gz"], "test-2-of-2.jsonl.gz"),
            (["test-00000-of-90000000000000000000.jsonl"], "test-00001-of-"),
            (["a/part-00000-of-00002.csv", "b/part-00001-of-00002.csv"], "part-00001-of-00002.csv"),
        ],
    )
    def test_of_which_one_is_missing_are_refused_by_its_name(self, names, missing):
        with pytest.raises(KformerError, match=rf"parts (is|are) missing, such as {missing}"):
            self.check(*names)

    @pytest.mark.parametrize(
        ("names", "problem"),
        [
            *(
                (["train.jsonl", f"train.jsonl.{end}"], "two files of one name")
                for end in ("gz", "GZ")
            ),
            (["dev.csv", "dev.tsv"], "two files of one name"),
            (["train-00000-of-00001.csv", "train-00000-of-00001.csv.xz"], "two files of one name"),
            (["train-00000-of-00001.csv", "train-0-of-1.csv"], "parts of two sets"),
            (["train-00000-of-00001.csv", "train-00000-of-00002.csv"], "parts of two sets"),
            (["train-00000-of-00001.csv", "train-00002-of-00001.csv"], "no part of 1"),
        ],
    )
    def test_that_are_there_twice_are_refused(self, names, problem):
        with pytest.raises(
            KformerError, match=rf"^q/{names[0]}.*{names[1]}|^q/{names[1]}"
        ) as caught:
            self.check(*names)
        assert problem in str(caught.value)
