"""The user's own knowledge: JSON lines, tables, Parquet, running text and lines of text."""

import gzip

import pytest
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.knowledge.user_files import CsvFacts, JsonlFacts, ParquetFacts, TsvFacts, TxtFacts

JSONL, TSV, TXT = JsonlFacts(path="."), TsvFacts(path="."), TxtFacts(path=".")
CSV = CsvFacts(path=".")
LINES = TxtFacts(path=".", unit="line")
TRIPLE = {"head": "car", "relation": "IsA", "tail": "vehicle"}
NEITHER = [{}, {"relation": "IsA"}, TRIPLE | {"text": "A car."}, {"text": "A car.", "tail": "x"}]


@pytest.fixture(scope="session")
def facts(folder_of, build):
    """The facts of one file, called ``a`` with the format that is read."""

    def read(reader, content):
        rows, _ = build(reader, folder_of({f"a{reader.suffixes[0]}": content}))
        return [(row["text"], row["relation"], row["origin"]) for row in rows]

    return read


@pytest.fixture(scope="session")
def refusal(facts):
    def refused(reader, content):
        with pytest.raises(KformerError) as caught:
            facts(reader, content)
        return str(caught.value)

    return refused


class TestJsonLines:
    def test_hold_texts_and_triples(self, facts):
        content = [
            {"text": " Krez hat einen Käfer. ", "relation": " pet", "origin": "page 3"},
            "",
            {"text": "Rain.", "more": [1], "head": None, "relation": None, "tail": None},
            TRIPLE | {"head": " a car. "},
            TRIPLE | {"relation": "is_made_of", "tail": "{steel}", "origin": "me"},
        ]
        assert facts(JSONL, content) == [
            ("Krez hat einen Käfer.", "pet", "page 3"),
            ("Rain.", None, "a.jsonl:3"),
            ("A car is a kind of vehicle.", "IsA", "a car."),
            ("Car is made of {steel}.", "is_made_of", "me"),
        ]
        own = JsonlFacts(path=".", templates={"IsA": "{tail}: {head}"})
        assert facts(own, [TRIPLE])[0][0] == "Vehicle: car"

    @pytest.mark.parametrize(
        ("row", "what"),
        [
            ("{", "not valid JSON"),
            *((row, "give either text, or head, relation and tail") for row in NEITHER),
            ({"head": "car"}, "a triple has head, relation and tail; relation, tail is missing"),
            ({"tail": "car", "relation": "IsA"}, "head is missing"),
            (TRIPLE | {"relation": None}, "relation is missing"),
            ({"text": " "}, "text: must not be empty"),
            ({"text": 3}, "text: "),
            ({"text": "a", "relation": ""}, "relation: "),
            (TRIPLE | {"tail": float("nan")}, "tail: "),
            ({"text": "a", "origin": 1}, "origin: "),
        ],
    )
    def test_that_hold_something_else_are_refused_by_the_line(self, refusal, row, what):
        message = refusal(JSONL, [{"text": "fine"}, "", row])
        assert "/a.jsonl:3: " in message
        assert what in message


