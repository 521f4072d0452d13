"""Files that are no text are known by their content, with what to do, whatever they are called."""

import gzip
import io
import tarfile
import zipfile

import pytest

from kformer.errors import KformerError
from kformer.io.records import csv_records, jsonl_records, parquet_records
from kformer.io.text_files import raw_lines, read_pieces


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("facts.tsv"))
    return file.getvalue()


TEXT = "question,A,B,answer\nWho?,x,y,A\n"
KINDS = {
    "a zip archive; unpack it, or give it as url, which is unpacked": [zipped("facts.tsv")],
    "an Excel workbook; save its sheet as CSV in UTF-8": [
        zipped("[Content_Types].xml", "xl/workbook.xml")
    ],
    "a Word document; save it as plain text in UTF-8": [zipped("word/document.xml")],
    "an OpenDocument file; save its sheet as CSV": [zipped("mimetype", "content.xml")],
    "an old Word document or Excel workbook; ": [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)],
    "a tar archive; unpack it, or give it as url": [tarred(), gzip.compress(tarred())],
    "a 7z or rar archive; unpack it": [b"7z\xbc\xaf\x27\x1c\0\4", b"Rar!\x1a\7\1\0"],
    "still compressed; unpack it": [gzip.compress(gzip.compress(TEXT.encode()))],
    "compressed in another way than gzip, bzip2 or xz; unpack it": [b"\x28\xb5\x2f\xfd\x24\x1f"],
    "a PDF document; save it as plain text in UTF-8": [
        b"%PDF-1.7\n%\xe2\xe3",
        b"\xef\xbb\xbf%PDF-",
    ],
    "an RTF document; save it as plain text": [rb"{\rtf1\ansi"],
    "a Parquet file; give it the suffix .parquet": [b"PAR1\x15\4"],
    "an Arrow file; save it as Parquet": [b"ARROW1\0\0", b"\xff\xff\xff\xff\x10\0\0\0"],
    "a file of arrays or objects; save it as Parquet": [b"\x93NUMPY\1\0", b"\x80\4\x95\x10"],
    "an SQLite database; export what you need as CSV": [b"SQLite format 3\0"],
    "an image; give its text": [b"\x89PNG\r\n\x1a\n"],
    "a Git LFS pointer, not the file itself; get that with: git lfs pull": [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
    ],
    "a web page, not the file itself; download it from the address of the raw file": [
        b"<!DOCTYPE html>\n<html>",
        b"\n  <!doctype HTML>",
        b'<html lang="en"><head>',
        b"<!-- saved from url=(0019)https://example.org -->\n<HTML>",
        b"\xef\xbb\xbf <!-- a --> <!-- b --><body\nclass='c'>",
        b"<head><title>Log in</title></head>",
        b"<title>Not found</title>",
        b"<script>",
        b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">',
        b"404: Not Found\n",
    ],
    "XML; take its text out of it first": [
        b'<?xml version="1.0"?>\n<a/>',
        b"<!-- a --><!DOCTYPE lewis SYSTEM 'lewis.dtd'>",
    ],
}
NO_TEXT = {
    "UTF-16 text, not UTF-8; save the file as UTF-8": [
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        gzip.compress(TEXT.encode("utf-16")),
    ],
    "a binary file, not text; save its text in UTF-8": [b"\x7fELF\2\1\1\0\xff and so on"],
    "its lines end in CR, as on old Macs; save it with LF, such as with: tr '\\r' '\\n' < OLD >": [
        TEXT.replace("\n", "\r").encode(),
        b"Cats purr.\rDogs bark.\rBirds sing.\n",
        b'a,b\r"c ""d""",e\r\n"f","g"\rh,i\rj,k\n',
    ],
}


def every(kinds):
    return pytest.mark.parametrize(
        ("problem", "content"),
        [
            pytest.param(problem, content, id=f"{problem.split(';')[0]} {number}")
            for problem, contents in kinds.items()
            for number, content in enumerate(contents)
        ],
    )


@every(KINDS | NO_TEXT)
def test_what_is_no_text_is_refused_in_one_line(folder_of, problem, content):
    path = folder_of({"some.csv": content}) / "some.csv"
    for read in (raw_lines, read_pieces, csv_records, jsonl_records):
        with pytest.raises(KformerError) as caught:
            list(read(path))
        assert str(caught.value).startswith(f"{path}: {problem}")
        assert "\n" not in str(caught.value)


@every(KINDS)
def test_what_is_no_parquet_but_of_a_known_kind_is_refused_as_that(folder_of, problem, content):
    if b"PAR1" in content or content.startswith(b"\x1f\x8b"):
        problem = "not a readable Parquet file" if b"PAR1" in content else "still compressed"
    path = folder_of({"some.parquet": content}) / "some.parquet"
    with pytest.raises(KformerError) as caught:
        list(parquet_records(path))
    assert str(caught.value).startswith(f"{path}: {problem}")


@pytest.mark.parametrize(
    "text",
    [
        "<b>bold</b>",
        "<htmlish> is no tag.",
        "PK is a code.",
        "%PDF is how it begins.",
        "<!-- a comment -->\nCats purr.",
        "<!-- a comment that does not end <html>",
        "<header> is no tag of a whole page.",
        "404: Not Found is what servers say.",
        "A line\rwith an odd CR.\n",
        'text,label\n"A cell\rof several\rlines",x\n"Another\rsuch\rcell\r.",y\n',
        "One line with a CR at its end\r",
        "",
        "一\n二\n",
        "version https://example.org",
    ],
)
def test_text_is_read_however_odd(folder_of, text):
    assert "".join(read_pieces(folder_of({"a.txt": text}) / "a.txt")) == text
