"""Tables of facts: which column is what, told by a header, by known relations or by the config."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kformer.config_section import in_one_line
from kformer.errors import KformerError
from kformer.knowledge.atomic2020 import Atomic2020
from kformer.knowledge.conceptnet import ConceptNet
from kformer.knowledge.triples import TEMPLATES
from kformer.knowledge.user_files import CsvFacts, JsonlFacts, ParquetFacts, TsvFacts, TxtFacts

TSV, CSV = TsvFacts(path="."), CsvFacts(path=".")
BOOK = {"head": "book", "relation": "AtLocation", "tail": "table"}
EAT = {"head": "eat breakfast", "relation": "HasPrerequisite", "tail": "make breakfast"}
SENTENCES = [
    ("Book is found at table.", "AtLocation", "book"),
    ("Eat breakfast requires make breakfast.", "HasPrerequisite", "eat breakfast"),
]
ORDERS = list(itertools.permutations(BOOK))


@pytest.fixture(scope="session")
def facts(folder_of, build):
    """The facts of one file: texts, relations and origins."""

    def read(reader, content, name=None):
        name = name or f"a{reader.suffixes[0]}"
        content = content if isinstance(content, str) else "\n".join(content)
        rows, _ = build(reader, folder_of({name: content}))
        return [(row["text"], row["relation"], row["origin"]) for row in rows]

    return read


@pytest.fixture(scope="session")
def refusal(facts):
    def refused(reader, content, name=None):
        with pytest.raises(KformerError) as caught:
            facts(reader, content, name)
        return str(caught.value)

    return refused


def lines(order, *triples, separator="\t"):
    return [separator.join(triple[role] for role in order) for triple in triples]


def treatments(order, count=6):
    """Triples of a relation without a template, whose heads and tails occur once."""
    made = (
        {"head": f"drug {i}", "relation": "treats", "tail": f"illness {i}"} for i in range(count)
    )
    return lines(order, *made)


class TestKnownRelations:
    @pytest.mark.parametrize(
        "order", [("relation", "head", "tail"), tuple(BOOK), ("head", "tail", "relation")]
    )
    @pytest.mark.parametrize("weights", [(), ("2.5", "1e-1")])
    def test_tell_the_column_of_relations(self, facts, order, weights):
        content = lines(order, BOOK, EAT)
        if weights:  # as ConceptNet's and CN-100K have them
            content = [f"{line}\t{weight}" for line, weight in zip(content, weights, strict=True)]
        assert facts(TSV, content) == SENTENCES

    @pytest.mark.parametrize("relation", sorted(TEMPLATES))
    def test_are_all_those_with_a_template(self, facts, relation):
        ((text, found, origin),) = facts(TSV, f"{relation}\tcat\tmouse\n")
        assert (found, origin) == (relation, "cat")
        assert text == TSV.sentence("cat", relation, "mouse")

    @pytest.mark.parametrize("relation", ["atlocation", "at location", "at_location", "ATLOCATION"])
    def test_may_be_written_in_other_ways(self, facts, relation):
        assert facts(TSV, f"{relation}\tbook\ttable\n") == SENTENCES[:1]

    def test_are_also_those_of_templates_in_the_config(self, facts):
        own = TsvFacts(path=".", templates={"treats": "{head} is for {tail}."})
        content = treatments(("relation", "head", "tail"))
        assert facts(own, content)[0] == ("Drug 0 is for illness 0.", "treats", "drug 0")

    def test_decide_where_most_rows_have_one(self, facts):
        content = [*lines(("relation", "head", "tail"), BOOK, EAT), "is_like\tcat\tdog"]
        assert facts(TSV, content)[-1][1:] == ("is_like", "cat")

    def test_come_with_weights_that_are_numbers(self, refusal):
        first, second = lines(BOOK, BOOK, EAT)
        assert ":1: 4 columns, expected 3 (" in refusal(TSV, f"{first}\t1\n{second}\tnone\n")


WEIGHED = [BOOK | {"weight": "0.5"}, EAT | {"weight": "-1.0"}]
NAMED = {"head": "head", "relation": "relation", "tail": "tail"}


class TestWeights:
    @pytest.mark.parametrize("weight", [0, -0.5, "0.0", "-1"])
    @pytest.mark.parametrize("columns", [None, NAMED])
    @pytest.mark.parametrize("key", ["weight", "Weight"])
    @pytest.mark.parametrize("reader", [JsonlFacts, ParquetFacts])
    def test_of_triples_that_are_not_true_are_refused(
        self, folder_of, build, reader, key, columns, weight
    ):
        own = reader(path=".", columns=columns)
        folder = folder_of({f"a{own.suffixes[0]}": [BOOK | {key: weight}]})
        with pytest.raises(KformerError, match=f":1: the weight {weight}, as of a triple that is"):
            build(own, folder)

    @pytest.mark.parametrize(("reader", "tab"), [(TsvFacts, "\t"), (CsvFacts, ",")])
    @pytest.mark.parametrize(
        ("columns", "header"),
        [
            *((None, "head relation tail weight"), (NAMED, "Head Relation Tail Weight")),
            *(([*BOOK, None], "head relation tail weight"), ([*BOOK, None], None)),
        ],
    )
    def test_in_tables_are_above_zero(self, refusal, reader, tab, columns, header):
        content = lines((*BOOK, "weight"), *WEIGHED, separator=tab)
        if header:
            content.insert(0, header.replace(" ", tab))
        message = refusal(reader(path=".", columns=columns), content)
        assert f":{len(content)}: the weight -1.0, as of a triple that is not true; rem" in message

    def test_that_say_nothing_about_truth_are_not_read(self, facts):
        for weight in ("high", None, [], 10**400, "1_000"):
            row = json.dumps(BOOK | {"weight": weight})
            assert facts(JsonlFacts(path="."), row) == SENTENCES[:1]
        assert facts(JsonlFacts(path="."), '{"text": "Rain.", "weight": 0}')[0][0] == "Rain."
        years = "head,relation,tail,year\nbook,AtLocation,table,-300\n"
        for columns in (None, NAMED, [*BOOK, None]):
            assert facts(CsvFacts(path=".", columns=columns), years) == SENTENCES[:1]
        short = CsvFacts(path=".", columns=[*BOOK, None])
        with pytest.raises(KformerError, match=":1: 3 columns, expected 4"):
            facts(short, "book,AtLocation,table\n")


class TestHeaders:
    NAMES = (
        *(("head", "relation", "tail"), ("Head", "REL", "Tail"), ("node1", "relation", "node2")),
        *(("subject", "predicate", "object"), ("start", "edge", "end"), ("s", "p", "o")),
        *(("head_entity", "relation type", "tail_entity"), (":START_ID", ":TYPE", ":END_ID")),
        *(("source", "relation", "target"), ("node1", "label", "node2"), ("subj", "pred", "obj")),
        *(("concept1", "rel", "concept2"), ("arg1", "relation", "arg2"), ("h", "r", "t")),
        *(("head_event", "relation", "tail_event"), ("event", "relation", "inference")),
    )

    @pytest.mark.parametrize("names", NAMES)
    @pytest.mark.parametrize(("reader", "separator"), [(TSV, "\t"), (CSV, ",")])
    def test_with_plain_names_in_any_order_are_understood(self, facts, reader, separator, names):
        for order in ORDERS:
            named = dict(zip(BOOK, names, strict=True))
            header = separator.join(named[role] for role in order)
            content = [header, *lines(order, BOOK, EAT, separator=separator)]
            assert facts(reader, content) == SENTENCES

    def test_may_name_more_columns_and_the_usual_names_win(self, facts):
        header = "id\tsource\tobject\tHead\trelation\ttail\tweight\tOrigin"
        content = [header, "7\tme\tx\tbook\tAtLocation\ttable\t0.5\tpage 3"]
        assert facts(TSV, content) == [(SENTENCES[0][0], "AtLocation", "page 3")]

    @pytest.mark.parametrize("name", ["sentence", "Sentence", "fact", "statement", "fact_text"])
    def test_of_texts_are_no_texts(self, facts, name):
        assert facts(TSV, [name, "Rain."]) == [("Rain.", None, "a.tsv:2")]
        assert facts(TSV, [f"id\t{name}", "1\tRain."]) == [("Rain.", None, "a.tsv:2")]
        assert facts(CSV, [f"{name},origin", "Rain.,me"]) == [("Rain.", None, "me")]

    @pytest.mark.parametrize(
        ("header", "rows"),
        [
            ("word\tlink\tother word", lines(BOOK, BOOK, EAT)),
            ("link\tword\tother", lines(("relation", "head", "tail"), BOOK, EAT)),
            ("word\tlink\tother", lines(BOOK, BOOK)),
            ("word\tlink\tother\tsure", [f"{line}\t1.5" for line in lines(BOOK, BOOK, EAT)]),
            ("drug\teffect\tillness", treatments(tuple(BOOK))),
            ("text\tbrings\twhat", treatments(tuple(BOOK))),
            ("concept\trelation\tvalue", ["zinc\ttreats\tcolds"]),
            ("concept\trelation\ttail\tsource", ["zinc\ttreats\tcolds\t1"]),
            ("Wissen", ["It rains.", "It is wet!", 'Why "so?"']),
        ],
    )
    def test_with_other_names_are_refused_not_taken_for_a_fact(self, refusal, header, rows):
        message = refusal(TSV, [header, *rows])
        shown = header.replace("\t", " | ")
        assert f"a.tsv:1: is {shown!r} a header? Then name its columns text, or head, re" in message

    def test_of_csv_are_needed(self, refusal):
        message = refusal(CSV, "cat,IsA,animal\ndog,IsA,animal\n")
        assert "a.csv:1: no column text, nor head, relation and tail, in the header 'cat" in message

    @pytest.mark.parametrize(("reader", "tab"), [(TSV, "\t"), (CSV, ",")])
    @pytest.mark.parametrize("text", ["text", "Sentence", "statement"])
    @pytest.mark.parametrize(
        ("names", "shown"),
        [
            (("source", "target", "type"), "source, type, target"),
            (("start", "end", "label"), "start, label, end"),
            (("id", "from", "to", "Type"), "from, Type, to"),
        ],
    )
    def test_of_a_text_and_what_may_say_where_it_is_from_are_refused(
        self, facts, refusal, reader, tab, text, names, shown
    ):
        content = [tab.join([text, *names]), tab.join(["Rain.", *"abcd"[: len(names)]])]
        message = refusal(reader, content)
        assert f":1: is the text ({text}) the fact, or the triple ({shown})? Say it with" in message
        for columns in ({"text": text}, ["text", *(None for _ in names)]):
            own = type(reader)(path=".", columns=columns)
            assert [fact for fact, *_ in facts(own, content)] == ["Rain."]

    @pytest.mark.parametrize("names", ["subject,predicate,object", "source,relation,target"])
    def test_of_a_text_beside_a_plain_triple_name_the_triple(self, facts, names):
        content = [f"{names},sentence", "book,AtLocation,table,Books lie on tables."]
        assert facts(CSV, content) == SENTENCES[:1]

    def test_are_not_facts_about_texts(self, facts):
        assert facts(TSV, "sentence\tPartOf\ttext\n")[0][0] == "Sentence is part of text."


class TestOrder:
    def test_of_columns_without_a_header_may_be_said(self, facts):
        content = treatments(("relation", "tail", "head"))
        own = TsvFacts(path=".", columns=["relation", "tail", "head"])
        assert facts(own, content)[0] == ("Drug 0 treats illness 0.", "treats", "drug 0")
        with_more = TsvFacts(path=".", columns=[None, "text", "origin", None])
        assert facts(with_more, "1\tRain.\tme\t\n") == [("Rain.", None, "me")]
        csv = CsvFacts(path=".", columns=["head", "relation", "tail"])
        assert facts(csv, lines(BOOK, BOOK, EAT, separator=",")) == SENTENCES

    def test_that_is_said_skips_a_header_that_says_the_same_and_refuses_another(
        self, facts, refusal
    ):
        own = TsvFacts(path=".", columns=["relation", "head", "tail"])
        rows = lines(own.columns, BOOK, EAT)
        assert facts(own, ["rel\tsubject\tobject", *rows]) == SENTENCES
        message = refusal(own, ["head\trelation\ttail", *rows])
        assert "a.tsv:1: the header 'head | relation | tail' says otherwise than col" in message
        texts = TsvFacts(path=".", columns=[None, "text"])
        assert facts(texts, "id\tsentence\n1\tRain.\n") == [("Rain.", None, "a.tsv:2")]
        assert "says otherwise than columns: column 1, text;" in refusal(texts, "text\tid\nA.\t1\n")

    @pytest.mark.parametrize(("reader", "tab"), [(TsvFacts, "\t"), (CsvFacts, ",")])
    @pytest.mark.parametrize(
        ("order", "header", "rows"),
        [
            (list(BOOK), ["Drug", "Effect", "Disease"], [f"{i} treats x" for i in "abcd"]),
            (list(BOOK), ["text", "brings", "what"], [f"{i} treats x" for i in "abcd"]),
            (["relation", "tail", "head"], ["how", "a", "b"], ["IsA a b", "PartOf c d"]),
            ([*BOOK, None], ["a", "b", "c", "score"], ["cat like dog 1", "dog like fox 2"]),
            (["origin", "text"], ["page", "Satz"], [f"{i} So{i}." for i in range(3)]),
        ],
    )
    def test_that_is_said_takes_no_header_of_other_names_for_a_fact(
        self, facts, refusal, reader, tab, order, header, rows
    ):
        own = reader(path=".", columns=order)
        content = [tab.join(header), *(row.replace(" ", tab) for row in rows)]
        shown = " | ".join(header)
        assert f":1: is {shown!r} a header? Then name its columns" in refusal(own, content)
        known = tab.join(name or "more" for name in order)
        assert len(facts(own, [known, *content])) == len(content)
        assert len(facts(own, [known, *content[1:]])) == len(content) - 1

    @pytest.mark.parametrize("line", ["zinc\ttreats\tcolds", "text\tis made of\tdrug 3"])
    def test_that_is_said_takes_a_first_line_like_the_others_for_a_fact(self, facts, line):
        own = TsvFacts(path=".", columns=["head", "relation", "tail"])
        first = facts(own, [line, *treatments(own.columns), "drug 3\tcalms\tdrug 3"])[0]
        assert first[1:] == (line.split("\t")[1], line.split("\t")[0])

    @pytest.mark.parametrize("order", [("relation", "head", "tail"), ("head", "tail", "relation")])
    def test_that_is_not_known_and_looks_wrong_is_refused_with_the_row_as_read(
        self, refusal, order
    ):
        row = treatments(order)[0].split("\t")
        shown = ", ".join(f"{role} {cell!r}" for role, cell in zip(BOOK, row, strict=True))
        message = refusal(TSV, treatments(order))
        assert f"a.tsv:1: read as {shown}, but there would be 6 different relations, " in message
        assert message.endswith("such as columns: [relation, head, tail]")

    def test_is_the_usual_one_where_relations_repeat_or_nothing_does(self, facts):
        assert facts(TSV, treatments(tuple(BOOK)))[0][1:] == ("treats", "drug 0")
        different = [f"thing {i}\tdoes so {i} times\tother {i}" for i in range(9)]
        assert facts(TSV, different)[0][1:] == ("does so 0 times", "thing 0")

    @pytest.mark.parametrize(
        ("columns", "problem"),
        [
            (["head", "rel", "tail"], "columns.1: Input should be 'text', 'head', 'relation', "),
            (["head", "relation"], "columns: name either text, or head, relation and tail"),
            (["head", "text", "tail"], "columns: name either text, or head, relation and tail"),
            (["head", "head", "tail"], "columns: a column is named twice"),
            ([], "columns: List should have at least 1 item"),
            ({"haed": "x"}, "columns.haed: unknown key"),
        ],
    )
    def test_that_makes_no_fact_is_refused(self, columns, problem):
        for reader in (TsvFacts, CsvFacts):
            with pytest.raises(ValidationError) as caught:
                reader(path=".", columns=columns)
            assert in_one_line(caught.value).startswith(problem)

    def test_is_only_for_tables(self):
        with pytest.raises(ValidationError, match="columns"):
            JsonlFacts(path=".", columns=["text"])


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("separator", "what"), [("|", "bars"), ("  ", "spaces"), ("   ", "spaces")]
    )
    def test_with_other_separators_are_refused(self, refusal, separator, what):
        message = refusal(TSV, lines(BOOK, BOOK, EAT, separator=separator))
        assert f"a.tsv:1: {what} separate its columns, not tabs; put tabs there" in message

    def test_whose_first_line_has_other_columns_than_most_are_refused(self, refusal):
        message = refusal(TSV, ["# the facts", *lines(BOOK, BOOK, EAT)])
        assert message.endswith("a.tsv:1: 1 columns, but most lines have 3; correct or remove it")

    @pytest.mark.parametrize(("separator", "what"), [(",", "commas"), (";", "semicolons")])
    def test_of_csv_under_the_name_of_tsv_are_refused(self, refusal, separator, what):
        for content in (
            lines(BOOK, BOOK, EAT, separator=separator),
            [separator.join(["text", "origin"]), separator.join(["Rain, wet.", "me"])],
            [separator.join(row) for row in (("a", "treats", "b"), ("c", "treats", "d"))],
            [separator.join(row) for row in (("a", "b", "c"), ('"So, it is', 'so."', "x", "y"))],
        ):
            message = refusal(TSV, content)
            assert f"a.tsv:1: {what} separate its columns, not tabs; give it" in message

    @pytest.mark.parametrize(
        ("separator", "what"),
        [
            *((", ", "commas"), (" ; ", "semicolons"), (" ||| ", "bars"), ("|", "bars")),
            *(("  ", "spaces"), (" ,", "commas")),
        ],
    )
    @pytest.mark.parametrize("header", [[], ["Head Relation Tail"], ["sentence source"]])
    def test_with_known_relations_or_a_known_header_are_no_texts(
        self, refusal, separator, what, header
    ):
        rows = lines(BOOK, BOOK, EAT, separator=separator) if header != ["sentence source"] else []
        content = [*(names.replace(" ", separator) for names in header), *rows, "A fact."]
        message = refusal(TSV, content)
        assert f"a.tsv:1: {what} separate its columns, not tabs; " in message
        for unit in ("passage", "line"):
            message = refusal(TxtFacts(path=".", unit=unit), content, "a.txt")
            assert f"a.txt:1: {what} separate columns: rather a table than text, for so" in message

    @pytest.mark.parametrize(
        "content",
        [
            ["1,2,3 and 4.", "Rain, snow, and hail.", "Wind, sun, and fog.", "A.  B.  C."],
            ["Knowledge, power and money.", "All, or nothing.", "So, be it."],
            ["Smoking, it is said, causes, among others, cancer.", "He causes, she desires."],
            ["Some say it causes, others that it is the synonym of, cancer.", "A, b, c."],
            ["Wind, causes, and effects.", "Rain, snow, and hail.", "Sun, moon, and stars."],
            ["Facts, figures", "Rain, snow, and hail."],
        ],
    )
    def test_of_texts_with_commas_are_read(self, facts, content):
        assert [text for text, *_ in facts(TSV, content)] == content
        lines_of_text = facts(TxtFacts(path=".", unit="line"), content, "a.txt")
        assert [text for text, *_ in lines_of_text] == content

    def test_of_conceptnet_are_refused_as_triples(self, refusal):
        assertion = "/a/[x]\t/r/IsA/\t/c/en/dog\t/c/en/pet\t{}"
        for line in (assertion, "/r/IsA\t/c/en/dog\t/c/en/pet"):
            assert ":1: addresses of ConceptNet, not words; read th" in refusal(TSV, line)
        table = ["node1\trelation\tnode2\tlabel1", "/c/en/dog\t/r/IsA\t/c/en/pet\tdog"]
        assert ":2: addresses of ConceptNet, not words; read th" in refusal(TSV, table)

    def test_with_tabs_in_each_line_are_no_text(self, refusal, facts):
        content = lines(("relation", "head", "tail"), BOOK, EAT)
        for unit in ("passage", "line"):
            text = TxtFacts(path=".", unit=unit)
            assert "each line has 2 tabs: rather a table" in refusal(text, content, "a.txt")
        assert facts(TxtFacts(path="."), "One\ttwo.\nThree\tfour.\n", "a.txt")

    def test_of_json_under_another_suffix_are_no_text(self, refusal, facts):
        for content in ('{"text": "Rain."}\n', '[{"text": "Rain."}]', '[\n {\n  "text": "Rain."'):
            assert "a.tsv:1: JSON, not text; give it the suffix .jsonl" in refusal(TSV, content)
            text = TxtFacts(path=".", unit="line")
            assert "a.txt:1: JSON, not text; give it the suffix" in refusal(text, content, "a.txt")
        assert facts(TSV, "{x} is a set.\n")

    def test_with_quoted_cells_are_read_without_the_quotes(self, facts):
        content = ['"book"\t"AtLocation"\t"table"', '"a ""b"""\t"IsA"\t"c"']
        assert facts(TSV, content) == [SENTENCES[0], ('A "b" is a kind of c.', "IsA", 'a "b"')]


