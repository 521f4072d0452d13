"""Hidden files and folders are nobody's data."""

from kformer.io.visible_files import visible_files


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