class TestFieldsNamedAsInHeaders:
    @pytest.mark.parametrize(
        "names",
        [
            *(("subject", "predicate", "object"), ("head", "rel", "tail"), ("s", "p", "o")),
            *(
                ("node1", "relation", "node2"),
                ("Head", "Relation", "Tail"),
                ("arg1", "rel", "arg2"),
            ),
        ],
    )
    @pytest.mark.parametrize("reader", [JSONL, ParquetFacts(path=".")])
    def test_make_the_facts_that_tables_make(self, facts, reader, names):
        row = dict(zip(names, TRIPLE.values(), strict=True)) | {"Origin": "page 3"}
        expected = facts(CSV, [",".join(row), ",".join(row.values())])
        assert facts(reader, [row]) == expected == [("Car is a kind of vehicle.", "IsA", "page 3")]

    @pytest.mark.parametrize("reader", [JSONL, ParquetFacts(path=".")])
    def test_are_refused_beside_a_text_that_they_may_be_about(self, facts, refusal, reader):
        row = {"passage": "Rain.", "source": "wiki", "target": "kids", "type": "IsA"}
        message = refusal(reader, [row])
        assert (
            ":1: is the text (passage) the fact, or the triple (source, type, target)?" in message
        )
        assert facts(reader, [row | {"passage": None}])[0][0] == "Wiki is a kind of kids."
        own = type(reader)(path=".", columns={"text": "passage"})
        assert facts(own, [row])[0][0] == "Rain."

    def test_may_differ_from_line_to_line(self, facts):
        triple = {"subject": "car", "predicate": "isa", "object": "vehicle", "text": None}
        text = {"text": "Rain.", "subject": None, "predicate": None, "object": None}
        assert facts(JSONL, [triple, text, TRIPLE | {"head": "bus"}]) == [
            ("Car is a kind of vehicle.", "IsA", "car"),
            ("Rain.", None, "a.jsonl:2"),
            ("Bus is a kind of vehicle.", "IsA", "bus"),
        ]

    def test_are_not_read_where_there_is_a_text_or_a_triple(self, facts):
        others = {"subject": "x", "predicate": "y", "object": "z", "rel": "r", "sentence": "S."}
        assert facts(JSONL, [others | {"text": "Rain."}]) == [("Rain.", None, "a.jsonl:1")]
        assert facts(JSONL, [others | TRIPLE])[0][0] == "Car is a kind of vehicle."

    @pytest.mark.parametrize(
        ("row", "what"),
        [
            ({"subject": "a", "predicate": "b", "object": None}, "tail is missing"),
            ({"subject": "a", "object": "b"}, "; there are: object, subject"),
            ({"subject": 3, "predicate": "b", "object": "c"}, "head: "),
            ({"sentence": "A."}, "; there are: sentence"),
            ({"s": "a", "p": "b", "o": "c", "Id": 1, "id": 2}, "the column 'id' is there twice"),
        ],
    )
    def test_that_hold_no_fact_are_refused_by_the_line(self, refusal, row, what):
        message = refusal(JSONL, [{"text": "fine"}, row])
        assert "/a.jsonl:2: " in message
        assert what in message


class TestTabSeparatedValues:
    def test_are_triples_where_there_are_three_columns(self, facts):
        content = '\ufeffcar\tIsA\t"vehicle"\r\n\r\n café \tAtLocation\t street\nrain\tis_like\tsun'
        assert facts(TSV, content) == [
            ('Car is a kind of "vehicle".', "IsA", "car"),
            ("Café is found at street.", "AtLocation", "café"),
            ("Rain is like sun.", "is_like", "rain"),
        ]

    def test_are_texts_where_there_is_one_column(self, facts):
        expected = [('A "car".', None, "a.tsv:1"), ("Rain.", None, "a.tsv:3")]
        assert facts(TSV, 'A "car".\n \nRain.\n') == expected

    def test_may_have_a_header_in_any_case_and_order(self, facts):
        header = "Tail\tRelation\tnote\tHEAD\tOrigin"
        assert facts(TSV, [header, "vehicle\tIsA\t!\tcar\tpage 3", "x\tIsA\t\ty\t"]) == [
            ("Car is a kind of vehicle.", "IsA", "page 3"),
            ("Y is a kind of x.", "IsA", "y"),
        ]
        assert facts(TSV, "text\trelation\nRain.\t\nA car.\tpet\n") == [
            ("Rain.", None, "a.tsv:2"),
            ("A car.", "pet", "a.tsv:3"),
        ]

    def test_have_a_header_a_file(self, folder_of, build):
        folder = folder_of({"a.tsv": "text\nA.", "b.tsv": "B.", "c.tsv": "x\tIsA\ty"})
        rows, _ = build(TSV, folder)
        assert [row["text"] for row in rows] == ["A.", "B.", "X is a kind of y."]

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            ("car\tIsA\tx\ncar\tIsA", ":2: 2 columns, expected 3 (head, relation, tail)"),
            ("car\tIsA", ":1: 2 columns, expected 3"),
            ("Rain.\nA\tcar.", ":2: 2 columns, expected 1 (text)"),
            ("text\torigin\nRain.", ":2: 1 columns, expected 2 (text, origin)"),
            ("car\tIsA\t", ":1: a triple has head, relation and tail; tail is missing"),
            ("text\torigin\n\there", ":2: give either text, or head, relation and tail"),
            (b"fine\n\xff\n", ":2: not UTF-8"),
        ],
    )
    def test_with_a_line_that_does_not_fit_are_refused_by_it(self, refusal, content, what):
        assert f"/a.tsv{what}" in refusal(TSV, content)


def test_csv_has_a_header_and_quotes(facts):
    assert facts(CSV, 'Text,Origin\n"A car, red.",page 3\nRain.,\n') == [
        ("A car, red.", None, "page 3"),
        ("Rain.", None, "a.csv:3"),
    ]


def test_parquet_has_rows_like_json_lines(facts):
    assert facts(ParquetFacts(path="."), [TRIPLE | {"text": None}, {"text": "Rain."}]) == [
        ("Car is a kind of vehicle.", "IsA", "car"),
        ("Rain.", None, "a.parquet:2"),
    ]