class TestSourcesThatAreBuiltIn:
    """Files in the form of a known source are not read as another one."""

    @pytest.mark.parametrize(
        ("reader", "name", "order", "column"),
        [
            (ConceptNet(), "a.tsv", tuple(BOOK), 2),
            (ConceptNet(), "a.csv", ("head", "tail", "relation"), 3),
            (Atomic2020(), "train.tsv", ("relation", "head", "tail"), 1),
        ],
    )
    def test_with_another_order_are_refused(self, refusal, reader, name, order, column):
        message = refusal(reader, lines(order, BOOK, EAT), name)
        assert f"{name}: the relations are in column {column}, not in column " in message
        assert message.endswith("as in this source; read it with source: tsv")

    def test_with_a_header_are_refused(self, refusal):
        content = ["rel\thead\ttail", *lines(("relation", "head", "tail"), BOOK)]
        assert "a.tsv: has a header, unlike this source; r" in refusal(
            ConceptNet(), content, "a.tsv"
        )

    def test_with_weights_of_zero_are_skipped_and_counted(self, folder_of, build):
        rows = ["IsA\tzero\t0", "IsA\tdog\tpet\t1", "IsA\tdog\tcat\t0", "IsA\ta\tb\t-1.5\tx"]
        facts, counts = build(ConceptNet(), folder_of({"a.tsv": "\n".join(rows)}))
        assert [fact["origin"] for fact in facts] == ["zero", "dog"]
        assert counts["conceptnet_not_true"] == 2


words = st.text("abcdefgh", min_size=1, max_size=4).filter(lambda word: word not in "tohers")
known = st.sampled_from(sorted(TEMPLATES))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(words, known, words), min_size=1, max_size=8), st.sampled_from(range(3)))
def test_any_triples_with_known_relations_give_the_same_facts_in_any_order(facts, triples, at):
    expected = facts(TSV, ["\t".join(triple) for triple in triples])
    moved = [[head, tail] for head, _, tail in triples]
    for row, (_, relation, _) in zip(moved, triples, strict=True):
        row.insert(at, relation)
    assert facts(TSV, ["\t".join(row) for row in moved]) == expected
