"""What was written is known again, and any damage is named."""

import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.io.checksums import (
    CHECKSUMS,
    check_saved,
    damage_in,
    is_sealed,
    read_notes,
    sealed,
    write_checksums,
)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "inner").mkdir(parents=True)
    (made / "a").write_text("a")
    (made / "inner" / "b").write_text("b")
    (made / "a").chmod(0o600)
    write_checksums(made, of="a test")
    return made


def test_a_folder_is_whole_until_something_changes(folder):
    assert damage_in(folder) is None
    assert read_notes(folder)["of"] == "a test"
    assert (folder / "a").stat().st_mode == (folder / CHECKSUMS).stat().st_mode
    (folder / ".hidden").write_text("of the file manager")
    assert damage_in(folder) is None
    check_saved(folder)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "a").unlink(), "a is missing"),
        (
            lambda folder: (folder / "inner" / "b").write_text("c"),
            "inner/b is not what",
        ),
        (lambda folder: (folder / "c").write_text(""), "c was added to it"),
        (lambda folder: (folder / "a").rename(folder / "z"), "a is missing"),
        (lambda folder: shutil.rmtree(folder / "inner"), "inner/b is missing"),
        (lambda folder: ((folder / "a").unlink(), os.mkfifo(folder / "a")), "a is missing"),
        (
            lambda folder: (folder / CHECKSUMS).write_text("[" * 100_000),
            f"{CHECKSUMS} is missing or",
        ),
        (lambda folder: (folder / CHECKSUMS).write_bytes(b"\xff"), "is missing or damaged"),
        (lambda folder: (folder / CHECKSUMS).write_text('{"files": []}'), "is missing or damaged"),
        (lambda folder: (folder / CHECKSUMS).unlink(), f"{CHECKSUMS} is missing or damaged"),
        (shutil.rmtree, f"{CHECKSUMS} is missing or damaged"),
    ],
)
def test_damage_is_named(damage, named, folder):
    damage(folder)
    assert named in damage_in(folder)


def test_a_folder_with_checksums_is_refused_if_it_is_damaged_and_any_other_is_read(
    folder, tmp_path
):
    check_saved(tmp_path)
    check_saved("org/name-on-a-hub")
    (folder / "a").write_text("b")
    with pytest.raises(KformerError, match=f"^{folder}: damaged .a is not what was written"):
        check_saved(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    st.dictionaries(st.text().filter(lambda key: key != "checksum"), JSON, min_size=1), st.data()
)
def test_content_is_sealed_until_a_value_changes(content, data):
    whole = sealed(content)
    assert is_sealed(dict(sorted(whole.items())))
    key = data.draw(st.sampled_from(sorted(content)))
    assert not is_sealed({**whole, key: [content[key]]})
    assert not is_sealed(content)
