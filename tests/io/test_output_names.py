"""The folder of a run says of which condition and seed it is."""

from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.io.output_names import RunFolder


@pytest.mark.parametrize(("seed", "name"), [(41, "seed-41"), (None, "untrained")])
def test_condition_and_seed_are_read_from_the_path(seed, name, tmp_path, monkeypatch):
    run = RunFolder.of(tmp_path, "kformer", seed)
    assert (run.condition, run.seed, run.title) == ("kformer", seed, f"kformer {name}")
    run.path.mkdir(parents=True)
    monkeypatch.chdir(run.path)
    assert RunFolder(Path()).title == run.title
    monkeypatch.chdir(run.path.parent)
    assert RunFolder(Path(name)).title == run.title


@pytest.mark.parametrize("path", ["/", "/seed-1", "/runs/kformer/seed-x", "/runs/kformer"])
def test_a_path_that_is_no_run_is_refused(path):
    with pytest.raises(KformerError, match=rf"^{path}: .*<condition>/seed-<number>"):
        _ = RunFolder(Path(path)).title
