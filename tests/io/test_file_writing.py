"""Files and folders appear whole or not at all."""

import json
import multiprocessing
import os
import resource
import shutil
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

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


def with_torch(path):
    with path.open("wb") as file:
        torch.save(torch.zeros(10_000), file)


def with_arrow(path):
    with path.open("wb") as file:
        pq.write_table(pa.table({"a": list(range(20_000))}), file, compression="none")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(30_000)),
        with_torch,
        with_arrow,
        lambda path: save_file({"a": torch.zeros(10_000)}, path),
        lambda path: np.save(path.with_suffix(".npy"), np.zeros(10_000)),
    ],
    ids=["python", "torch", "arrow", "rust", "numpy"],
)
def test_without_room_the_error_names_the_file_whoever_writes_it(tmp_path, write):
    """A limit to the size of files stands for a full disk."""
    (tmp_path / "file").write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match=r"File too large|No space left") as caught:  # noqa: SIM117
            with replacing(tmp_path / "file") as partial:
                resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
                write(partial)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), OSError("odd"), RuntimeError()])
def test_an_error_of_something_else_is_not_taken_for_one_of_writing(tmp_path, error):
    with pytest.raises(type(error)) as caught, replacing(tmp_path / "file"):
        raise error
    assert caught.value is error


def write_slowly(path, began):
    with replacing(path) as partial:
        partial.write_text("half")
        began.set()
        time.sleep(0.5)
        partial.write_text("of the first")


def test_two_processes_that_write_the_same_do_not_mix(tmp_path, capsys):
    fork = multiprocessing.get_context("fork")
    began = fork.Event()
    first = fork.Process(target=write_slowly, args=(tmp_path / "file", began))
    first.start()
    assert began.wait(30)
    with replacing(tmp_path / "file") as partial:
        assert (tmp_path / "file").read_text() == "of the first"
        partial.write_text("of the second")
    first.join()
    assert first.exitcode == 0
    assert (tmp_path / "file").read_text() == "of the second"
    assert f"process {first.pid} on " in capsys.readouterr().err
    assert names_in(tmp_path) == ["file"]


def test_json_is_readable_and_whole(tmp_path):
    path = tmp_path / "some.json"
    write_json(path, {"name": "Käfer", "sizes": [1, 2]})
    with pytest.raises(TypeError):
        write_json(path, {"name": object()})
    assert json.loads(path.read_text("utf-8")) == {"name": "Käfer", "sizes": [1, 2]}
    assert "Käfer" in path.read_text("utf-8")
    assert path.read_text("utf-8").endswith("}\n")
