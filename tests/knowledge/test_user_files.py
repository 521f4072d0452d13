"""Knowledge of one's own: JSON lines, tab-separated values, running text and lines of text."""

import bz2
import gzip
import json
import lzma
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.knowledge.user_files import JsonlFacts, TsvFacts, TxtFacts

JSONL, TSV, TXT = JsonlFacts(path="."), TsvFacts(path="."), TxtFacts(path=".")
LINES = TxtFacts(path=".", unit="line")
TRIPLE = {"head": "car", "relation": "IsA", "tail": "vehicle"}


def lines(*rows):
    return "\n".join(
        row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows
    )


@pytest.fixture(scope="session")
def facts(folder_of, build):
    """The facts of one file."""

    def read(reader, content, name):
        rows, _ = build(reader, folder_of({name: content}))
        return [(row["text"], row["relation"], row["origin"]) for row in rows]

    return read


@pytest.fixture(scope="session")
def refusal(facts):
    def refused(reader, content, name):
        with pytest.raises(KformerError) as caught:
            facts(reader, content, name)
        return str(caught.value)

    return refused


class TestJsonLines:
    def test_hold_texts_and_triples(self, facts):
        content = lines(
            {"text": " Krez hat einen Käfer. ", "relation": " pet", "origin": "page 3"},
            "",
            {"text": "Rain.", "more": [1], "head": None, "relation": None, "tail": None},
            TRIPLE | {"head": " a car. "},
            TRIPLE | {"relation": "is_made_of", "tail": "{steel}", "origin": "me"},
        )
        assert facts(JSONL, content, "pets.jsonl") == [
            ("Krez hat einen Käfer.", "pet", "page 3"),
            ("Rain.", None, "pets.jsonl:3"),
            ("A car is a kind of vehicle.", "IsA", "a car."),
            ("Car is made of {steel}.", "is_made_of", "me"),
        ]

    def test_write_triples_by_templates_of_ones_own(self, facts):
        own = JsonlFacts(path=".", templates={"IsA": "{tail}: {head}"})
        assert facts(own, lines(TRIPLE), "a.jsonl")[0][0] == "Vehicle: car"

    def test_may_start_with_a_byte_order_mark_and_have_windows_line_ends(self, facts):
        content = '\ufeff{"text": "a"}\r\n\r\n{"text": "b"}'
        assert [text for text, _, _ in facts(JSONL, content, "a.jsonl")] == ["a", "b"]

    @pytest.mark.parametrize(
        ("row", "what"),
        [
            ("{", "not valid JSON"),
            ("[]", "not a JSON object"),
            ({}, "give either text, or head, relation and tail"),
            ({"relation": "IsA"}, "give either text, or head, relation and tail"),
            (TRIPLE | {"text": "A car."}, "give either text, or head, relation and tail"),
            ({"text": "A car.", "tail": "x"}, "give either text, or head, relation and tail"),
            ({"head": "car"}, "a triple has head, relation and tail; relation, tail is missing"),
            ({"tail": "car", "relation": "IsA"}, "relation and tail; head is missing"),
            (TRIPLE | {"relation": None}, "relation and tail; relation is missing"),
            ({"text": " "}, "text: must not be empty"),
            ({"text": 3}, "text: Input should be a valid string (not 3)"),
            ({"text": "a", "relation": ""}, "relation: must not be empty"),
            (TRIPLE | {"tail": float("nan")}, "tail: Input should be a valid string (not nan)"),
            ({"text": "a", "origin": 1}, "origin: "),
        ],
    )
    def test_that_hold_something_else_are_refused_by_the_line(self, refusal, row, what):
        message = refusal(JSONL, lines({"text": "fine"}, "", row), "a.jsonl")
        assert "/a.jsonl:3: " in message
        assert what in message


