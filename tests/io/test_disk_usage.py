"""How much room files take."""

import os
from pathlib import Path

from kformer.io.disk_usage import freed_bytes, used_bytes


def test_files_count_once_and_links_are_not_followed(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    (outside / "large").write_bytes(b"x" * 100_000)
    (folder / "deep").mkdir(parents=True)
    file = folder / "deep" / "file"
    file.write_bytes(b"x" * 50_000)
    size = file.stat().st_blocks * 512
    assert used_bytes([folder]) == used_bytes([file]) == size > 0
    os.link(file, folder / "again")
    (folder / "link").symlink_to(outside)
    assert size <= used_bytes([folder]) < size + 50_000
    assert used_bytes([folder / "nothing"]) == 0


def test_what_has_another_name_elsewhere_is_not_freed(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one").write_bytes(b"x" * 50_000)
    size = used_bytes([folder])
    os.link(folder / "one", folder / "two")
    assert freed_bytes([folder]) == size
    os.link(folder / "one", tmp_path / "kept")
    assert freed_bytes([folder]) == 0
    assert freed_bytes([folder, Path(tmp_path / "kept")]) == size
