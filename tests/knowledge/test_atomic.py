"""ATOMIC: the official files, and annotations as sentences."""

import csv
import io
import json
from collections import Counter

import pytest

from kformer.errors import KformerError
from kformer.knowledge.atomic import ATOMIC_TEMPLATES, Atomic, to_text
from kformer.knowledge.reader import Fact

COLUMNS = ["event", *ATOMIC_TEMPLATES, "prefix", "split"]


def row(event="PersonX feeds the ___", **answers):
    cells = {relation: json.dumps(answers.get(relation, [])) for relation in ATOMIC_TEMPLATES}
    return {"event": event, **cells, "prefix": '["feeds"]', "split": "dev"}


def table(*rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS)  # ends its lines with CRLF
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


@pytest.fixture
def facts(folder_of):
    """The facts of some files, by the end of their names."""

    def read(**files):
        contents = {f"v4_atomic_{name}.csv": content for name, content in files.items()}
        return list(Atomic().read(folder_of(contents), Counter()))

    return read


def test_annotations_become_facts(facts):
    event = 'PersonX feeds the ___, says\n"olé"'
    assert facts(dev=b"\xef\xbb\xbf" + table(row(event, xReact=["glad"], oWant=["to 'ñ'"]))) == [
        Fact("Dana feeds the thing, says olé. As a result, others want to 'ñ'.", "oWant", event),
        Fact("Dana feeds the thing, says olé. As a result, Dana feels glad.", "xReact", event),
    ]


def test_files_are_read_in_order_and_the_unions_not_at_all(facts):
    names = ("tst", "all", "trn", "all_agg", "dev")
    files = {name: table(row(f"PersonX reads {name}", xAttr=["calm"])) for name in names}
    assert [fact.origin.split()[-1] for fact in facts(**files)] == ["trn", "dev", "tst"]


def test_none_and_duplicates_are_dropped_and_counted(folder_of, build):
    answers = ["none", "None.", " NONE ", "", " . ", "glad", "Glad.", "glad", "nonetheless glad"]
    content = table(row(xReact=answers), row(xReact=["glad"]))
    rows, counts = build(Atomic(), folder_of({"atomic_data/v4_atomic_dev.csv": content}))
    assert [row["text"].split("feels ")[1] for row in rows] == ["glad.", "nonetheless glad."]
    assert (counts["atomic_none"], counts["atomic_duplicates"]) == (5, 3)


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ("PersonX plays a ___ in the war", "Dana plays something in the war"),
        ("PersonX takes PersonY's ___", "Dana takes Morgan's thing"),
        ("PersonX manages one 's ___ .", "Dana manages one's thing"),
        ("PersonX gives ___ to PersonZ", "Dana gives something to Terry"),
        ("personx is n't here ,", "Dana isn't here"),
        ("PersonX needs an x-ray", "Dana needs an x-ray"),
    ],
)
def test_events(event, sentence):
    assert to_text(event, "xAttr", "calm", Atomic()) == f"{sentence}. Dana is seen as calm."


@pytest.mark.parametrize(
    "person",
    ["PersonY", "persony", "Person y", "person Y", "Y", "y", "perosny", "pesony", "PERSONY"],
)
def test_spellings_of_persons(person):
    for own in ("'s", "\u2019s"):
        answer = f"to see {person} at {person}{own} home"
        sentence = "Dana rests. As a result, Dana wants to see Morgan at Morgan's home."
        assert to_text("PersonX rests", "xWant", answer, Atomic()) == sentence


@pytest.mark.parametrize(
    ("relation", "answer", "rest"),
    [
        ("xIntent", "to be kind", " because Dana wants to be kind"),
        ("xIntent", "be kind", " because Dana wants to be kind"),
        ("xIntent", "extra cash", " because Dana wants extra cash"),
        ("xIntent", "because they care", " because they care"),
        ("xNeed", "to to buy bread", ". Before that, Dana needs to buy bread"),
        ("xNeed", "a bed", ". Before that, Dana needs a bed"),
        ("xNeed", "Has a job", ". Before that, Dana has a job"),
        ("xAttr", "BRAVE.", ". Dana is seen as brave"),
        ("xReact", "tired", ". As a result, Dana feels tired"),
        ("xReact", "he feels well", ". As a result, he feels well"),
        ("xWant", "To sleep", ". As a result, Dana wants to sleep"),
        ("xWant", "PersonY to leave", ". As a result, Dana wants Morgan to leave"),
        ("xEffect", "gets hurt", ". As a result, Dana gets hurt"),
        ("xEffect", "carry on", ". As a result, Dana carries on"),
        ("xEffect", "going home", ". As a result, Dana is going home"),
        ("xEffect", "to go home", ". As a result, Dana goes on to go home"),
        ("xEffect", "PersonX is hurt", ". As a result, Dana is hurt"),
        ("oReact", "also sad", ". As a result, others feel sad"),
        ("oWant", "thank x", ". As a result, others want to thank Dana"),
        ("oEffect", "are paid", ". As a result, someone else is paid"),
        ("oEffect", "PersonY's dog barks", ". As a result, Morgan's dog barks"),
        ("oWant", "to understPersonX", ". As a result, others want to understand Dana"),
    ],
)
def test_answers(relation, answer, rest):
    assert to_text("PersonX rests", relation, answer, Atomic()) == f"Dana rests{rest}."


def test_a_template_of_the_user_replaces_the_built_in_one():
    atomic = Atomic(templates={"xNeed": "{tail}, so that {head}"})
    needed = to_text("PersonX eats a ___ .", "xNeed", "to find PersonY's", atomic)
    assert needed == "To find Morgan's, so that Dana eats something"
    assert to_text("PersonX rests", "xNeed", "none", atomic) is None
    other = to_text("PersonX rests", "xAttr", "calm", atomic)
    assert other == "Dana rests. Dana is seen as calm."


@pytest.mark.parametrize(
    ("content", "missing"), [("event,oEffect\n", "oReact, oWant"), ("", "event, oEffect")]
)
def test_a_missing_column_is_refused(facts, content, missing):
    with pytest.raises(KformerError, match=rf"v4_atomic_trn\.csv:1: no column {missing}"):
        facts(trn=content)


@pytest.mark.parametrize(
    ("what", "cells"),
    [
        ("not valid JSON", ["[", "", r'["\ud800"]']),
        ("expected a list", ["{}", "[1]", '"none"']),
    ],
)
def test_malformed_cells_are_refused_by_their_line_and_column(facts, what, cells):
    for cell in cells:
        with pytest.raises(KformerError, match=rf"v4_atomic_dev\.csv:3, column xNeed: {what}"):
            facts(dev=table(row(), row() | {"xNeed": cell}))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b" . " + b",[]" * 9, ":2: the event is empty"),
        (b"PersonX rests,[]", ":2, column oReact: not valid JSON"),
        (b'"a"b,[]', ":1: not valid CSV"),
        (b"\xff", ": not UTF-8"),
    ],
)
def test_malformed_rows_are_refused(facts, line, what):
    with pytest.raises(KformerError, match=rf"v4_atomic_dev\.csv{what}"):
        facts(dev=table() + line + b"\n")


def test_an_annotation_written_as_its_tail():
    atomic = Atomic(written_as="tail")
    assert (
        to_text("PersonX rests", "xNeed", " to find PersonY's bed. ", atomic)
        == "to find Morgan's bed"
    )
    assert to_text("PersonX rests", "xNeed", "none", atomic) is None