class TestTabSeparatedValues:
    def test_are_triples_where_there_are_three_columns(self, facts):
        content = '\ufeffcar\tIsA\t"vehicle"\r\n\r\n café \tAtLocation\t street\nrain\tis_like\tsun'
        assert facts(TSV, content, "a.tsv") == [
            ('Car is a kind of "vehicle".', "IsA", "car"),
            ("Café is found at street.", "AtLocation", "café"),
            ("Rain is like sun.", "is_like", "rain"),
        ]

    def test_are_texts_where_there_is_one_column(self, facts):
        assert facts(TSV, 'A "car".\n \nRain.\n', "a.tsv") == [
            ('A "car".', None, "a.tsv:1"),
            ("Rain.", None, "a.tsv:3"),
        ]

    def test_may_have_a_header_in_any_case_and_order(self, facts):
        content = (
            "Tail\tRelation\tnote\tHEAD\tOrigin\nvehicle\tIsA\t!\tcar\tpage 3\nx\tIsA\t\ty\t\n"
        )
        assert facts(TSV, content, "a.tsv") == [
            ("Car is a kind of vehicle.", "IsA", "page 3"),
            ("Y is a kind of x.", "IsA", "y"),
        ]
        content = "text\trelation\nRain.\t\nA car.\tpet\n"
        assert facts(TSV, content, "a.tsv") == [
            ("Rain.", None, "a.tsv:2"),
            ("A car.", "pet", "a.tsv:3"),
        ]

    def test_have_a_header_a_file(self, folder_of, build):
        place = folder_of({"a.tsv": "text\nA.", "b.tsv": "B.", "c.tsv": "x\tIsA\ty"})
        rows, _ = build(TSV, place)
        assert [row["text"] for row in rows] == ["A.", "B.", "X is a kind of y."]

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            ("car\tIsA\tx\ncar\tIsA", ":2: 2 columns, expected 3 (head, relation, tail) with tabs"),
            ("car\tIsA\tx\ncar\tIsA\tx\t0.5", ":2: 4 columns, expected 3 (head, relation, tail)"),
            ("car\tIsA", ":1: 2 columns, expected 3 (head, relation, tail)"),
            ("Rain.\nA\tcar.", ":2: 2 columns, expected 1 (text)"),
            ("text\torigin\nRain.", ":2: 1 columns, expected 2 (text, origin)"),
            ("car\tIsA\t", ":1: a triple has head, relation and tail; tail is missing"),
            ("\tIsA\tx", ":1: a triple has head, relation and tail; head is missing"),
            ("text\torigin\n\there", ":2: give either text, or head, relation and tail"),
            (b"fine\n\xff\n", ":2: not UTF-8"),
        ],
    )
    def test_with_a_line_that_does_not_fit_are_refused_by_it(self, refusal, content, what):
        assert f"/a.tsv{what}" in refusal(TSV, content, "a.tsv")


class TestText:
    def test_is_split_into_passages(self, facts):
        reader = TxtFacts(path=".", words=4, overlap=0)
        content = "Gout\n\nIt hurts\na lot. Really.\n\nDoes it? Yes.\n"
        assert facts(reader, content, "book.v1.txt") == [
            ("Gout: It hurts a lot.", None, "book.v1 2"),
            ("Gout: Really. Does it? Yes.", None, "book.v1 2-3"),
        ]

    def test_may_be_a_fact_a_line(self, facts):
        content = "\ufeffGout\r\n\r\n It hurts.  A lot.\nGout\nÉlan"
        assert facts(LINES, content, "book.txt") == [
            ("Gout", None, "book 1"),
            ("It hurts.  A lot.", None, "book 3"),
            ("Élan", None, "book 5"),
        ]

    @pytest.mark.parametrize("reader", [TXT, LINES])
    def test_that_is_not_utf8_is_refused_by_its_line(self, refusal, reader):
        assert "/a.txt:2: not UTF-8" in refusal(reader, b"fine\n\xff\n", "a.txt")

    def test_is_read_in_one_of_these_units(self):
        with pytest.raises(ValidationError, match="unit"):
            TxtFacts(path=".", unit="sentence")


KINDS = [
    pytest.param(JSONL, "jsonl", '{"text": "One."}', id="jsonl"),
    pytest.param(TSV, "tsv", "One.", id="tsv"),
    pytest.param(TXT, "txt", "One.", id="txt"),
    pytest.param(LINES, "txt", "One.", id="lines"),
]


