"""JSON lists, over one line or many: element after element, in pieces of any size."""

import gzip
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.io import text_files
from kformer.io.json_lists import list_elements
from kformer.io.records import jsonl_records

ROWS = [{"question": "né?", "choices": ["a ]", 'b "}'], "answer": 0}, {}, {"n": 1.5}]


@pytest.fixture
def contents(folder_of):
    """The contents of the records of a file, or what is wrong with it."""

    def read(content, name="q.json"):
        path = folder_of({name: content}) / name
        try:
            found = list(jsonl_records(path))
        except KformerError as error:
            assert "\n" not in str(error)
            return str(error).removeprefix(f"{path}")
        assert [record.line for record in found] == sorted({record.line for record in found})
        return [
            str(record.content).removeprefix(f"{path}")
            if isinstance(record.content, KformerError)
            else record.content
            for record in found
        ]

    return read


@pytest.mark.parametrize("indent", [None, 0, 2])
def test_a_list_has_a_record_an_element_however_it_is_written(contents, indent):
    text = json.dumps(ROWS, indent=indent, ensure_ascii=False)
    for content in (text, f"\ufeff\n {text}\r\n", gzip.compress(text.encode())):
        assert contents(content) == ROWS
    assert contents("[]") == contents(" [\n]\n") == []


def test_lines_stay_lines(contents):
    assert contents('{"a": 1}\n{"b": 2}\n', "q.json") == [{"a": 1}, {"b": 2}]
    assert contents("[1]\n[2]\n") == [
        *(f":{line}: not a JSON object; each must be one {{…}}" for line in (1, 2))
    ]
    first, second = contents('{"a": \n{"b": 2}\n')
    assert first.startswith(":1: not valid JSON (")
    assert second == {"b": 2}


COLUMNS = {"question": ["a?", "b?"], "choices": [["x", "y"]] * 2, "answer": [0, 1]}
BY_ROW = {key: {str(row): value for row, value in enumerate(COLUMNS[key])} for key in COLUMNS}


SQUAD = {"version": "1.1", "data": ROWS}
OF_THE_HUB = {"rows": ROWS, "num_rows_total": 2, "partial": False}


@pytest.mark.parametrize(
    "held", [{"data": ROWS}, {"train": ROWS, "test": []}, COLUMNS, BY_ROW, SQUAD, OF_THE_HUB]
)
def test_an_object_with_lists_is_one_short_problem(contents, held):
    problem = ": holds an object with lists; write one object a line, or all as one list [{…}, {…}]"
    assert contents(json.dumps(held)) == contents(json.dumps(held) + "\n", "q.jsonl") == problem
    over_lines = contents(json.dumps(held, indent=1))
    assert over_lines.startswith(": a JSON object over several lines; write each record as an obj")
    assert contents('{"data": [' + ",\n".join(map(json.dumps, ROWS)) + "]}") == over_lines


@pytest.mark.parametrize(
    "record",
    [
        *(ROWS[0], {}, {"choices": [{"label": "A", "text": "x"}], "question": {"stem": "?"}}),
        {"question": "?", "choices": {"A": "x", "B": "y"}, "answer": 0},
        *({"text": "a"}, {"text": "a", "data": [1, 2]}, {"text": "a", "rows": "many"}),
    ],
)
def test_one_record_alone_is_one(contents, record):
    assert contents(json.dumps(record)) == [record]
    assert contents(json.dumps(record) + "\n" + json.dumps({"data": ROWS})) == [
        record,
        {"data": ROWS},
    ]


def test_elements_that_are_no_objects_are_told_one_by_one(contents):
    problem = ":2: not a JSON object; each must be one {…}"
    assert contents('[{"a": 1}, 7, {"b": 2}]') == [{"a": 1}, problem, {"b": 2}]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{\n "data": [\n  {"a": 1}\n ]\n}\n', ": a JSON object over several lines; write each"),
        ('{\n "a": 1\n}\n{\n "a": 2\n}\n', ": a JSON object over several lines; write each"),
        ('[\n {"a": 1},\n {"a": 2}\n', ":4: not valid JSON (the list is not closed); c"),
        ('[\n {"a": 1},\n {"a": \n', ":4: not valid JSON (Expecting value); correct it or"),
        ('[\n {"a": 1}\n {"a": 2}]', ":3: not valid JSON (expected , or ], not '{'); correct"),
        ('[\n {"a": 1},\n]', ":3: not valid JSON (Expecting value); correct it or download it ag"),
        ('[\n {"a": 1}]\n]', ":3: not valid JSON (there is more after the end of the list); "),
        ("[\n oops,\n 1]", ":2: not valid JSON (Expecting value); correct it or download it again"),
        ("[\n" + "[" * 100_000, ":2: not valid JSON (maximum recursion depth exceeded"),
        (b'[\n {"a": "\xff"}\n]', ":2: not UTF-8 ("),
    ],
)
def test_what_is_neither_is_one_problem(contents, content, problem):
    found = contents(content)
    assert isinstance(found, str)
    assert found.startswith(problem)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(values, max_size=5), st.sampled_from([None, 1]), st.integers(1, 9))
@example([12, 345], None, 1)
def test_pieces_of_any_size_give_the_same_elements(tmp_path_factory, rows, indent, size):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(rows, indent=indent), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "_PIECE", size)
        assert list(map(json.loads, list_elements(path))) == rows


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from('[]{},:"1 \n')).map("[\n".__add__))
def test_any_content_is_read_as_json_reads_it_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(content, "utf-8")
    try:
        expected = json.loads(content)
    except ValueError:
        with pytest.raises(KformerError, match=r"^.*: not valid JSON .*$"):
            list(list_elements(path))
    else:
        assert list(map(json.loads, list_elements(path))) == expected
