"""Files and folders appear whole or not at all."""

import json
import os

import pytest

from kformer.errors import KformerError
from kformer.io.files import replacing, write_json


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


def test_a_folder_with_something_in_it_is_never_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis").write_text("precious")
    with pytest.raises(KformerError, match="there already"), replacing(tmp_path / "folder"):
        pass
    assert (tmp_path / "folder" / "thesis").read_text() == "precious"
    assert names_in(tmp_path) == ["folder"]


def test_what_is_neither_file_nor_folder_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(KformerError, match="pipe: this is neither a file nor a folder"),
        replacing(tmp_path / "pipe"),
    ):
        raise AssertionError
    assert names_in(tmp_path) == ["pipe"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file"]


def test_what_a_killed_process_left_behind_is_removed(tmp_path):
    with replacing(tmp_path / "thing") as partial:
        leftover = partial
        partial.write_text("new")
    leftover.mkdir()
    (leftover / "half").write_text("half")
    with replacing(tmp_path / "thing") as partial:
        assert not partial.exists()
        partial.write_text("newer")
    assert (tmp_path / "thing").read_text() == "newer"
    assert names_in(tmp_path) == ["thing"]

    leftover.write_text("half of a file")
    with replacing(tmp_path / "folder") as partial, replacing(tmp_path / "thing") as file:
        partial.mkdir()
        file.write_text("newest")
    assert names_in(tmp_path) == ["folder", "thing"]


def test_a_link_left_behind_is_removed_and_not_followed(tmp_path):
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("gold")
    with replacing(tmp_path / "thing") as partial:
        partial.write_text("1")
    partial.symlink_to(treasure)
    with replacing(tmp_path / "thing") as again:
        again.write_text("2")
    assert (treasure / "gold").read_text() == "gold"
    assert names_in(tmp_path) == ["thing", "treasure"]


def test_a_block_that_makes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "old"


def test_json_is_readable_and_whole(tmp_path):
    path = tmp_path / "a" / "some.json"
    write_json(path, {"name": "Käfer", "sizes": [1, 2]})
    assert json.loads(path.read_text("utf-8")) == {"name": "Käfer", "sizes": [1, 2]}
    assert "Käfer" in path.read_text("utf-8")
    assert path.read_text("utf-8").endswith("}\n")
    with pytest.raises(TypeError):
        write_json(path, {"name": object()})
    assert json.loads(path.read_text("utf-8")) == {"name": "Käfer", "sizes": [1, 2]}
    assert names_in(path.parent) == ["some.json"]
