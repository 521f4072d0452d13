"""Unpacking: every kind of archive, and what is refused."""

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.sources import archives, tar_archives, unpacked_folder
from kformer.sources.archives import unpack
from kformer.sources.tar_archives import tar_members
from kformer.sources.unpacked_folder import BadArchive

from .conftest import TEXTS, files_in, gzipped, tarred, zipped

properties = settings(deadline=None, derandomize=True, max_examples=100)


def unpacked(content: bytes, tmp_path: Path, name: str = "a") -> dict[str, bytes]:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.write_bytes(content)
    out.mkdir()
    files, size = unpack(archive, name, out)
    found = files_in(out)
    assert (files, size) == (len(found), sum(map(len, found.values())))
    return found


def refused(content: bytes, tmp_path: Path, problem: str) -> None:
    with pytest.raises(BadArchive, match=rf"^.*{problem}.*$"):
        unpacked(content, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "files"),
    [
        ("a.zip", zipped(TEXTS), TEXTS),
        ("a.tgz", tarred(TEXTS), TEXTS),
        ("a.tar", tarred(TEXTS, "w"), TEXTS),
        ("a.tar.xz", tarred(TEXTS, "w:xz"), TEXTS),
        ("a.tsv.gz", gzip.compress(b"a\tb\n", mtime=0), {"a.tsv": b"a\tb\n"}),
        ("a.tsv.bz2", bz2.compress(b"a\tb\n"), {"a.tsv": b"a\tb\n"}),
        ("a.tsv.xz", lzma.compress(b"a\tb\n"), {"a.tsv": b"a\tb\n"}),
        ("a.tsv", b"a\tb\n", {"a.tsv": b"a\tb\n"}),
        ("a.tar.bz2", tarred(TEXTS, "w:bz2"), TEXTS),
        ("download", zipped(TEXTS), TEXTS),
    ],
)
def test_the_content_decides_not_the_name(name, content, files, tmp_path):
    assert unpacked(content, tmp_path, name) == files


def test_what_macs_and_folders_add_is_left_out(tmp_path):
    members = {"data/": b"", "__MACOSX/data/._train.txt": b"junk", **TEXTS}
    assert unpacked(zipped(members), tmp_path) == TEXTS


# Damage


@pytest.mark.parametrize(
    "content",
    [
        *(zipped(TEXTS), tarred(TEXTS), tarred({"a.bin": os.urandom(100_000), **TEXTS})),
        *(tarred(TEXTS, "w"), tarred(TEXTS, "w:xz"), gzip.compress(os.urandom(100_000))),
    ],
    ids=["zip", "tgz", "large tgz", "tar", "tar.xz", "gz"],
)
@pytest.mark.parametrize("kept", [0.5, 0.9, 1])
def test_a_truncated_archive_is_refused(content, kept, tmp_path):
    length = int(len(content) * kept) - 10
    if content[257:262] == b"ustar":  # the end of a plain tar is nothing but padding
        length = min(length, 20_000)
    refused(content[:length], tmp_path, "is truncated or damaged")


@pytest.mark.parametrize("gzip", [True, False])
def test_a_wrong_bit_in_a_tar_is_noticed(gzip, tmp_path):
    content = bytearray(tarred(TEXTS, "w:gz" if gzip else "w"))
    # In the checksum at the end; in a header in the middle, which tarfile takes for the end.
    content[-8 if gzip else content.index(b"data/dev.txt")] ^= 1
    refused(bytes(content), tmp_path, "is truncated or damaged")


@pytest.mark.parametrize("pack", [zipped, lambda members: tarred(members, "w")])
def test_an_archive_with_something_before_or_behind_it_is_refused(pack, tmp_path):
    """Such as two archives in one file, of which only one would be seen."""
    refused(pack({"first": b"x"}) + pack({"second": b"x"}), tmp_path, "is truncated or damaged")


