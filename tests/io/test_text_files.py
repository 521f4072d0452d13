"""Reading lines: odd line ends, encodings, compression, damage; and finding the files."""

import bz2
import gzip
import lzma
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.io import text_files as text_files
from kformer.io.text_files import (
    files_below,
    find_files,
    name_below,
    raw_lines,
    read_jsonl,
    read_pieces,
    suffix_of,
)

COMPRESSED = pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])


def objects_in(tmp_path, content: bytes):
    path = tmp_path / "some.jsonl"
    path.write_bytes(content)
    return list(read_jsonl(path))


def test_bom_crlf_blank_lines_and_no_last_newline(tmp_path):
    content = '\ufeff{"a": 1}\r\n\r\n  \n{"b": "né\u2028e"}'.encode()
    assert objects_in(tmp_path, content) == [(1, {"a": 1}), (4, {"b": "né\u2028e"})]
    assert objects_in(tmp_path, b"") == []
    assert objects_in(tmp_path, rb'{"a": "\ud83d\ude00"}') == [(1, {"a": "😀"})]


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
        (b'{"a": 0, "b": 1, "a": 0}', "the key 'a' is there twice; keep the right one"),
        (b'{"b": [{"a": 0, "a": 1}]}', "the key 'a' is there twice; keep the right one"),
        (rb'{"a": 0, "\u0061": 1}', "the key 'a' is there twice; keep the right one"),
    ],
)
def test_errors_name_the_line(tmp_path, line, what):
    with pytest.raises(KformerError, match=rf"some\.jsonl:3: {what}.*$"):
        objects_in(tmp_path, b'{"a": 1}\n\n' + line + b"\n")