COLUMNS = {"head": "drug.name", "relation": "effect", "tail": "disease", "origin": "study"}
ROW = {"drug.name": "zinc", "effect": "treats", "disease": "colds", "study": "S1"}


class TestColumns:
    @pytest.mark.parametrize(
        ("reader", "content"),
        [
            *((JsonlFacts, [ROW]), (ParquetFacts, [ROW])),
            (CsvFacts, [",".join(ROW), ",".join(ROW.values())]),
            (TsvFacts, ["\t".join(ROW), "\t".join(ROW.values())]),
        ],
    )
    def test_say_which_field_is_what(self, facts, reader, content):
        own = reader(path=".", columns=COLUMNS)
        assert facts(own, content) == [("Zinc treats colds.", "treats", "S1")]

    def test_lead_into_objects_and_leave_out_what_is_null(self, facts):
        row = {"fact": {"text": "Rain."}, "head": "no triple", "origin": {"page": 3}}
        reader = JsonlFacts(path=".", columns={"text": "fact.text", "head": None, "origin": None})
        assert facts(reader, [row]) == [("Rain.", None, "a.jsonl:1")]

    @pytest.mark.parametrize(("reader", "tab"), [(CsvFacts, ","), (TsvFacts, "\t")])
    def test_have_usual_names_in_any_case_as_a_table_without_them(self, facts, reader, tab):
        content = [tab.join(["HEAD", "effect", "Tail"]), tab.join(["zinc", "treats", "colds"])]
        own = reader(path=".", columns={"relation": "effect"})
        assert facts(own, content) == [("Zinc treats colds.", "treats", "zinc")]

    @pytest.mark.parametrize(("reader", "tab"), [(CsvFacts, ","), (TsvFacts, "\t")])
    def test_that_are_there_twice_are_refused(self, refusal, reader, tab):
        message = refusal(reader(path=".", columns={"text": "t"}), f"T{tab}t\nx{tab}y\n")
        assert ":1: the column 't' is there twice" in message

    @pytest.mark.parametrize(
        ("reader", "content"), [(JsonlFacts, [{"fact": "Rain."}]), (TsvFacts, "fact\nRain.\n")]
    )
    def test_that_are_missing_are_named(self, refusal, reader, content):
        message = refusal(reader(path=".", columns={"text": "text_en"}), content)
        assert message.endswith(": no column 'text_en'; there are: fact")


def test_text_is_split_into_passages(folder_of, build):
    content = "Gout\n\nIt hurts\na lot. Really.\n\nDoes it? Yes.\n"
    rows, _ = build(TxtFacts(path=".", words=4, overlap=0), folder_of({"book.v1.txt": content}))
    assert [(row["text"], row["origin"]) for row in rows] == [
        ("Gout: It hurts a lot.", "book.v1 2"),
        ("Gout: Really. Does it? Yes.", "book.v1 2-3"),
    ]


def test_text_may_be_a_fact_a_line(folder_of, build):
    content = "\ufeffGout\r\n\r\n It hurts.  A lot.\nGout\nÉlan"
    rows, _ = build(LINES, folder_of({"book.txt": content}))
    assert [(row["text"], row["origin"]) for row in rows] == [
        *(("Gout", "book 1"), ("It hurts.  A lot.", "book 3"), ("Élan", "book 5"))
    ]


@pytest.mark.parametrize("reader", [TXT, LINES])
def test_text_that_is_not_utf8_is_refused_by_its_line(folder_of, build, reader):
    with pytest.raises(KformerError, match=r"/a\.txt:2: not UTF-8"):
        build(reader, folder_of({"a.txt": b"fine\n\xff\n"}))


KINDS = [
    *((JSONL, "jsonl", '{"text": "One."}'), (TSV, "tsv", "One."), (CSV, "csv", "text\nOne.")),
    *((TXT, "txt", "One."), (LINES, "txt", "One.")),
]


@pytest.mark.parametrize(("reader", "suffix", "content"), KINDS)
class TestFiles:
    def test_of_a_folder_are_read_in_the_order_of_their_paths(
        self, folder_of, build, reader, suffix, content
    ):
        names = [f"b.{suffix}", f"a/2.{suffix}", f"a/10.{suffix}", f".c.{suffix}", "a.md"]
        folder = folder_of({name: content.replace("One", name.replace(".", "-")) for name in names})
        expected = [f"{name}-{suffix}." for name in ("a/10", "a/2", "b")]
        assert [row["text"] for row in build(reader, folder)[0]] == expected

    def test_may_be_compressed_and_named_themselves(
        self, folder_of, build, reader, suffix, content
    ):
        name = f"a.{suffix}.gz"
        folder = folder_of({name: gzip.compress(content.encode())})
        for path in (folder, folder / name):
            assert [row["text"] for row in build(reader, path)[0]] == ["One."]

    def test_that_are_empty_or_of_another_kind_are_refused(
        self, folder_of, build, reader, suffix, content
    ):
        with pytest.raises(KformerError, match=r": no facts at all|a\.csv: empty"):
            build(reader, folder_of({f"a.{suffix}": "\n \n"}))
        with pytest.raises(KformerError, match=rf"no \.{suffix}.* file below it"):
            build(reader, folder_of({"a.md": content}))


