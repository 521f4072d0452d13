"""The stage of facts: numbered without gaps, none twice."""

import pytest

from kformer.errors import KformerError
from kformer.io.tables import read_rows
from kformer.knowledge import build as building
from kformer.knowledge.build import build_facts
from kformer.knowledge.demo import DemoFacts
from kformer.knowledge.reader import Fact, KnowledgeReader
from kformer.knowledge.user_files import JsonlFacts, TsvFacts


def fact(text, **change):
    return {"text": text, "relation": None, "source": "demo", "origin": "here"} | change


class Other(DemoFacts):
    """A second source that reads as the demo does."""

    @property
    def label(self):
        return "other"


class Invented(KnowledgeReader):
    """A source of so many facts that are equal from the thirteenth on, which counts something."""

    source: str = "invented"
    facts: int

    def read(self, path, counts):
        counts["sides"] += 6
        for i in range(self.facts):
            yield Fact(f"text {i % 12}", None, f"{i}")


READERS = (DemoFacts(), Other())


@pytest.fixture
def table(tmp_path):
    return tmp_path / "out" / "facts.parquet"


@pytest.fixture
def build(folder_of, table):
    """Builds the table of the rows of some sources, or of lines that are none."""

    def run(*rows_of_sources, readers=READERS):
        folders = [folder_of({"facts.jsonl": rows}) for rows in rows_of_sources]
        return build_facts(readers[: len(folders)], folders, table)

    return run


@pytest.fixture
def build_tsv(tmp_path, table):
    """Builds the table of lines of triples; returns text, relation and origin of its facts."""

    def run(lines, **settings):
        path = tmp_path / "triples.tsv"
        path.write_text("\n".join(["head\trelation\ttail", *lines]))
        build_facts([TsvFacts(source="tsv", path=str(path), **settings)], [path], table)
        return written(table, "text", "relation", "origin")

    return run


def written(table, *columns):
    rows = read_rows(table, "facts")
    return [tuple(row[column] for column in columns) for row in rows]


def counts_of(source, read, dropped=0):
    counts = {"read": read, "duplicates": dropped, "facts": read - dropped}
    return {f"{source}_{what}": count for what, count in counts.items()}


def test_facts_are_numbered_in_order(build, table):
    rows = [fact("b"), fact("a", relation="pet"), fact("c", origin="there")]
    assert build(rows) == counts_of("demo", 3) | {"facts": 3, "duplicates_dropped": 0}
    numbered = [row | {"fact_id": number} for number, row in enumerate(rows)]
    assert list(read_rows(table, "facts")) == numbered
    before = table.read_bytes()
    build(rows)
    assert table.read_bytes() == before


def test_duplicates_are_dropped_across_sources_in_their_order(build, table):
    one, two = [fact("a"), fact("b")], [fact("c"), fact("b"), fact("d")]
    total = {"facts": 4, "duplicates_dropped": 1}
    assert build(one, two) == counts_of("demo", 2) | counts_of("other", 3, 1) | total
    assert written(table, "fact_id", "text", "source") == [
        *((0, "a", "demo"), (1, "b", "demo"), (2, "c", "other"), (3, "d", "other"))
    ]
    build(two, one, readers=(Other(), DemoFacts()))
    assert written(table, "text") == [("c",), ("b",), ("d",), ("a",)]


def test_one_of_several_sources_may_have_no_facts_but_not_all(build):
    total = {"facts": 1, "duplicates_dropped": 0}
    assert build([], [fact("c")]) == counts_of("demo", 0) | counts_of("other", 1) | total
    with pytest.raises(KformerError, match="no facts at all; check that the files of demo, other"):
        build([], [])


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("oops", "facts.jsonl:2: not valid JSON"),
        *((fact(text), "facts.jsonl:2: text: ") for text in (None, 3)),
        (fact("b", relation=3), "facts.jsonl:2: relation: "),
        ({"text": "b"}, "facts.jsonl:2: relation: Field required; origin: Field required"),
        *((fact(blank), "fact 2: text: must not be empty") for blank in ("  ", "\u00a0")),
    ],
)
def test_what_is_no_fact_is_refused_in_one_line_and_the_old_table_stays(build, table, row, problem):
    build([fact("old")])
    before = table.read_bytes()
    with pytest.raises(KformerError, match=rf"{problem}.*$"):
        build([fact("a"), row])
    assert [path.name for path in table.parent.iterdir()] == [table.name]
    assert table.read_bytes() == before