@pytest.mark.parametrize(("reader", "suffix", "content"), KINDS)
class TestFiles:
    def test_of_a_folder_are_read_in_the_order_of_their_paths(
        self, folder_of, build, reader, suffix, content
    ):
        names = [f"b.{suffix}", f"a/2.{suffix}", f"a/10.{suffix}", f".c.{suffix}", "a.md"]
        place = folder_of({name: content.replace("One", name.replace(".", "-")) for name in names})
        rows, _ = build(reader, place)
        assert [row["text"] for row in rows] == [
            f"a/10-{suffix}.",
            f"a/2-{suffix}.",
            f"b-{suffix}.",
        ]

    @pytest.mark.parametrize(("module", "end"), [(gzip, "gz"), (bz2, "bz2"), (lzma, "xz")])
    def test_may_be_compressed(self, folder_of, build, reader, suffix, content, module, end):
        name = f"a.{suffix}.{end}"
        place = folder_of({name: module.compress(content.encode())})
        for where in (place, place / name):
            rows, _ = build(reader, where)
            assert [row["text"] for row in rows] == ["One."]

    def test_that_are_damaged_are_refused(self, folder_of, build, reader, suffix, content):
        place = folder_of({f"a.{suffix}.gz": gzip.compress(content.encode())[:-4]})
        with pytest.raises(KformerError, match=rf"a\.{suffix}\.gz: damaged after line"):
            build(reader, place)

    def test_that_are_empty_are_refused(self, folder_of, build, reader, suffix, content):
        place = folder_of({f"a.{suffix}": "\n \n"})
        with pytest.raises(KformerError, match=f"{place}: no facts at all"):
            build(reader, place)

    def test_of_another_kind_are_not_read(self, folder_of, build, reader, suffix, content):
        with pytest.raises(KformerError, match=rf"no \.{suffix}.* file below it"):
            build(reader, folder_of({"a.md": content}))


class TestName:
    def test_is_what_the_facts_are_called(self, folder_of, build):
        rows, counts = build(TxtFacts(path=".", name="my-book"), folder_of({"a.txt": "One."}))
        assert rows[0]["source"] == "my-book"
        assert counts["my-book_facts"] == 1

    def test_is_the_kind_where_none_is_given(self):
        assert [reader.label for reader in (JSONL, TSV, TXT)] == ["jsonl", "tsv", "txt"]

    def test_names_what_is_fetched(self):
        url = "https://x/y.zip"
        assert TSV.archive is None
        assert TsvFacts(url=url).archive == "tsv"
        assert TsvFacts(url=url, name="pets").archive == "pets"

    @pytest.mark.parametrize("name", ["", "a b", "../a", "-a"])
    def test_is_one_word(self, name):
        with pytest.raises(ValidationError, match="name"):
            TsvFacts(path=".", name=name)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain)
texts = st.text(min_size=1, max_size=8)
rows = st.fixed_dictionaries({"text": texts}, optional={"relation": texts, "origin": texts})
triples = st.fixed_dictionaries(dict.fromkeys(TRIPLE, texts), optional={"origin": texts})
broken = st.fixed_dictionaries({}, optional=dict.fromkeys([*TRIPLE, "text", "origin"], values))
json_lines = st.lists((rows | triples | broken).map(json.dumps), min_size=1, max_size=4)
table = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(
            texts | st.sampled_from(["text", *TRIPLE]), min_size=columns, max_size=columns
        ).map("\t".join),
        min_size=1,
        max_size=4,
    )
)
contents = st.binary(max_size=60) | (json_lines | table | st.lists(texts)).map(
    lambda each: "\n".join(each).encode(errors="surrogatepass")
)


@settings(max_examples=200, deadline=None)
@given(contents, st.sampled_from([JSONL, TSV, LINES, TxtFacts(path=".", words=2, overlap=1)]))
def test_any_content_gives_facts_or_our_error(folder_of, build, content, reader):
    with suppress(KformerError):
        build(reader, folder_of({f"a.{reader.source}": content}))
