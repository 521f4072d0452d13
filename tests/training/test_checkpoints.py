"""Which checkpoint is resumed, and what is removed."""

import json

import pytest

from kformer.training.checkpoints import last_checkpoint, remove_checkpoints

IDENTITY = {"seed": 1, "layers": (1, 3)}


@pytest.fixture
def folder(tmp_path):
    """The folder of a run that was killed before its first checkpoint."""
    last_checkpoint(tmp_path, IDENTITY)
    return tmp_path


def checkpoint(folder, step, state='{{"best_global_step": {step}}}'):
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"")
    if state is not None:
        (path / "trainer_state.json").write_text(state.format(step=step))
    return path


@pytest.mark.parametrize("state", [None, "", '{{"best_global_step": 40}}'])
def test_an_incomplete_checkpoint_is_removed(state, folder):
    """Without a state, with half of one, or when the best checkpoint before it is gone."""
    checkpoint(folder, 80, state)
    assert last_checkpoint(folder, IDENTITY) is None
    assert [path.name for path in folder.iterdir()] == ["identity.json"]


def test_the_newest_complete_checkpoint_counts_by_number(folder):
    for step in (90, 1000, 500):
        checkpoint(folder, step)
    incomplete = checkpoint(folder, 2000, state=None)
    assert last_checkpoint(folder, IDENTITY) == folder / "checkpoint-1000"
    assert not incomplete.exists()
    assert (folder / "checkpoint-90").exists()  # it may be the best so far


@pytest.mark.parametrize(
    "other", [{"seed": 2}, {"layers": (0, 3)}, {"inputs": ["abc"]}, {"version": 2}]
)
def test_checkpoints_of_another_run_are_removed(other, folder):
    checkpoint(folder, 10)
    assert last_checkpoint(folder, IDENTITY | other) is None
    assert not (folder / "checkpoint-10").exists()
    assert last_checkpoint(folder, IDENTITY) is None  # now it is the other run's folder


def test_checkpoints_of_unknown_origin_are_removed_and_other_files_are_not(tmp_path):
    (tmp_path / "thesis").write_text("precious")
    checkpoint(tmp_path, 10)
    assert last_checkpoint(tmp_path, IDENTITY) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["identity.json", "thesis"]
    remove_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_a_folder_is_made_for_the_first_run_and_removed_with_its_checkpoints(tmp_path):
    assert last_checkpoint(tmp_path / "new", IDENTITY) is None
    assert json.loads((tmp_path / "new/identity.json").read_text()) == {"seed": 1, "layers": [1, 3]}
    checkpoint(tmp_path / "new", 10)
    remove_checkpoints(tmp_path / "new")
    assert not (tmp_path / "new").exists()
