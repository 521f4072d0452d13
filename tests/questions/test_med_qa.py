"""MedQA-USMLE: the official files with four and with five options."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


def read(place, options=4):
    return list(MedQa(options=options).read(place))


def refusal(place, options=4):
    with pytest.raises(KformerError) as caught:
        read(place, options)
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
    place = archive(lines(question(options=options, answer="none", answer_idx="D")))
    assert build(MedQa(), place)[0]["answer"] == 3


def test_the_same_question_twice_is_two_questions(archive, build):
    rows = build(MedQa(), archive(lines(question(), question())))
    assert [row["question_id"] for row in rows][:2] == ["train-000000", "train-000001"]


def test_a_question_without_a_kind_has_no_type(archive, build):
    plain = {key: value for key, value in question().items() if key != "meta_info"}
    assert build(MedQa(), archive(lines(plain)))[0]["type"] is None


def test_byte_order_marks_windows_line_ends_and_blank_lines(archive, build):
    row = lines(question()).encode()
    place = archive(b"\xef\xbb\xbf" + row + b"\r\n\r\n" + row, dev=row + b"\n\n", test=row)
    ids = [row["question_id"] for row in build(MedQa(), place)]
    assert ids == ["train-000000", "train-000001", "dev-000000", "test-000000"]


def test_files_of_both_numbers_of_options_stand_side_by_side(folder_of):
    contents = {
        FILES[options].format(name): lines(question("ABCDE"[:options]))
        for options in FILES
        for name in ("train", "dev", "test")
    }
    place = folder_of({**contents, "data_clean/questions/Mainland/train.jsonl": "{"})
    assert [len(read(place, options)[0]["choices"]) for options in (4, 5)] == [4, 5]


@pytest.mark.parametrize("options", [3, 6, "four"])
def test_there_are_four_options_or_five(options):
    with pytest.raises(ValidationError, match="options"):
        MedQa(options=options)


@pytest.mark.parametrize("options", [4, 5])
@pytest.mark.parametrize("name", ["train", "dev", "test"])
def test_a_missing_file_is_refused(archive, options, name):
    place = archive(lines(question("ABCDE"[:options])), options=options)
    file = FILES[options].format(name)
    (place / file).unlink()
    assert refusal(place, options) == (
        f"{place}: 0 files called {file.removeprefix('data_clean/')} below it, expected one; "
        "unpack MedQA's data_clean.zip there"
    )


def test_a_second_copy_is_refused(folder_of):
    names = [prefix + FILES[4].format("train") for prefix in ("", "copy/")]
    assert ": 2 files called " in refusal(folder_of(dict.fromkeys(names, "")))


def without(key):
    return {name: value for name, value in question().items() if name != key}


LETTERS = "options must be an object with the keys A, B, C, D; is it a file of MedQA-USMLE?"
TEXTS = "the question and each option must be text, none empty"
ANSWER = "answer_idx must be one of A, B, C, D: "


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        (without("options"), LETTERS),
        (question(options=["a", "b", "c", "d"]), LETTERS),
        (question("ABC"), LETTERS),
        (question("ABCDE"), LETTERS),
        (question("abcd"), LETTERS),
        (question("ABCE"), LETTERS),
        (without("question"), TEXTS),
        (question(question=""), TEXTS),
        (question(question=["Why?"]), TEXTS),
        (question(options={"A": "a", "B": " \t", "C": "c", "D": "d"}), TEXTS),
        (question(options={"A": "a", "B": None, "C": "c", "D": "d"}), TEXTS),
        (question(options={"A": "a", "B": 2, "C": "c", "D": "d"}), TEXTS),
        (without("answer_idx"), f"{ANSWER}None"),
        (question(answer_idx="E"), f"{ANSWER}'E'"),
        (question(answer_idx="a"), f"{ANSWER}'a'"),
        (question(answer_idx=""), f"{ANSWER}''"),
        (question(answer_idx=0), f"{ANSWER}0"),
        (question(answer_idx=["A"]), f"{ANSWER}['A']"),
    ],
)
def test_a_malformed_question_is_refused_by_its_line(archive, bad, what):
    place = archive(lines(question(), bad))
    assert f"{place / FILES[4].format('train')}:2: {what}" in refusal(place)


def test_four_options_where_five_are_expected_are_refused(archive):
    place = archive(lines(question()), options=5)
    assert "options must be an object with the keys A, B, C, D, E;" in refusal(place, 5)


def test_a_kind_that_is_no_text_is_refused(archive, build):
    with pytest.raises(KformerError, match=r"question 'train-000000': type: .* valid string"):
        build(MedQa(), archive(lines(question(meta_info=1))))


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = plain | st.lists(plain, max_size=4) | st.dictionaries(st.text(max_size=3), plain)
options = st.dictionaries(st.sampled_from("ABCDE"), st.text(max_size=5) | values, max_size=5)
whole = st.fixed_dictionaries(
    {
        "question": st.text(max_size=9),
        "options": st.fixed_dictionaries(dict.fromkeys("ABCD", st.text(min_size=1, max_size=5))),
        "answer_idx": st.sampled_from("ABCD"),
    },
    optional={"meta_info": st.none() | st.text(max_size=3)},
)
broken = st.fixed_dictionaries(
    {}, optional={"question": values, "options": options | values, "answer_idx": values}
)
mixed = st.lists((whole | broken | values).map(json.dumps) | st.text(max_size=9), max_size=3)
good = st.lists(whole.map(json.dumps), min_size=1, max_size=3)
content = st.binary(max_size=40) | (mixed | good).map(lambda rows: "\n".join(rows).encode())


@settings(max_examples=100, deadline=None)
@given(content)
def test_any_content_gives_questions_or_our_error(archive, build, content):
    with suppress(KformerError):
        build(MedQa(), archive(content))
