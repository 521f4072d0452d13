"""Where the facts of a run were found: by what it says itself, whatever else lies around."""

import json
import os
from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of, write_json
from kformer.io.output_names import INDEX_DESCRIPTION, RunFolder
from kformer.retrieval.index import Shard, count_words, index_words
from kformer.retrieval.retrieve import list_events, retrieve
from kformer.retrieval.settings import Retrieval
from kformer.study.facts_of_run import facts_of_run

RUN = RunFolder(Path("results/mine/runs/kformer/seed-1"))
SHARED = Path("results/shared")
FACTS = SHARED / "facts" / "demo-1" / "facts.parquet"


@pytest.fixture(autouse=True)
def facts(tmp_path, monkeypatch, tiny_tables):
    monkeypatch.chdir(tmp_path)
    for key in ("a-other", "demo-1"):
        FACTS.parents[1].joinpath(key).mkdir(parents=True)
    FACTS.write_bytes((tiny_tables / "facts.parquet").read_bytes())
    (FACTS.parents[1] / "a-other" / "facts.parquet").write_bytes(b"another one")
    RUN.path.mkdir(parents=True)


def index(key, settings=None, table=FACTS, shards=1):
    """Indexes in so many shards; returns their folders."""
    settings, parts = settings or Retrieval(), [Shard(n, shards) for n in range(1, shards + 1)]
    counts = [Path(f"{part.number}.json") for part in parts]
    for part, file in zip(parts, counts, strict=True):
        count_words(settings, table, part, file)
    folders = [SHARED / "index" / key / f"{part.number}-of-{shards}" for part in parts]
    for part, folder in zip(parts, folders, strict=True):
        index_words(settings, table, folder, part, counts)
    return folders


def found(questions, settings, indexes):
    """What is found for a run whose facts were retrieved so."""
    table = SHARED / "retrieval" / "bm25-1" / "retrieval.parquet"
    retrieve(settings, questions, FACTS, indexes, table)
    plan = Path("results/mine/plans/kformer-1.json")
    write_json(plan, {"tables": {"retrieval": str(table)}})
    return facts_of_run(RUN, sha256_of(plan))


@pytest.fixture
def questions(tiny_tables):
    return tiny_tables / "questions.parquet"


def test_the_index_is_the_one_of_its_settings(questions):
    stemming = Retrieval(words={"stemming": True}, top_k=4, query="choice")
    index("words-1")
    folders = index("words-2", stemming)
    index("words-3", Retrieval(words={"stop_words": True}))
    assert found(questions, stemming, folders) == (stemming, FACTS, folders)


def test_all_shards_of_one_index_are_searched(questions):
    folders = index("words-1", shards=3)
    assert found(questions, Retrieval(), folders).indexes == folders
    (folders[1] / INDEX_DESCRIPTION).unlink()
    with pytest.raises(KformerError, match=r"the index of words of .* is missing"):
        facts_of_run(RUN, sha256_of(Path("results/mine/plans/kformer-1.json")))
    again = index("words-1")
    assert found(questions, Retrieval(), again).indexes == again


def test_of_two_that_fit_the_newest_is_searched(questions):
    older, newer = index("words-z"), index("words-a")
    os.utime(older[0] / INDEX_DESCRIPTION, (1, 1))
    assert found(questions, Retrieval(), older).indexes == newer


def test_an_index_of_events_is_no_index_of_facts(questions):
    events = FACTS.with_name("events-1.parquet")
    list_events(FACTS, events)
    of_facts, of_events = index("words-1"), index("words-2", table=events)
    assert found(questions, Retrieval(), of_facts).indexes == of_facts
    assert found(questions, Retrieval(events=9), of_events).indexes == of_events


def test_indexes_of_other_versions_are_left_out(questions):
    folders = index("words-1")
    (other,) = index("words-2")
    description = other / INDEX_DESCRIPTION
    content = json.loads(description.read_text())
    description.write_text(json.dumps(content | {"version": 1}))
    assert found(questions, Retrieval(), folders).indexes == folders


def test_a_method_without_an_index_needs_none(questions):
    settings = Retrieval(method="rank_bm25", top_k=2)
    assert found(questions, settings, []) == (settings, FACTS, [])


def test_a_run_that_reads_no_facts_has_none():
    plan = Path("results/mine/plans/kformer-1.json")
    write_json(plan, {"tables": {}})
    with pytest.raises(KformerError, match="reads no facts"):
        facts_of_run(RUN, sha256_of(plan))


@pytest.mark.parametrize("path", ["/", "/seed-1", "seed-1", "a/b/c/d/e/seed-1", "odd name"])
def test_a_folder_that_lies_in_no_study_is_refused(path):
    with pytest.raises(KformerError, match=r"lies in no study|the folder of a run is called"):
        facts_of_run(RunFolder(Path(path)), "")