def test_reading_is_lazy(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_bytes(b'{"a": 1}\nbroken')
    assert next(read_jsonl(path)) == (1, {"a": 1})


def lines_of(tmp_path, content):
    (tmp_path / "some.txt").write_bytes(content)
    return list(raw_lines(tmp_path / "some.txt"))


def refused(tmp_path, content):
    with pytest.raises(KformerError) as caught:
        lines_of(tmp_path, content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_raw_lines_keep_all_but_the_byte_order_mark(tmp_path):
    bom = b"\xef\xbb\xbf"
    lines = lines_of(tmp_path, bom + b" a\r\n\n" + bom + b"\xff\rb")
    assert lines == [(1, b" a\r\n"), (2, b"\n"), (3, bom + b"\xff\rb")]


@COMPRESSED
def test_compressed_files_are_known_by_their_content_and_may_be_joined(tmp_path, compress):
    text = "\ufeffé 1\n2".encode()
    assert lines_of(tmp_path, compress(text)) == [(1, "é 1\n".encode()), (2, b"2")]
    assert lines_of(tmp_path, compress(b"")) == []
    assert lines_of(tmp_path, compress(b"1\n") + compress(b"2\n")) == [(1, b"1\n"), (2, b"2\n")]
    (tmp_path / "plain.txt.gz").write_text("a\n")
    assert list(raw_lines(tmp_path / "plain.txt.gz")) == [(1, b"a\n")]


@COMPRESSED
def test_half_a_compressed_file_is_refused_and_says_how_far_it_was_read(tmp_path, compress):
    path, read = tmp_path / "some.txt", []
    whole = compress(b"".join(b"line %d\n" % i for i in range(50_000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(KformerError) as caught:
        read.extend(raw_lines(path))
    assert str(caught.value).startswith(f"{path}: damaged after line {len(read)} (")
    assert str(caught.value).endswith("); get the file again")


@COMPRESSED
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_compressed_file_with_a_wrong_byte_is_refused(tmp_path, compress, share):
    whole = bytearray(compress(bytes(14 + i * i % 241 for i in range(100_000))))
    whole[int(share * len(whole))] ^= 0xFF
    assert "damaged after line" in refused(tmp_path, bytes(whole))


@COMPRESSED
@pytest.mark.parametrize("damage", [b"BZh9 and so on", b"\xfd7zXZ\0", b"x"])
def test_what_is_behind_compressed_lines_is_their_like_or_zeros_and_nothing_else(
    tmp_path, compress, damage
):
    line = compress(b"1\n")
    assert lines_of(tmp_path, line + bytes(600_000)) == [(1, b"1\n")]
    assert lines_of(tmp_path, line + bytes(8) + line) == [(1, b"1\n"), (2, b"1\n")]
    second = bytearray(line)
    second[1] ^= 1
    for behind in (damage, bytes(8) + damage, bytes(second), line[:-1]):
        refusal = refused(tmp_path, line + behind)
        assert re.search(r"damaged after line [012] \(.*\); get the file again", refusal)


def test_what_only_begins_like_a_compressed_file_is_refused_or_text(tmp_path):
    text = b"BZh is how a bzip2 file begins.\n"
    assert lines_of(tmp_path, text) == [(1, text)]
    for content in (b"\x1f\x8b", b"\x1f\x8bxyz", b"\xfd7zXZ\0"):
        assert "damaged after line 0" in refused(tmp_path, content)


def test_a_line_that_is_too_long_is_refused_before_all_of_it_is_unpacked(tmp_path):
    bomb = gzip.compress(b"short\n" + b" " * 4 * text_files.MAX_LINE)
    assert len(bomb) < 100_000
    assert refused(tmp_path, bomb) == (
        f"{tmp_path / 'some.txt'}:2: the line is longer than 16,777,216 bytes; is this a text file?"
    )


def test_no_file_a_folder_and_utf16_are_refused(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(KformerError, match=f"{path}: there is no such file; check the folder"):
            list(raw_lines(path))
    assert ": UTF-16 text, not UTF-8; save " in refused(tmp_path, "a".encode("utf-16"))


def test_files_below_a_folder_come_by_suffix_in_the_order_of_their_paths(folder_of):
    wanted = ["B.TSV", "a.tsv", "a/1.tsv.gz", "a/10.csv", "a/2.csv.bz2", "b.CSV.XZ", "é.tsv"]
    others = ["a.txt", "tsv", "a.tsv.zip", "a.tsv.gz.part", "b.csvs", "a/folder.tsv/x.txt"]
    hidden = [".a.tsv", ".git/b.tsv", "a/.ipynb_checkpoints/c.csv", "a/._1.tsv"]
    folder = folder_of(dict.fromkeys([*wanted, *others, *hidden], ""))
    found = [str(path.relative_to(folder)) for path in files_below(folder, (".tsv", ".csv"))]
    assert found == sorted(wanted, key=lambda name: name.split("/"))


def test_a_file_or_folder_may_be_named_itself_whatever_its_name(folder_of):
    folder = folder_of({".cache/facts/a.tsv": "", ".odd": ""})
    assert files_below(folder / ".cache/facts", (".tsv",)) == [folder / ".cache/facts/a.tsv"]
    assert files_below(folder / ".odd", (".tsv",)) == [folder / ".odd"]


def test_a_path_without_such_files_is_refused(folder_of):
    folder = folder_of({"a.txt": ""})
    with pytest.raises(KformerError, match=rf"{folder}: no \.tsv or \.csv file below it; name a"):
        files_below(folder, (".tsv", ".csv"))
    with pytest.raises(KformerError, match=r"nowhere: does not exist; name a file or a folder"):
        files_below(folder / "nowhere", (".tsv",))


@pytest.mark.parametrize(
    "name", ["b.csv.zip", "b.CSV.ZST", "c/b.csv.tar.gz", "b.csv.tgz", "b.csv.gz.7z", "b.tsv.lzma"]
)
def test_a_file_that_is_packed_in_another_way_is_refused_unless_it_is_unpacked_too(folder_of, name):
    folder = folder_of({"a.csv": "", name: "", "notes.txt.zip": "", "all.zip": ""})
    problem = re.escape(f"{folder / name}: packed in a way that is not read in a folder; unpack it")
    with pytest.raises(KformerError, match=rf"^{problem}[^\n]+$"):
        files_below(folder, (".tsv", ".csv"))
    folder = folder_of({"b.csv.zip": "", "b.csv": ""})
    assert files_below(folder, (".tsv", ".csv")) == [folder / "b.csv"]


def test_a_link_that_leads_nowhere_is_refused_if_it_would_be_read(folder_of):
    folder = folder_of({"a.jsonl": "", "folder/x": ""})
    for name in ("b.txt", "b.json"):
        (folder / name).symlink_to("nowhere")
    (folder / "folder.jsonl").symlink_to("folder")
    assert files_below(folder, (".jsonl", ".json")) == [folder / "a.jsonl"]
    (folder / "b.jsonl").symlink_to("nowhere")
    with pytest.raises(KformerError, match=rf"{folder}/b\.jsonl: a link that leads nowhere; get "):
        files_below(folder, (".jsonl", ".json"))


@pytest.mark.parametrize("name", ["a\udcff.tsv", "b\udcff/a.tsv"])
def test_names_that_are_not_utf8_are_refused(folder_of, name):
    folder = folder_of({name: ""})
    shown = re.escape(f"{folder}/{name}: the name is not UTF-8; rename it").replace(
        "\udcff", r"\\xff"
    )
    for path in (folder, folder / name):
        with pytest.raises(KformerError, match=f"^{shown}$"):
            files_below(path, (".tsv",))


def test_the_files_of_an_archive_are_found_in_the_order_of_their_names(folder_of):
    folder = folder_of(dict.fromkeys(["x/dev.tsv", "b/y/train.tsv", "a/train.tsv", "all.tsv"], ""))
    found = find_files(folder, ("train.tsv", "dev.tsv", "test.tsv"), "the archive")
    names = [str(path.relative_to(folder)) for path in found]
    assert names == ["a/train.tsv", "b/y/train.tsv", "x/dev.tsv"]
    with pytest.raises(KformerError, match=r"no a\.tsv or b\.tsv below it; unpack the archive"):
        find_files(folder, ("a.tsv", "b.tsv"), "the archive")


def in_pieces(path, size=1000):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "_PIECE", size)
        return list(read_pieces(path))


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=20) | st.text(max_size=20).map(lambda t: t.encode("utf-8-sig")),
    st.integers(1, 12),
)
def test_pieces_of_any_size_make_the_whole_text_or_our_error(tmp_path_factory, content, size):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    # So that it is taken neither for a binary file nor for one of an old Mac.
    content = b" " + b"\n" * (1 + content.count(b"\r")) + content.replace(b"\0", b"0")
    path.write_bytes(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        with pytest.raises(KformerError, match=rf"any\.txt:{line}: not UTF-8 \("):
            in_pieces(path, size)
    else:
        assert "".join(in_pieces(path, size)) == text


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_pieces_are_without_the_byte_order_mark(tmp_path, size):
    (tmp_path / "a").write_bytes("\ufeffé\ufeff".encode())
    assert "".join(in_pieces(tmp_path / "a", size)) == "é\ufeff"


@COMPRESSED
def test_pieces_come_from_compressed_files_too_and_say_where_these_are_damaged(tmp_path, compress):
    whole = compress(b"line\n" * 50_000)
    (tmp_path / "a").write_bytes(whole)
    assert "".join(in_pieces(tmp_path / "a")) == "line\n" * 50_000
    (tmp_path / "a").write_bytes(whole[:-9])
    with pytest.raises(KformerError, match=r"/a: damaged after line \d+ \("):
        in_pieces(tmp_path / "a")


starts = st.sampled_from([b"", b"\x1f\x8b", b"\x1f\x8b\x08\x1f", b"BZh9", b"BZh", b"\xfd7zXZ\0"])


@settings(max_examples=100, deadline=None)
@given(
    starts,
    st.lists(st.binary(max_size=30) | st.text(max_size=30).map(lambda t: t.encode()), max_size=5),
    st.sampled_from([bytes, gzip.compress, bz2.compress, lzma.compress]),
)
@example(b"BZh9", [b"", b""], bytes)
def test_any_lines_give_objects_or_our_error(tmp_path_factory, start, lines, compress):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(compress(start + b"\n".join(lines)))
    try:
        assert all(isinstance(value, dict) for _, value in read_jsonl(path))
    except KformerError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.txt", "a"), ("b/vol.1.TXT.GZ", "b/vol.1"), ("c.d/e.jsonl.xz", "c.d/e"), ("f", "f")],
)
def test_a_file_below_a_folder_is_named_without_its_suffixes(tmp_path, file, name):
    assert name_below(tmp_path, tmp_path / file) == name
    path = tmp_path / "x" / file
    path.parent.mkdir(parents=True)
    path.touch()
    assert name_below(path, path) == name.rpartition("/")[2]
    assert f"{name}{suffix_of(path)}" == file
