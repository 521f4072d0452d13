"""Files and folders appear whole or not at all."""

import json
import os
import shutil

import pytest

from kformer.errors import KformerError
from kformer.io.file_writing import replacing, write_json


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_replaces_the_old_one_and_its_folder_is_made(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    for old, new in ((None, "new"), ("new", "newer")):
        with replacing(path) as partial:
            partial.write_text(new)
            assert path.exists() == bool(old)
            assert partial.parent == path.parent  # a rename works only within a file system
        assert path.read_text() == new
        assert names_in(path.parent) == ["file"]


def test_a_folder_replaces_an_empty_one(tmp_path):
    (tmp_path / "folder").mkdir()
    with replacing(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "new").write_text("new")
    assert names_in(tmp_path / "folder") == ["new"]
    assert names_in(tmp_path) == ["folder"]


def test_what_is_neither_a_file_nor_an_empty_folder_is_never_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis").write_text("precious")
    os.mkfifo(tmp_path / "pipe")
    for name, problem in (("folder", "folder is there already"), ("pipe", "neither a file nor a")):
        with pytest.raises(KformerError, match=f"{name}: .*{problem}"), replacing(tmp_path / name):
            raise AssertionError
    assert (tmp_path / "folder" / "thesis").read_text() == "precious"
    assert names_in(tmp_path) == ["folder", "pipe"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, None])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error or FileNotFoundError), replacing(path) as partial:
        if error:
            partial.write_text("half")
            raise error
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "leave",
    [
        lambda path, treasure: path.write_text("half"),
        lambda path, treasure: shutil.copytree(treasure, path),
        lambda path, treasure: path.symlink_to(treasure),
    ],
    ids=["file", "folder", "link"],
)
def test_what_a_killed_process_left_behind_is_removed_and_no_link_followed(tmp_path, leave):
    (tmp_path / "treasure").mkdir()
    (tmp_path / "treasure" / "gold").write_text("gold")
    with replacing(tmp_path / "thing") as leftover:
        leftover.write_text("old")
    leave(leftover, tmp_path / "treasure")
    with replacing(tmp_path / "thing") as partial:
        assert not partial.exists()
        partial.write_text("new")
    assert (tmp_path / "thing").read_text() == "new"
    assert (tmp_path / "treasure" / "gold").read_text() == "gold"
    assert names_in(tmp_path) == ["thing", "treasure"]


def test_json_is_readable_and_whole(tmp_path):
    path = tmp_path / "some.json"
    write_json(path, {"name": "Käfer", "sizes": [1, 2]})
    with pytest.raises(TypeError):
        write_json(path, {"name": object()})
    assert json.loads(path.read_text("utf-8")) == {"name": "Käfer", "sizes": [1, 2]}
    assert "Käfer" in path.read_text("utf-8")
    assert path.read_text("utf-8").endswith("}\n")
