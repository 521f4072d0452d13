"""Folders as training runs leave them, of models with large random weights."""

from functools import cache

import pytest

from kformer.io.output_names import RunFolder

FACTS = 3  # that a model reads


@pytest.fixture(scope="session")
def trained(random_run, tmp_path_factory):
    """Makes a run, once for the same settings; returns its folder."""

    @cache
    def make(injection, precision="fp32", **settings):
        run = RunFolder.of(tmp_path_factory.mktemp("run"), injection, 1)
        run.path.mkdir(parents=True)
        settings = {"facts": FACTS, "max_tokens": 64} | settings
        random_run(run.path, injection, {"precision": precision}, **settings)
        return run.path

    return make