@pytest.mark.parametrize("reader", [JsonlFacts, TsvFacts, TxtFacts])
def test_files_that_are_fetched_by_name_are_all_of_the_format(folder_of, build, reader):
    fetched = reader(files={"a": "x", "b": "y"})
    folder = folder_of({f"a.{fetched.source}": "", "b.md": ""})
    with pytest.raises(KformerError, match=rf"^{folder}/b\.md: no \.{fetched.source}.* leave it"):
        build(fetched, folder)


class TestName:
    def test_is_what_the_facts_are_called(self, folder_of, build):
        rows, counts = build(TxtFacts(path=".", name="my-book"), folder_of({"a.txt": "One."}))
        assert (rows[0]["source"], counts["my-book_facts"]) == ("my-book", 1)

    def test_is_the_format_where_none_is_given_also_for_what_is_fetched(self):
        assert [reader.label for reader in (JSONL, TSV, TXT)] == ["jsonl", "tsv", "txt"]
        assert TSV.archive is None
        assert TsvFacts(url="https://x/y.zip").archive == "tsv"
        assert TsvFacts(url="https://x/y.zip", name="pets").archive == "pets"

    @pytest.mark.parametrize("name", ["demo", "my_questions"])
    @pytest.mark.parametrize("reader", [JsonlFacts, TxtFacts])
    def test_of_other_data_is_refused(self, reader, name):
        for address in ({"path": "."}, {"url": "https://x/y.zip"}):
            with pytest.raises(ValidationError, match=f"name: '{name}' is the name of other data"):
                reader(name=name, **address)

    def test_of_a_source_that_is_built_in_is_refused_for_what_is_fetched(self):
        assert TsvFacts(path=".", name="atomic").archive is None
        with pytest.raises(ValidationError, match="name: 'atomic' is a source that is built in"):
            TsvFacts(url="https://x/y.zip", name="atomic")

    @pytest.mark.parametrize("name", ["", "a b", "../a", "-a"])
    def test_is_one_word(self, name):
        with pytest.raises(ValidationError, match="name"):
            TsvFacts(path=".", name=name)


ODD, NORMAL = (
    "The ﬁrst re\u0301sume\u0301\u00a0of ulcera\u00adtion",
    "The first résumé of ulceration",
)


@pytest.mark.parametrize(
    ("reader", "content"),
    [
        (JSONL, [{"text": ODD, "relation": "re\u0301", "origin": ODD}]),
        (ParquetFacts(path="."), [{"text": ODD, "relation": "re\u0301", "origin": ODD}]),
        (CSV, f"text,relation,origin\n{ODD},re\u0301,{ODD}\n"),
    ],
)
def test_facts_are_in_normal_form(facts, reader, content):
    assert facts(reader, content) == [(NORMAL, "ré", NORMAL)]


@pytest.mark.parametrize(("reader", "end"), [(LINES, "\u200b\u00a0"), (TXT, "\ufeff"), (TSV, "")])
def test_texts_are_in_normal_form(folder_of, build, reader, end):
    rows, _ = build(reader, folder_of({f"a.{reader.source}": f"{ODD}\n{end}\n"}))
    assert [row["text"] for row in rows] == [NORMAL]


def test_facts_that_look_the_same_are_one(folder_of, build):
    rows, counts = build(LINES, folder_of({"a.txt": "résumé\nre\u0301sume\u0301\nre\u00adsume\n"}))
    assert [row["text"] for row in rows] == ["résumé", "resume"]
    assert counts["duplicates_dropped"] == 1


def test_text_without_spaces_is_not_split_into_passages(folder_of, build):
    path = folder_of({"a.txt": "血红蛋白使血液呈红色。\n\n胰岛素由胰腺分泌。\n"})
    message = r"a\.txt: 2 of 2 paragraphs without spaces .*\(Han: .* set unit: line"
    with pytest.raises(KformerError, match=message):
        build(TXT, path)
    assert len(build(LINES, path)[0]) == 2
