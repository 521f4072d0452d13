"""Hidden files and folders are nobody's data."""

import os

import pytest

from kformer.errors import KformerError
from kformer.io.visible_files import visible_files, visible_paths


def test_hidden_files_are_left_out_at_any_depth(folder_of):
    names = ("b.csv", "a/c.csv", ".d.csv", ".git/e.csv", "a/._b.csv", "a/.f/g.csv")
    folder = folder_of(dict.fromkeys(names, "x"))
    assert visible_files(folder) == [folder / "a/c.csv", folder / "b.csv"]


def test_a_pattern_chooses_among_them(folder_of):
    folder = folder_of(dict.fromkeys(("a.xml", "a.txt", "._a.xml", "xml/b.xml/c"), "x"))
    assert visible_files(folder, "*.xml") == [folder / "a.xml"]


def test_a_hidden_folder_shows_its_files(folder_of):
    folder = folder_of({".data/a.csv": "x"}) / ".data"
    assert visible_files(folder) == [folder / "a.csv"]


def test_links_are_followed_but_a_folder_is_read_once_in_its_own_place(folder_of):
    other = folder_of({"b.csv": "", ".c.csv": "", "below/d.csv": ""})
    folder = folder_of({"a.csv": "", "z/e.csv": "", ".hidden/f.csv": ""})
    for link, target in {
        "link": other,
        "link again": other,
        "a.csv.link": folder / "a.csv",
        "inside": folder / "z",
        "loop": folder,
        "z/loop": folder / "z",
        "to hidden": folder / ".hidden",
        ".hidden link": other,
        "nowhere": other / "nowhere",
    }.items():
        (folder / link).symlink_to(target)
    (other / "back").symlink_to(folder)
    wanted = ["a.csv", "a.csv.link", "link/b.csv", "link/below/d.csv", "to hidden/f.csv", "z/e.csv"]
    assert visible_files(folder) == [folder / name for name in wanted]
    assert set(visible_paths(folder)) - set(visible_files(folder)) == {folder / "nowhere"}


def test_a_folder_that_does_not_exist_has_no_files(tmp_path):
    assert visible_files(tmp_path / "nowhere") == []


def test_a_folder_that_cannot_be_read_is_refused(folder_of, monkeypatch):
    folder, scan = folder_of({"a.csv": "", "b/c.csv": ""}), os.scandir

    def refusing(path):
        if os.fspath(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(KformerError, match="/b: Permission denied; make it readable"):
        visible_files(folder)


def test_a_name_that_is_not_utf8_is_refused_but_if_it_is_hidden(folder_of):
    folder = folder_of({".\udcff": "", "a": ""})
    assert visible_files(folder) == [folder / "a"]
    (folder / "\udcff").touch()
    with pytest.raises(KformerError, match=r"/\\xff: the name is not UTF-8; rename it"):
        visible_files(folder)