def test_a_fact_without_text_is_numbered_through_all_batches(build, monkeypatch):
    monkeypatch.setattr(building, "ROWS_PER_BATCH", 2)
    with pytest.raises(KformerError, match="fact 4: text:"):
        build([fact("a"), fact("b"), fact("c"), fact("\t"), "not reached"])


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u2003\u2028", "\x1c"])
def test_spaces_of_any_kind_around_a_text_are_stripped(build, table, blank):
    counts = build([fact("a"), fact(f"{blank}a{blank}", origin="later"), fact(f"b{blank}")])
    assert counts == counts_of("demo", 3, 1) | {"facts": 2, "duplicates_dropped": 1}
    columns = ("fact_id", "text", "origin")
    assert written(table, *columns) == [(0, "a", "here"), (1, "b", "here")]


@pytest.mark.parametrize("rows_per_batch", [1, 5, 12, 100])
def test_the_size_of_batches_changes_nothing(tmp_path, table, monkeypatch, rows_per_batch):
    monkeypatch.setattr(building, "ROWS_PER_BATCH", rows_per_batch)
    counts = build_facts([Invented(facts=40)], [tmp_path], table)
    assert counts == counts_of("invented", 40, 28) | {
        **{"invented_sides": 6, "facts": 12, "duplicates_dropped": 28}
    }
    assert written(table, "fact_id", "text", "origin") == [
        (i, f"text {i}", f"{i}") for i in range(12)
    ]


def test_what_is_dropped_is_logged_with_the_first_text(folder_of, build, table, caplog):
    build([fact("a"), fact("b")], [fact("c"), fact("b"), fact("a")])
    assert [record.getMessage() for record in caplog.records] == [
        "facts of other: 2 of 3 read like an earlier one, as those of 'x' and 'x.' do, and are "
        "dropped; the first of them is 'b'"
    ]
    caplog.clear()
    rows = ["cat\tIsA\tpet.", "cat\tIsA\tpet", "cat.\tIsA\tpet"]
    build_facts([TsvFacts(path=".")], [folder_of({"a.tsv": "\n".join(rows)})], table)
    assert "facts of tsv: 2 of 3 read like an earlier one" in caplog.text
    assert "the first of them is 'Cat is a kind of pet.'" in caplog.text


def test_templates_of_relations_that_do_not_occur_are_logged_and_counted(folder_of, table, caplog):
    sentence = "{head} of {tail}"
    own = TsvFacts(path=".", templates={"isA": sentence, "treats": sentence, "PartOf": sentence})
    folder = folder_of({"a.tsv": "cat\tIsA\tpet\nleg\tPartOf\tcat\n"})
    assert build_facts([own], [folder], table)["tsv_unused_templates"] == 2
    assert [record.getMessage() for record in caplog.records] == [
        "facts of tsv: templates: no fact has the relation 'isA'; there are: IsA, PartOf; is "
        "it IsA?",
        "facts of tsv: templates: no fact has the relation 'treats'; there are: IsA, PartOf",
    ]
    used = TsvFacts(path=".", templates={"IsA": sentence})
    assert build_facts([used], [folder], table)["tsv_unused_templates"] == 0


def test_tails_of_different_events_may_read_the_same(build_tsv):
    same, other = "Sam sings\txWant\tto rest", "Kim runs\txWant\tto rest"
    relation = "Sam sings\txNeed\tto rest."
    assert build_tsv([same, other, relation, same], written_as="tail") == [
        ("to rest", "xWant", "Sam sings"),
        ("to rest", "xWant", "Kim runs"),
        ("to rest", "xNeed", "Sam sings"),
    ]


def test_texts_that_are_no_triples_are_not_told_apart(folder_of, table):
    rows = [{"text": "Cats purr."}, {"text": "Cats purr."}]
    source = JsonlFacts(path=".", written_as="tail")
    assert build_facts([source], [folder_of({"facts.jsonl": rows})], table)["facts"] == 1


def test_a_full_stop_more_makes_no_other_event(build_tsv):
    lines = ["Sam sings\txWant\tto rest", "Sam sings.\txWant\tto rest."]
    assert build_tsv(lines, written_as="tail") == [("to rest", "xWant", "Sam sings")]
    assert build_tsv(["Sam\txWant\t..."], written_as="tail") == [("...", "xWant", "Sam")]


def test_templates_of_tails_are_refused():
    with pytest.raises(ValueError, match="templates: are not read with written_as: tail"):
        TsvFacts(path=".", written_as="tail", templates={"IsA": "{head}: {tail}"})
