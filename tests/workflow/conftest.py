"""One finished study for all tests of the workflow."""

from pathlib import Path

import pytest

from .tiny_study import snakemake, tiny_config


@pytest.fixture(scope="session")
def study(tmp_path_factory, tiny_encoder) -> Path:
    """A folder in which the tiny study was run from beginning to end."""
    folder = tmp_path_factory.mktemp("study")
    done = snakemake(folder, tiny_config(tiny_encoder), "all")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    return folder
