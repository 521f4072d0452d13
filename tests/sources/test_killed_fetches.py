"""Fetching that is killed at any moment: the next start resumes or replaces what it left."""

import multiprocessing
import os
import random
import time

import pytest

from kformer.sources.fetch import fetch_source

from .conftest import files_in, source_of, tarred, unpublished

MEMBERS = {f"{number}.bin": os.urandom(20_000) for number in range(100)}
CONTENT = tarred(MEMBERS)


@pytest.mark.parametrize("published", [True, False])
def test_after_kills_the_files_are_the_same_and_nothing_is_left(
    published, site, tmp_path, downloads, lock, out
):
    site.content = CONTENT
    source = source_of(CONTENT, site.url()) if published else unpublished(site.url())
    rng, context = random.Random(1), multiprocessing.get_context("fork")  # which starts at once
    for _ in range(15):
        fetching = context.Process(target=fetch_source, args=(source, downloads, lock, out))
        fetching.start()
        time.sleep(rng.uniform(0, 0.2))
        fetching.kill()
        fetching.join()
        if out.exists():  # whole, as everything that is renamed when it is ready
            break
    else:
        fetch_source(source, downloads, lock, out)
    assert files_in(out) == MEMBERS
    assert lock.exists() == (not published)
    kept = f"atomic-{source.key}"
    assert {path.name for path in downloads.iterdir()} == {kept}
    note = set() if published else {f".{out.name}.sha256"}
    assert {path.name for path in out.parent.iterdir()} == {out.name, *note}
