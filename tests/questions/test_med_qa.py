"""MedQA-USMLE: the official files with four and with five options."""

import pytest

from kformer.errors import KformerError
from kformer.questions.med_qa import MedQa

FILES = {
    4: "data_clean/questions/US/4_options/phrases_no_exclude_{}.jsonl",
    5: "data_clean/questions/US/{}.jsonl",
}


def question(letters="ABCD", **change):
    return {
        "question": "A 23-year-old woman … Which drug is best?",
        "answer": "drug A",
        "options": {letter: f"drug {letter}" for letter in letters},
        "meta_info": "step2&3",
        "answer_idx": "A",
        "metamap_phrases": ["23 year old"],
    } | change


def without(key):
    return {name: value for name, value in question().items() if name != key}


@pytest.fixture(scope="session")
def archive(folder_of):
    """A folder laid out as the official archive, with these questions of the train file."""

    def write(*train, options=4):
        others = [question("ABCDE"[:options])]
        contents = {"train": list(train), "dev": others, "test": others}
        return folder_of({FILES[options].format(name): rows for name, rows in contents.items()})

    return write


def read(folder, options=4):
    return list(MedQa(options=options).read(folder))


@pytest.mark.parametrize("options", [4, 5])
def test_rows(archive, options):
    letters = "ABCDE"[:options]
    last = question(letters, answer_idx=letters[-1], meta_info="step1", question=" Naïve?\n ")
    rows = read(archive(question(letters), "", last, options=options), options)
    assert [(row["question_id"], row["split"]) for row in rows] == [
        ("train-000000", "train"),
        ("train-000001", "train"),
        ("dev-000000", "validation"),
        ("test-000000", "test"),
    ]
    assert rows[1] == {
        "question_id": "train-000001",
        "split": "train",
        "context": "",
        "question": "Naïve?",
        "choices": [f"drug {letter}" for letter in letters],
        "answer": options - 1,
        "type": "step1",
        "gold_facts": None,
    }


def test_choices_come_by_letter_whatever_their_order_in_the_file(archive):
    options = {"C": " c", "A": "a ", "D": "d", "B": "b"}
    row = read(archive(question(options=options, answer_idx="C")))[0]
    assert (row["choices"], row["answer"]) == (["a", "b", "c", "d"], 2)


def test_the_letter_is_the_answer_where_choices_are_identical(archive, build):
    options = dict.fromkeys("ABCD", "none")
    folder = archive(question(options=options, answer="none", answer_idx="D"))
    assert build(MedQa(), folder)[0]["answer"] == 3


def test_a_question_without_a_kind_has_no_type(archive):
    assert read(archive(without("meta_info")))[0]["type"] is None


def test_files_of_both_numbers_of_options_stand_side_by_side(folder_of):
    contents = {
        FILES[options].format(name): [question("ABCDE"[:options])]
        for options in FILES
        for name in ("train", "dev", "test")
    }
    folder = folder_of({**contents, "data_clean/questions/Mainland/train.jsonl": "{"})
    assert [len(read(folder, options)[0]["choices"]) for options in (4, 5)] == [4, 5]


@pytest.mark.parametrize("options", [4, 5])
@pytest.mark.parametrize("name", ["train", "dev", "test"])
def test_a_missing_file_is_refused(archive, options, name):
    folder = archive(question("ABCDE"[:options]), options=options)
    file = FILES[options].format(name)
    (folder / file).unlink()
    problem = f"{folder}: 0 files called {file.removeprefix('data_clean/')} below it, expected one;"
    with pytest.raises(KformerError, match=f"^{problem} unpack MedQA's data_clean"):
        read(folder, options)


def test_a_second_copy_is_refused(folder_of):
    names = [prefix + FILES[4].format("train") for prefix in ("", "copy/")]
    with pytest.raises(KformerError, match=": 2 files called "):
        read(folder_of(dict.fromkeys(names, "")))


OPTIONS = dict(zip("ABCD", "abcd", strict=True))
LETTERS, TEXTS, ANSWER = "options must be", "the question and each option", "answer_idx must be"


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("{", "not valid JSON"),
        (without("options"), LETTERS),
        (question(options=["a", "b", "c", "d"]), LETTERS),
        *((question(letters), LETTERS) for letters in ("ABC", "ABCDE", "abcd", "ABCE")),
        (without("question"), TEXTS),
        *((question(question=text), TEXTS) for text in ("", ["Why?"])),
        *((question(options=OPTIONS | {"B": text}), TEXTS) for text in (" \t", None, 2)),
        (without("answer_idx"), ANSWER),
        *((question(answer_idx=answer), ANSWER) for answer in ("E", "a", "", 0, ["A"])),
    ],
)
def test_a_malformed_question_is_refused_by_its_line(archive, bad, what):
    with pytest.raises(KformerError, match=rf"{FILES[4].format('train')}:2: {what}.*$"):
        read(archive(question(), bad))