@pytest.mark.parametrize("names", [("a", "a"), ("a/b", "./a//b"), ("a/b", "a\\b")])
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_with_one_name_none_wins(names, kind, tmp_path):
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in names:
                archive.writestr(name, name)
    else:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(name))
    problem = re.escape(f"member {names[1]!r} has the name of an earlier one; refused")
    refused(buffer.getvalue(), tmp_path, problem)


def test_a_large_zip_is_unpacked(tmp_path):
    """With the fields of zip64."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a", "w", force_zip64=True) as file:
        file.write(b"x")
    assert unpacked(buffer.getvalue(), tmp_path) == {"a": b"x"}


@pytest.mark.parametrize("declared", [1, 999])
def test_a_zip_member_with_a_false_size_is_refused(declared, tmp_path):
    content = bytearray(zipped({"a": b"x" * 1000}))
    at = content.index(b"PK\1\2") + 24  # in the directory
    content[at : at + 4] = declared.to_bytes(4, "little")
    refused(bytes(content), tmp_path, "is truncated or damaged")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        *(
            (page, "is a web page, not the file itself; download it")
            for page in (
                b"<!DOCTYPE html><title>Log in</title>",
                b"\n <HTML lang=en>",
                b"\xef\xbb\xbf<html>",
                "<html>".encode("utf-16"),
                b"<!-- proxy --><html>",
            )
        ),
        (b"<?xml version='1.0'?>", "is XML; take its text out"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab", "is a Git LFS pointer, not"),
        (b"\x28\xb5\x2f\xfd...", "is compressed in another way than gzip, bzip2 or xz; unpack"),
        (b"Rar!\x1a\7\1\0", "is a 7z or rar archive; unpack it"),
        (b"%PDF-1.7", "is a PDF document; save it as plain text"),
    ],
)
def test_what_is_no_data_is_named(content, problem, tmp_path):
    refused(content, tmp_path, problem)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.zip", b"x", "is not the archive that its name says"),
        ("a.tar.gz", gzip.compress(b"x" * 600, mtime=0), "is not the archive that its name says"),
        ("a.tgz", gzip.compress(b"x" * 600, mtime=0), "is not the archive that its name says"),
        ("a.gz", gzip.compress(zipped(TEXTS), mtime=0), "holds another archive"),
        ("a.gz", gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "holds another archive"),
        ("a.tsv.gz", gzip.compress(b"<html>", mtime=0), "is a web page"),
    ],
    ids=lambda value: "content" if isinstance(value, bytes) else value,
)
def test_what_is_not_what_its_name_says_is_refused(name, content, problem, tmp_path):
    with pytest.raises(BadArchive, match=problem):
        unpacked(content, tmp_path, name)


def test_a_member_with_a_password_is_refused(tmp_path):
    content = bytearray(zipped({"secret": b"x"}))
    content[6] |= 1  # the flag in the member's header, and in the directory
    content[content.index(b"PK\1\2") + 8] |= 1
    refused(bytes(content), tmp_path, "member 'secret' cannot be read: ")


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({}, "holds no files"),
        ({"a": b"x", "a/b": b"x"}, "member 'a/b' is both a file and a folder"),
        ({"a" * 300: b"x"}, "has too long a name; refused"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(members, problem, tmp_path):
    refused(zipped(members), tmp_path, problem)


# Harm


@pytest.mark.parametrize(
    "name", ["../../evil", "a/../../evil", "/evil", "C:\\evil", "C:evil", "..\\evil", "\\\\a\\evil"]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_member_that_leads_outside_is_refused(pack, name, tmp_path):
    problem = re.escape(f"member {name!r} would be written outside its folder; refused")
    refused(pack({"good.txt": b"x", name: b"evil"}), tmp_path, problem)
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, "zip"])
def test_links_and_devices_are_refused(kind, tmp_path):
    if kind == "zip":
        info, buffer = zipfile.ZipInfo("x"), io.BytesIO()
        info.external_attr = 0o120777 << 16
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(info, "/etc/passwd")
        content = buffer.getvalue()
    else:
        info = tarfile.TarInfo("x")
        info.type, info.linkname = kind, "/etc/passwd"
        content = tarred({"x": info})
    refused(content, tmp_path, "member 'x' is a link or a device; refused")


@pytest.mark.parametrize("pack", [zipped, tarred, gzipped])
def test_a_bomb_is_refused(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED", 1000)
    monkeypatch.setattr(archives, "MAX_RATIO", 2)
    refused(pack({"a": b"0" * 100_000}), tmp_path, r"unpacks to more than \d+ bytes; refused")


@pytest.mark.parametrize(
    ("packed", "unpacked_bytes"), [(500_000_000, 10_000_000_000), (131_741_885, 1_000_000_000)]
)
def test_conceptnet_and_med_qa_are_no_bombs(packed, unpacked_bytes):
    assert unpacked_bytes < max(archives.MAX_UNPACKED, archives.MAX_RATIO * packed)


@pytest.mark.parametrize("members", [TEXTS, {"a/": b"", "b/": b""}], ids=["files", "folders"])
def test_too_many_members_are_refused(members, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    refused(zipped(members), tmp_path, "has more than 1 members")


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_header_that_would_fill_the_memory_is_refused(kind, first, tmp_path):
    bomb = tarfile.TarInfo("bomb")
    bomb.type, bomb.size = kind, 2**33
    content = b"" if first else gzip.decompress(tarred({"a": b"x"}))[:1024]
    content += bomb.tobuf(tarfile.GNU_FORMAT) + bytes(2048)
    refused(gzip.compress(content), tmp_path, "has headers that would fill the memory; refused")


PAX = {"comment": "x" * 1000}


@pytest.mark.parametrize(
    ("limit", "value", "members", "globals"),
    [
        ("MAX_HEADERS", 20_000, {f"{i}": PAX for i in range(20)}, {}),
        ("MAX_GLOBALS", 3, {"a": {}}, {f"a{i}": "x" for i in range(4)}),
    ],
)
def test_headers_that_are_many_are_refused_even_if_each_is_short(
    limit, value, members, globals, tmp_path, monkeypatch
):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", pax_headers=globals) as archive:
        for name, headers in members.items():
            info = tarfile.TarInfo(name)
            info.pax_headers = headers
            archive.addfile(info)
    assert set(unpacked(buffer.getvalue(), tmp_path)) == set(members)
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(tar_archives, limit, value)
    refused(buffer.getvalue(), tmp_path, "has headers that would fill the memory; refused")


def test_headers_of_headers_are_refused(tmp_path):
    header = tarfile.TarInfo("x").create_pax_global_header({"a": "b"})
    refused(header * 900 + tarred({"a": b"x"}, "w"), tmp_path, "is truncated or damaged")


def test_headers_are_not_kept_in_memory(tmp_path):
    def member(number):
        info = tarfile.TarInfo(f"{number}")
        info.pax_headers = {"comment": "x" * 100_000}
        return info

    content = io.BytesIO(tarred({f"{i}": member(i) for i in range(300)}, "w"))
    tracemalloc.start()
    try:
        assert len(list(tar_members(content, 2**30))) == 300
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [-512, 2**62])
def test_a_tar_member_with_a_false_size_is_refused(size, tmp_path):
    content = tarred({"a": b"x" * 600}, "w")
    info = tarfile.TarInfo("a")
    info.size = size
    refused(info.tobuf(tarfile.GNU_FORMAT) + content[512:], tmp_path, "is truncated or damaged")


def test_a_tar_member_with_holes_is_refused(tmp_path):
    (tmp_path / "holes").write_bytes(b"x" + bytes(2**20) + b"x")
    os.truncate(tmp_path / "holes", 2**24)
    command = ["tar", "--sparse", "-cf", "holes.tar", "holes"]
    subprocess.run(command, cwd=tmp_path, check=True)
    refused((tmp_path / "holes.tar").read_bytes(), tmp_path, "member 'holes' has holes")


def test_a_long_list_of_members_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 100)
    refused(zipped(TEXTS), tmp_path, r"has a list of members of \d+ bytes; refused")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_would_be_unpacked_in_memory_is_refused(method, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a", bytes(2**20))
    refused(buffer.getvalue(), tmp_path, rf"member 'a' is packed .* \(method {method}\)")


def test_an_xz_that_wants_much_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_XZ_MEMORY", 2**20)
    refused(lzma.compress(b"x"), tmp_path, "is truncated or damaged .*emory usage limit")


@pytest.mark.parametrize("depth", [51, 2000])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_member_that_lies_too_deep_is_refused(pack, depth, tmp_path):
    refused(pack({"a/" * depth + "b": b"x"}), tmp_path, "lies more than 50 folders deep; refused")


def test_what_is_not_kept_counts_too(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED", 10_000)
    monkeypatch.setattr(archives, "MAX_RATIO", 2)
    content = tarred({"__MACOSX/a": bytes(50_000), "a": b"x"})
    refused(content, tmp_path, "unpacks to more than 10000 bytes; refused")


def test_what_the_disk_cannot_spare_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacked_folder, "spare_bytes", lambda _: 4)
    with pytest.raises(KformerError, match=r"^/.*: no room for what is unpacked: 4 bytes can"):
        unpacked(zipped(TEXTS), tmp_path)


def test_a_long_name_that_is_honest_is_taken(tmp_path):
    name = "/".join(["a" * 100] * 5)
    assert unpacked(tarred({name: b"x"}), tmp_path) == {name: b"x"}


# Properties: whatever the bytes, nothing but the folder is written, nothing but BadArchive raised

parts = st.sampled_from(["..", ".", "", "a", "b", "C:", "~", "\\", "\0", "é", "a" * 300, "\udc80"])
names = st.one_of(
    st.lists(parts, min_size=1, max_size=4).map("/".join), st.text(min_size=1, max_size=8)
)
contents = st.dictionaries(names, st.binary(max_size=20), min_size=1, max_size=4)
MAGICS = [b"", b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0"]
edits = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=6)


def check_safe(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sandbox, out = Path(folder), Path(folder, "in", "out")
        out.mkdir(parents=True)
        archive = sandbox / "archive"
        archive.write_bytes(content)
        try:
            unpack(archive, "a.txt", out)
        except BadArchive as error:
            assert "\n" not in str(error)
        outside = [path for path in sandbox.rglob("*") if not path.is_relative_to(out)]
        assert sorted(outside) == [archive, out.parent]
        assert not [path for path in out.rglob("*") if path.is_symlink()]


@properties
@given(st.sampled_from(MAGICS), st.binary())
def test_random_bytes_are_safe(magic, rest):
    check_safe(magic + rest)


@properties
@given(contents, st.sampled_from([zipped, tarred]))
def test_any_names_are_safe(members, pack):
    try:
        content = pack(members)
    except (UnicodeEncodeError, ValueError):  # a name that no archive can hold
        return
    check_safe(content)


@properties
@given(
    st.sampled_from(
        [
            *(zipped(TEXTS), gzipped({"a": b"x" * 99})),
            *(tarred(TEXTS, mode) for mode in ("w", "w:gz", "w:bz2", "w:xz")),
            tarred({"long/" * 30 + "ü": b"x"}, "w"),  # with a PAX header
        ]
    ),
    edits,
    st.integers(0, 2**20),
)
@example(zipped(TEXTS), [], 2**20)
def test_mutated_archives_are_safe(content, edits, length):
    mutated = bytearray(content)
    for index, byte in edits:
        mutated[index % len(mutated)] = byte
    check_safe(bytes(mutated[: max(1, length % (2 * len(mutated)))]))
