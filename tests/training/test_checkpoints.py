"""Which checkpoint is resumed, what is removed, and what is said of it."""

import json
import os
import shutil

import pytest

from kformer.errors import KformerError
from kformer.io.locks import Lock
from kformer.training.checkpoints import STATE, WEIGHTS, Checkpoints


@pytest.fixture
def lock(tmp_path):
    with Lock(tmp_path / "lock") as held:
        yield held


@pytest.fixture
def checkpoints(tmp_path, lock):
    """Those of a run; another process makes another object for the same folder."""

    def make(identity="this run"):
        return Checkpoints(tmp_path / "unfinished", identity, lock)

    return make


def write(checkpoints, step, best=None):
    best = step if best is None else best
    with checkpoints.writing(step, best) as folder:
        (folder / WEIGHTS).write_bytes(b"weights" * 10)
        (folder / "optimizer.pt").write_bytes(b"state" * 10)
        (folder / STATE).write_text(json.dumps({"global_step": step, "best_global_step": best}))
    return checkpoints.folder / f"checkpoint-{step}"


@pytest.fixture
def two(checkpoints):
    """The checkpoints of steps 20 and 40, the first of which is the best."""
    writing = checkpoints()
    return write(writing, 20), write(writing, 40, best=20)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_the_newest_by_number_is_resumed(checkpoints):
    writing = checkpoints()
    for step in (90, 500, 1000):
        write(writing, step, best=90)
    newest = checkpoints().newest()
    assert (newest.path.name, newest.step, newest.best) == ("checkpoint-1000", 1000, 90)


def test_what_is_kept_is_the_newest_its_best_and_one_to_fall_back_on(checkpoints):
    writing = checkpoints()
    kept = []
    for step, best in ((1, 1), (2, 1), (3, 1), (4, 4), (5, 5), (6, 5), (7, 5)):
        write(writing, step, best)
        kept.append([int(name.split("-")[1]) for name in names_in(writing.folder)])
        assert checkpoints().newest().step == step
    assert kept == [[1], [1, 2], [1, 3], [1, 3, 4], [4, 5], [5, 6], [5, 7]]


def truncate(file):
    file.write_bytes(file.read_bytes()[: -len(file.read_bytes()) // 2])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [os.remove, truncate, flip_a_bit, lambda file: os.truncate(file, 0)]
)
@pytest.mark.parametrize("name", [WEIGHTS, "optimizer.pt", STATE, "checksums.json"])
def test_a_damaged_checkpoint_is_not_resumed_and_said(name, damage, two, checkpoints, capsys):
    damage(two[1] / name)
    assert checkpoints().newest().step == 20
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{two[1]}: ") and line.endswith("; not resumed, removed")
    assert names_in(two[0].parent) == ["checkpoint-20"]


def put_in_its_place(checkpoint, other):
    shutil.rmtree(checkpoint)
    shutil.copytree(other, checkpoint)


@pytest.mark.parametrize(
    "damage",
    [
        shutil.rmtree,
        lambda best: truncate(best / WEIGHTS),
        lambda best: put_in_its_place(best, best.with_name("checkpoint-40")),
    ],
)
def test_a_checkpoint_without_the_best_weights_that_it_names_is_not_resumed(
    damage, two, checkpoints, capsys
):
    damage(two[0])
    assert checkpoints().newest() is None
    assert "the best weights until then are lost: checkpoint-20: " in capsys.readouterr().err
    assert names_in(two[0].parent) == []


def test_what_was_added_to_a_checkpoint_or_renamed_is_no_checkpoint(two, checkpoints, capsys):
    two[1].rename(two[1].with_name("checkpoint-80"))
    (two[0] / "scaler.pt").write_bytes(b"")
    assert checkpoints().newest() is None
    said = capsys.readouterr().err
    assert "checkpoint-80: this is the checkpoint of step 40; not resumed" in said
    assert "checkpoint-20: scaler.pt was added to it; not resumed" in said


def test_files_links_and_other_names_are_no_checkpoints(two, checkpoints, capsys, tmp_path):
    folder = two[0].parent
    shutil.copytree(two[1], tmp_path / "elsewhere")
    (folder / "checkpoint-50").symlink_to(tmp_path / "elsewhere")
    (folder / "checkpoint-70").write_text("a file")
    (folder / "checkpoint-060").mkdir()
    (folder / "checkpoint-best").mkdir()
    (folder / "thesis").write_text("precious")
    assert checkpoints().newest().step == 40
    said = capsys.readouterr().err
    for step in (50, 70):
        assert f"checkpoint-{step}: this is no folder; not resumed, removed" in said
    mine = ["checkpoint-060", "checkpoint-best", "thesis"]
    assert names_in(folder) == sorted(["checkpoint-20", "checkpoint-40", *mine])
    assert (tmp_path / "elsewhere" / WEIGHTS).exists()
    checkpoints().remove()
    assert names_in(folder) == mine


def test_checkpoints_of_another_run_are_removed(two, checkpoints, capsys):
    assert checkpoints("another run").newest() is None
    assert "of other settings, inputs or another version" in capsys.readouterr().err
    assert names_in(two[0].parent) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_checkpoint_that_is_not_finished_leaves_the_last_one(error, two, checkpoints):
    with pytest.raises(BaseException), checkpoints().writing(60, 20) as folder:  # noqa: B017
        (folder / WEIGHTS).write_bytes(b"half")
        raise error
    assert checkpoints().newest().step == 40
    assert names_in(two[0].parent) == ["checkpoint-20", "checkpoint-40"]


def test_what_a_killed_process_left_is_removed(two, checkpoints):
    shutil.copytree(two[1], two[1].with_name(".checkpoint-47.partial"))
    assert checkpoints().newest().step == 40
    assert names_in(two[0].parent) == ["checkpoint-20", "checkpoint-40"]


def test_the_best_weights_are_refused_when_they_are_lost_while_training(two, checkpoints):
    training = checkpoints()
    training.newest()
    assert training.weights(20) == two[0] / WEIGHTS
    flip_a_bit(two[0] / WEIGHTS)
    with pytest.raises(KformerError, match=f"{two[0]}: has the best weights .* checksum differs"):
        training.weights(20)
    shutil.rmtree(two[0])
    with pytest.raises(KformerError, match="was deleted; start the same command again"):
        write(training, 60, best=20)
    assert names_in(two[0].parent) == ["checkpoint-40"]


def test_the_best_weights_of_another_run_or_step_are_refused(two, checkpoints, tmp_path, lock):
    training = checkpoints()
    training.newest()
    other = write(Checkpoints(tmp_path / "other", "another run", lock), 20)
    for strange, said in ((other, "of other settings"), (two[1], "the checkpoint of step 40")):
        put_in_its_place(two[0], strange)
        with pytest.raises(KformerError, match=f"{two[0]}: has the best weights .*{said}"):
            training.weights(20)


def test_nothing_is_written_where_another_process_may_write(checkpoints, lock, tmp_path):
    (tmp_path / ".lock.writing.lock").unlink()
    with pytest.raises(KformerError, match="was deleted while"):
        write(checkpoints(), 20)
    assert names_in(tmp_path / "unfinished") == []


def test_the_folder_is_removed_with_its_checkpoints(two, checkpoints):
    checkpoints().remove()
    assert not two[0].parent.exists()
    checkpoints().remove()
