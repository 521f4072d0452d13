"""Whatever happens to the files of checkpoints, what is resumed is as it was written."""

import contextlib
import io
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.io.locks import Lock
from kformer.training.checkpoints import STATE, WEIGHTS, Checkpoints

STEPS = (20, 40, 60)
NAMES = (WEIGHTS, "optimizer.pt", STATE, "checksums.json")


def write_all(checkpoints):
    for step in STEPS:
        with checkpoints.writing(step, 20) as folder:
            (folder / WEIGHTS).write_bytes(b"weights of %d" % step)
            (folder / "optimizer.pt").write_bytes(b"state of %d" % step)
            state = {"global_step": step, "best_global_step": 20}
            (folder / STATE).write_text(json.dumps(state))


def replaced(file, start, end, content):
    """Damages a file: some bytes of it become others."""
    whole = file.read_bytes()
    file.write_bytes(whole[: start % len(whole)] + content + whole[end % len(whole) :])


DAMAGE = st.one_of(
    st.just(lambda file: file.unlink()),
    st.just(lambda file: (file.unlink(), file.mkdir())),
    st.just(lambda file: (file.unlink(), file.symlink_to("/dev/null"))),
    st.builds(
        lambda start, end, content: lambda file: replaced(file, start, end, content),
        st.integers(0, 500),
        st.integers(0, 500),
        st.binary(max_size=20),
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((20, 60)), st.sampled_from(NAMES), DAMAGE), max_size=3))
def test_a_checkpoint_is_resumed_as_it_was_written_or_not_at_all(damages):
    with tempfile.TemporaryDirectory() as folder, Lock(Path(folder, "x")) as lock:
        written = Checkpoints(Path(folder, "unfinished"), "this run", lock)
        write_all(written)
        content = {file: file.read_bytes() for file in written.folder.rglob("*.*")}
        for step, name, damage in damages:
            file = written.folder / f"checkpoint-{step}" / name
            if file.is_file() and not file.is_symlink():
                damage(file)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            newest = Checkpoints(written.folder, "this run", lock).newest()
        for file in written.folder.rglob("*.*"):
            assert file.name == "checksums.json" or file.read_bytes() == content[file]
        assert (newest is not None and newest.step == 60) or said.getvalue().startswith(
            f"{written.folder}/checkpoint-60: "
        )
