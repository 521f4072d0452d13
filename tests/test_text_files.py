import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.text_files import read_jsonl, read_lines


def read(tmp_path, content: bytes):
    path = tmp_path / "some.jsonl"
    path.write_bytes(content)
    return list(read_jsonl(path))


def test_bom_crlf_blank_lines_and_no_last_newline(tmp_path):
    content = '\ufeff{"a": 1}\r\n\r\n  \n{"b": "né\u2028e"}'.encode()
    assert read(tmp_path, content) == [(1, {"a": 1}), (4, {"b": "né\u2028e"})]


def test_empty_file(tmp_path):
    assert read(tmp_path, b"") == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (rb'{"a": "\ud800"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_errors_name_the_line(tmp_path, line, what):
    with pytest.raises(KformerError, match=rf"some\.jsonl:3: {what}") as caught:
        read(tmp_path, b'{"a": 1}\n\n' + line + b"\n")
    assert "\n" not in str(caught.value)


def test_pairs_of_surrogates_are_characters(tmp_path):
    assert read(tmp_path, rb'{"a": "\ud83d\ude00"}') == [(1, {"a": "😀"})]


def test_reading_is_lazy(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_bytes(b'{"a": 1}\nbroken')
    assert next(read_jsonl(path)) == (1, {"a": 1})


def test_lines_are_stripped_and_numbered(tmp_path):
    path = tmp_path / "labels.lst"
    path.write_bytes(b"1\r\n\n 3 ")
    assert list(read_lines(path)) == [(1, "1"), (3, "3")]


@given(
    st.lists(st.binary(max_size=30) | st.text(max_size=30).map(lambda t: t.encode()), max_size=5)
)
def test_any_lines_give_objects_or_our_error(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        assert all(isinstance(value, dict) for _, value in read_jsonl(path))
    except KformerError as error:
        assert "\n" not in str(error)
