"""MedQA-USMLE: the official files with four and with five options."""

import json

import pytest
from pydantic import ValidationError

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


def lines(*questions):
    return "\n".join(
        q if isinstance(q, str) else json.dumps(q, ensure_ascii=False) for q in questions
    )


@pytest.fixture(scope="session")
def archive(folder_of):
    """A folder laid out as the official archive, with these contents of its files."""

    def write(train, dev=None, test=None, options=4):
        default = lines(question("ABCDE"[:options]))
        contents = {"train": train, "dev": dev or default, "test": test or default}
        return folder_of({FILES[options].format(name): text for name, text in contents.items()})

    return write


def read(folder, options=4):
    return list(MedQa(options=options).read(folder))


def refusal(folder, options=4):
    with pytest.raises(KformerError) as caught:
        read(folder, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("options", [4, 5])
def test_rows(archive, options):
    letters = "ABCDE"[:options]
    last = question(letters, answer_idx=letters[-1], meta_info="step1", question=" Naïve?\n ")
    rows = read(archive(lines(question(letters), last), options=options), options)
    assert [row["question_id"] for row in rows] == [
        "train-000000",
        "train-000001",
        "dev-000000",
        "test-000000",
    ]
    assert [row["split"] for row in rows] == ["train", "train", "validation", "test"]
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
    row = read(archive(lines(question(options=options, answer_idx="C"))))[0]
    assert row["choices"] == ["a", "b", "c", "d"]
    assert row["answer"] == 2


def test_the_letter_is_the_answer_where_choices_are_identical(archive, build):
    options = dict.fromkeys("ABCD", "none")
    folder = archive(lines(question(options=options, answer="none", answer_idx="D")))
    assert build(MedQa(), folder)[0]["answer"] == 3


def test_a_question_without_a_kind_has_no_type(archive):
    plain = {key: value for key, value in question().items() if key != "meta_info"}
    assert read(archive(lines(plain)))[0]["type"] is None


def test_byte_order_marks_windows_line_ends_and_blank_lines(archive, build):
    row = lines(question()).encode()
    folder = archive(b"\xef\xbb\xbf" + row + b"\r\n\r\n" + row, dev=row + b"\n\n", test=row)
    ids = [row["question_id"] for row in build(MedQa(), folder)]
    assert ids == ["train-000000", "train-000001", "dev-000000", "test-000000"]


def test_files_of_both_numbers_of_options_stand_side_by_side(folder_of):
    contents = {
        FILES[options].format(name): lines(question("ABCDE"[:options]))
        for options in FILES
        for name in ("train", "dev", "test")
    }
    folder = folder_of({**contents, "data_clean/questions/Mainland/train.jsonl": "{"})
    assert [len(read(folder, options)[0]["choices"]) for options in (4, 5)] == [4, 5]


@pytest.mark.parametrize("options", [3, 6, "four"])
def test_there_are_four_options_or_five(options):
    with pytest.raises(ValidationError, match="options"):
        MedQa(options=options)


@pytest.mark.parametrize("options", [4, 5])
@pytest.mark.parametrize("name", ["train", "dev", "test"])
def test_a_missing_file_is_refused(archive, options, name):
    folder = archive(lines(question("ABCDE"[:options])), options=options)
    file = FILES[options].format(name)
    (folder / file).unlink()
    assert refusal(folder, options) == (
        f"{folder}: 0 files called {file.removeprefix('data_clean/')} below it, expected one; "
        "unpack MedQA's data_clean.zip there"
    )


def test_a_second_copy_is_refused(folder_of):
    names = [prefix + FILES[4].format("train") for prefix in ("", "copy/")]
    assert ": 2 files called " in refusal(folder_of(dict.fromkeys(names, "")))


def without(key):
    return {name: value for name, value in question().items() if name != key}


LETTERS, TEXTS, ANSWER = "options must be", "the question and each option", "answer_idx must be"


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        (without("options"), LETTERS),
        (question(options=["a", "b", "c", "d"]), LETTERS),
        *((question(letters), LETTERS) for letters in ("ABC", "ABCDE", "abcd", "ABCE")),
        (without("question"), TEXTS),
        *((question(question=text), TEXTS) for text in ("", ["Why?"])),
        *(
            (question(options={"A": "a", "B": b, "C": "c", "D": "d"}), TEXTS)
            for b in (" \t", None, 2)
        ),
        (without("answer_idx"), ANSWER),
        *((question(answer_idx=answer), ANSWER) for answer in ("E", "a", "", 0, ["A"])),
    ],
)
def test_a_malformed_question_is_refused_by_its_line(archive, bad, what):
    folder = archive(lines(question(), bad))
    assert f"{folder / FILES[4].format('train')}:2: {what}" in refusal(folder)


def test_four_options_where_five_are_expected_are_refused(archive):
    folder = archive(lines(question()), options=5)
    assert "options must be an object with the keys A, B, C, D, E;" in refusal(folder, 5)
