"""A finished training is found again, whenever it is killed and whatever is deleted by then."""

import itertools
import os
import shutil
import signal

import pytest
from safetensors.torch import load_file, save_file

from kformer.io.training_summary import TrainingSummary
from kformer.training import resumable_trainer
from kformer.training import run as run_module

from .conftest import start_forked


def content_of(out):
    files = [out / "training.json", *sorted((out / "model").iterdir())]
    return {file.name: file.read_bytes() for file in files}


@pytest.fixture
def done(run, settings):
    """A run that was just trained, and its content."""
    out = run(settings("none", max_steps=2, evaluations=1)).out
    return out, content_of(out)


@pytest.fixture
def again(run, settings, monkeypatch):
    """Starts the same training again; fails if it takes a step."""

    def start(name="run", may_train=False, **training):
        with monkeypatch.context() as patched:
            if not may_train:
                patched.setattr(resumable_trainer.ResumableTrainer, "training_step", None)
            same = {"max_steps": 2, "evaluations": 1}
            return run(settings("none", **same | training), name)

    return start


def delete_outputs(out):
    """As Snakemake does with those of a job that was killed."""
    shutil.rmtree(out / "model", ignore_errors=True)
    (out / "training.json").unlink(missing_ok=True)


@pytest.mark.parametrize("delete", [delete_outputs, lambda out: shutil.rmtree(out / ".finished")])
def test_a_finished_training_is_not_trained_again(delete, done, again, capsys):
    out, content = done
    delete(out)
    summary = again().summary
    assert summary == TrainingSummary.read(out / "training.json").measured
    assert content_of(out) == content
    assert f"{out}: trained before; not trained again" in capsys.readouterr().err
    assert not out.with_name("run-checkpoints").exists()


def killing(moment):
    """Kills this process before it changes a name in a folder for the n-th time."""
    changes = itertools.count(1)

    def wrapped(original):
        def change(*arguments, **options):
            if next(changes) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return change

    for name in ("link", "utime", "unlink", "rmdir", "rename", "replace"):
        setattr(os, name, wrapped(getattr(os, name)))


def test_a_kill_at_any_moment_of_the_end_loses_nothing(done, run, settings, again):
    """After the last step, before one of the changes that make outputs appear and checkpoints go;
    and as often as not, the outputs that are there are deleted then."""
    finish = run_module.finish

    def train(name, moment):
        def killed(*arguments):
            killing(moment)
            finish(*arguments)

        run_module.finish = killed
        run(settings("none", max_steps=2, evaluations=1), name)

    for moment in itertools.count(1, 4):
        out = done[0].with_name(f"killed-{moment}")
        process = start_forked(train, out.name, moment)
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        if moment % 8 == 1:
            delete_outputs(out)
        again(out.name)
        ignored = {"training.json": b""}  # which has times
        assert content_of(out) | ignored == done[1] | ignored
        found = {path.name for path in out.iterdir() if path.suffix != ".lock"}  # of killed ones
        assert found == {"model", "training.json", ".finished"}
        assert not out.with_name(f"{out.name}-checkpoints").exists()
        if process.exitcode == 0:
            break
    assert moment > 20


def test_other_settings_train_again(done, again):
    out, content = done
    again(may_train=True, learning_rate=2e-3)
    changed = content_of(out)
    assert changed.keys() == content.keys()
    assert changed["model.safetensors"] != content["model.safetensors"]


def test_an_encoder_that_was_trained_anew_in_its_folder_trains_again(
    settings, run, tiny_encoder, tmp_path
):
    encoder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    short = settings("none", {"encoder": str(encoder)}, max_steps=2, evaluations=1)
    first = content_of(run(short).out)
    changed = {name: 2 * value for name, value in load_file(encoder / "model.safetensors").items()}
    save_file(changed, encoder / "model.safetensors", metadata={"format": "pt"})
    assert content_of(run(short).out)["model.safetensors"] != first["model.safetensors"]


@pytest.mark.parametrize("name", ["model/model.safetensors", "training.json"])
def test_a_damaged_run_is_trained_again(name, done, again, capsys):
    out, content = done
    (out / name).write_bytes((out / name).read_bytes()[:-9])  # the same file as in `.finished`
    again(may_train=True)
    assert f"{out}: trained before, but damaged; trained again" in capsys.readouterr().err
    assert content_of(out)["model.safetensors"] == content["model.safetensors"]


def test_files_of_a_model_have_the_usual_permissions(done):
    before = os.umask(0o022)
    os.umask(before)
    found = {file.stat().st_mode & 0o777 for file in (done[0] / "model").iterdir()}
    assert found == {0o666 & ~before}


def test_without_hard_links_files_are_copied(run, settings, monkeypatch):
    def unsupported(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", unsupported)
    out = run(settings("none", max_steps=2, evaluations=1)).out
    assert content_of(out) == content_of(out / ".finished")
