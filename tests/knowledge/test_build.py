"""The stage of facts: numbered without gaps, none twice."""

import json

import pytest

from kformer.errors import KformerError
from kformer.io.tables import read_rows
from kformer.knowledge import build as table
from kformer.knowledge.atomic import Atomic
from kformer.knowledge.build import build_facts
from kformer.knowledge.demo import Demo
from kformer.knowledge.reader import Fact, KnowledgeReader


def fact(text, **change):
    return {"text": text, "relation": None, "source": "demo", "origin": "here"} | change


def folder_of(path, rows):
    path.mkdir(exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (path / "facts.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def build(tmp_path, rows):
    folder = folder_of(tmp_path / "data", rows)
    return build_facts([Demo()], [folder], tmp_path / "out" / "facts.parquet")


def written(tmp_path):
    return list(read_rows(tmp_path / "out" / "facts.parquet", "facts"))


def refused(tmp_path, rows):
    build(tmp_path, [fact("old")])
    before = (tmp_path / "out" / "facts.parquet").read_bytes()
    with pytest.raises(KformerError) as caught:
        build(tmp_path, rows)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["facts.parquet"]
    assert (tmp_path / "out" / "facts.parquet").read_bytes() == before
    message = str(caught.value)
    assert "\n" not in message
    return message


class Other(Demo):
    """A second source that reads as the demo does."""

    @property
    def label(self):
        return "other"


class Invented(KnowledgeReader):
    """A source of so many facts that are equal from the thirteenth on, which counts something."""

    source: str = "invented"
    facts: int

    def read(self, place, counts):
        counts["sides"] += 6
        for i in range(self.facts):
            yield Fact(f"text {i % 12}", None, f"{i}")


def counts_of(source, read, dropped=0):
    return {
        f"{source}_read": read,
        f"{source}_duplicates": dropped,
        f"{source}_facts": read - dropped,
    }


def test_facts_are_numbered_in_order(tmp_path):
    counts = build(tmp_path, [fact("b"), fact("a", relation="pet"), fact("c", origin="there")])
    assert counts == counts_of("demo", 3) | {"facts": 3, "duplicates_dropped": 0}
    assert written(tmp_path) == [
        fact("b", fact_id=0),
        fact("a", fact_id=1, relation="pet"),
        fact("c", fact_id=2, origin="there"),
    ]


def test_duplicates_are_dropped_and_counted_and_leave_no_gap(tmp_path):
    counts = build(tmp_path, [fact("a"), fact("b"), fact(" a ", origin="later"), fact("c")])
    assert counts == counts_of("demo", 4, 1) | {"facts": 3, "duplicates_dropped": 1}
    rows = written(tmp_path)
    assert [(row["fact_id"], row["text"]) for row in rows] == [(0, "a"), (1, "b"), (2, "c")]
    assert rows[0]["origin"] == "here"  # the first one stays


def test_duplicates_are_dropped_across_sources_in_their_order(tmp_path):
    one = folder_of(tmp_path / "one", [fact("a"), fact("b")])
    two = folder_of(tmp_path / "two", [fact("c"), fact("b"), fact("d")])
    counts = build_facts([Demo(), Other()], [one, two], tmp_path / "out" / "facts.parquet")
    assert counts == counts_of("demo", 2) | counts_of("other", 3, 1) | {
        "facts": 4,
        "duplicates_dropped": 1,
    }
    rows = [(row["fact_id"], row["text"], row["source"]) for row in written(tmp_path)]
    assert rows == [(0, "a", "demo"), (1, "b", "demo"), (2, "c", "other"), (3, "d", "other")]
    build_facts([Other(), Demo()], [two, one], tmp_path / "out" / "facts.parquet")
    assert [row["text"] for row in written(tmp_path)] == ["c", "b", "d", "a"]


def test_the_same_facts_give_the_same_bytes(tmp_path):
    build(tmp_path, [fact("a"), fact("b")])
    before = (tmp_path / "out" / "facts.parquet").read_bytes()
    build(tmp_path, [fact("a"), fact("b")])
    assert (tmp_path / "out" / "facts.parquet").read_bytes() == before


def test_the_facts_of_a_demo_world_are_all_there(tiny_world, tmp_path):
    counts = build_facts([Demo()], [tiny_world], tmp_path / "out" / "facts.parquet")
    assert counts == counts_of("demo", 96) | {"facts": 96, "duplicates_dropped": 0}
    assert [row["fact_id"] for row in written(tmp_path)] == list(range(96))


def test_no_facts_at_all_is_refused(tmp_path):
    message = refused(tmp_path, [])
    assert "no facts at all" in message
    assert str(tmp_path / "data") in message
    assert "demo" in message


def test_a_source_without_facts_beside_one_with_facts_is_no_error(tmp_path):
    folders = [folder_of(tmp_path / "one", []), folder_of(tmp_path / "two", [fact("c")])]
    counts = build_facts([Demo(), Other()], folders, tmp_path / "out" / "facts.parquet")
    assert counts == counts_of("demo", 0) | counts_of("other", 1) | {
        "facts": 1,
        "duplicates_dropped": 0,
    }


def test_a_malformed_line_is_refused_by_file_and_line(tmp_path):
    message = refused(tmp_path, [fact("a"), "oops"])
    assert f"{tmp_path / 'data' / 'facts.jsonl'}:2: not valid JSON" in message


def test_a_source_whose_files_are_missing_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(KformerError) as caught:
        build_facts([Atomic()], [tmp_path / "empty"], tmp_path / "out" / "facts.parquet")
    assert str(tmp_path / "empty") in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


def test_a_fact_without_text_is_refused_by_its_number(tmp_path):
    assert "fact 2: text: must not be empty" in refused(tmp_path, [fact("a"), fact("  ")])


@pytest.mark.parametrize("row", [{"source": "demo", "origin": "o"}, fact(None), fact(3)])
def test_a_fact_whose_text_is_no_text_is_refused(tmp_path, row):
    refused(tmp_path, [row])


def test_a_value_that_is_no_text_is_refused_by_its_line(tmp_path):
    rows = [fact("a"), fact("b", relation=3)]
    assert f"{tmp_path / 'data'}/facts.jsonl:2: relation: Input should be a valid string" in (
        refused(tmp_path, rows)
    )


def test_a_fact_without_text_is_numbered_through_all_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "ROWS_PER_BATCH", 2)
    assert "fact 4: text:" in refused(tmp_path, [fact("a"), fact("b"), fact("c"), fact("\t")])


@pytest.mark.parametrize("blank", ["\u00a0", "\u2003\u2028", "\x1c"])
def test_spaces_of_any_kind_around_a_text_are_no_part_of_it(tmp_path, blank):
    counts = build(tmp_path, [fact("a"), fact(f"{blank}a{blank}"), fact(f"b{blank}")])
    assert counts["duplicates_dropped"] == 1
    assert [row["text"] for row in written(tmp_path)] == ["a", "b"]
    assert "fact 1: text: must not be empty" in refused(tmp_path, [fact(blank)])


def test_what_a_reader_counts_is_told_under_its_label(tmp_path):
    counts = build_facts([Invented(facts=3)], [tmp_path], tmp_path / "out" / "facts.parquet")
    assert counts["invented_sides"] == 6


@pytest.mark.parametrize("rows_per_batch", [1, 5, 12, 100])
def test_the_size_of_batches_changes_nothing(tmp_path, monkeypatch, rows_per_batch):
    monkeypatch.setattr(table, "ROWS_PER_BATCH", rows_per_batch)
    counts = build_facts([Invented(facts=40)], [tmp_path], tmp_path / "out" / "facts.parquet")
    assert counts["facts"] == 12
    assert counts["invented_read"] == 40
    rows = [(row["fact_id"], row["text"], row["origin"]) for row in written(tmp_path)]
    assert rows == [(i, f"text {i}", f"{i}") for i in range(12)]


def test_a_batch_is_all_that_is_read_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "ROWS_PER_BATCH", 2)
    message = refused(tmp_path, [fact("a"), fact(" "), "not reached"])
    assert "fact 2" in message
