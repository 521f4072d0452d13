"""Contents decide, never ages: checksums of the user's files and folders."""

import json
import os
from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.io.contents import Contents

LARGE = b"x" * 2**20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    below = tmp_path / "data" / "below"
    below.mkdir(parents=True)
    (below / "large.bin").write_bytes(LARGE)
    (below.parent / "small.txt").write_text("small")
    return below.parent


def test_ages_and_hidden_files_do_not_matter(folder):
    before = Contents().checksum(folder)
    for file in folder.rglob("*.*"):
        os.utime(file, (1, 1))
    (folder / ".hidden").write_text("new")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("new")
    assert Contents().checksum(folder) == before


@pytest.mark.parametrize("change", ["content", "name", "another file"])
def test_contents_and_names_matter(folder, change):
    before = Contents().checksum(folder)
    if change == "content":
        (folder / "small.txt").write_text("smalL")
    elif change == "name":
        (folder / "small.txt").rename(folder / "tiny.txt")
    else:
        (folder / "empty").touch()
    assert Contents().checksum(folder) != before


def test_the_files_of_linked_folders_count_as_they_are_read(folder, tmp_path):
    (tmp_path / "other").mkdir()
    (folder / "link").symlink_to(tmp_path / "other")
    before = Contents().checksum(folder)
    (tmp_path / "other" / "new.txt").write_text("new")
    assert Contents().checksum(folder) != before


def test_a_name_that_is_not_utf8_is_refused(folder):
    (folder / "f\udcff.txt").touch()
    with pytest.raises(KformerError, match=r"f\\xff\.txt: the name is not UTF-8; rename it"):
        Contents().checksum(folder)


@pytest.mark.parametrize("in_place", [True, False], ids=["written over", "replaced"])
def test_new_bytes_of_the_same_size_and_age_are_noticed(folder, tmp_path, in_place):
    memory, file = tmp_path / "memory.json", folder / "below" / "large.bin"
    before, state = Contents(memory).checksum(file), file.stat()
    changed = file if in_place else tmp_path / "new.bin"
    changed.write_bytes(LARGE[:-1] + b"y")
    os.utime(changed, ns=(state.st_atime_ns, state.st_mtime_ns))
    changed.replace(file)
    assert file.stat().st_mtime_ns == state.st_mtime_ns
    assert Contents(memory).checksum(file) != before


def test_a_large_file_is_read_once(folder, tmp_path, monkeypatch):
    memory = tmp_path / "memory.json"
    before = Contents(memory).checksum(folder)
    read = []
    monkeypatch.setattr("kformer.io.contents.sha256_of", lambda path: read.append(path) or "0")
    Contents(memory).checksum(folder / "below")
    assert read == []
    assert list(json.loads(memory.read_text())["files"]) == [str(folder / "below" / "large.bin")]
    monkeypatch.undo()
    assert Contents(memory).checksum(folder) == before


def change_a_digit(text):
    (known,) = json.loads(text)["files"].values()
    return text.replace(known["sha256"], known["sha256"][:-1] + "g")


@pytest.mark.parametrize(
    "damage",
    [*map(lambda text: lambda _: text, ["", "[]", "{", "[" * 9**5, '{"a": 1}']), change_a_digit],
)
def test_a_damaged_memory_is_not_believed(folder, tmp_path, damage):
    memory = tmp_path / "memory.json"
    Contents(memory).checksum(folder)
    memory.write_text(damage(memory.read_text()))
    assert Contents(memory).checksum(folder) == Contents().checksum(folder)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(KformerError, match="nowhere: No such file"):
        Contents().checksum(tmp_path / "nowhere")
