"""ATOMIC: the official files, and annotations as sentences."""

import csv
import json
from collections import Counter

import pytest

from kformer.errors import KformerError
from kformer.knowledge.atomic import ATOMIC_TEMPLATES, Atomic, to_sentence
from kformer.knowledge.reader import Fact

COLUMNS = ["event", *ATOMIC_TEMPLATES, "prefix", "split"]


def row(event="PersonX feeds the ___", split="dev", **answers):
    cells = {relation: json.dumps(answers.get(relation, [])) for relation in ATOMIC_TEMPLATES}
    return {"event": event, **cells, "prefix": '["feeds"]', "split": split}


def write_csv(folder, rows, name="v4_atomic_dev.csv", encoding="utf-8"):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)  # ends its lines with CRLF
        writer.writeheader()
        writer.writerows(rows)
    return folder


def texts(folder):
    return [fact.text for fact in Atomic().read(folder, Counter())]


def test_facts(tmp_path):
    write_csv(tmp_path / "atomic_data", [row(xReact=["glad"], oWant=["to eat"])])
    assert list(Atomic().read(tmp_path, Counter())) == [
        Fact(
            "Dana feeds the thing. As a result, others want to eat.",
            "oWant",
            "PersonX feeds the ___",
        ),
        Fact(
            "Dana feeds the thing. As a result, Dana feels glad.",
            "xReact",
            "PersonX feeds the ___",
        ),
    ]


def test_files_are_read_in_order_and_the_unions_not_at_all(tmp_path):
    names = ("tst", "all", "trn", "all_agg", "dev")
    for name in names:
        write_csv(tmp_path, [row(f"PersonX reads {name}", xAttr=["calm"])], f"v4_atomic_{name}.csv")
    assert [text.split(".")[0] for text in texts(tmp_path)] == [
        "Dana reads trn",
        "Dana reads dev",
        "Dana reads tst",
    ]


def test_none_and_duplicates_are_dropped_and_counted(tmp_path, build):
    answers = ["none", "None.", " NONE ", "", " . ", "glad", "Glad.", "glad", "nonetheless glad"]
    write_csv(tmp_path, [row(xReact=answers), row(xReact=["glad"])])
    rows, counts = build(Atomic(), tmp_path)
    assert [row["text"].split("feels ")[1] for row in rows] == ["glad.", "nonetheless glad."]
    assert counts["atomic_none"] == 5
    assert counts["atomic_duplicates"] == 3


def test_bom_quotes_newlines_and_other_letters(tmp_path):
    write_csv(tmp_path, [row('PersonX says\n"olé, ñ"', xAttr=['"très" gai'])], encoding="utf-8-sig")
    assert texts(tmp_path) == ["Dana says olé, ñ. Dana is seen as très gai."]


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
    assert to_sentence(event, "xAttr", "calm", Atomic()) == f"{sentence}. Dana is seen as calm."


@pytest.mark.parametrize(
    "person",
    ["PersonY", "persony", "Person y", "person Y", "Y", "y", "perosny", "pesony", "PERSONY"],
)
def test_spellings_of_persons(person):
    for own in ("'s", "\u2019s"):
        answer = f"to see {person} at {person}{own} home"
        sentence = "Dana rests. As a result, Dana wants to see Morgan at Morgan's home."
        assert to_sentence("PersonX rests", "xWant", answer, Atomic()) == sentence


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
    assert to_sentence("PersonX rests", relation, answer, Atomic()) == f"Dana rests{rest}."


def test_a_template_of_the_user_replaces_the_built_in_one():
    atomic = Atomic(templates={"xNeed": "{tail}, so that {head}"})
    needed = to_sentence("PersonX eats a ___ .", "xNeed", "to find PersonY's", atomic)
    assert needed == "To find Morgan's, so that Dana eats something"
    assert to_sentence("PersonX rests", "xNeed", "none", atomic) is None
    assert to_sentence("PersonX rests", "xAttr", "calm", atomic) == (
        "Dana rests. Dana is seen as calm."
    )


def test_no_file(tmp_path):
    write_csv(tmp_path, [row()], "v4_atomic_all.csv")
    with pytest.raises(
        KformerError, match=r"no v4_atomic_trn\.csv or v4_\w+\.csv or v4_\w+\.csv below it"
    ):
        texts(tmp_path)


@pytest.mark.parametrize(
    ("content", "missing"), [("event,oEffect\n", "oReact, oWant"), ("", "event, oEffect")]
)
def test_a_missing_column_is_refused(tmp_path, content, missing):
    (tmp_path / "v4_atomic_trn.csv").write_text(content)
    with pytest.raises(KformerError, match=rf"v4_atomic_trn\.csv:1: no column {missing}"):
        texts(tmp_path)


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("[", "not valid JSON"),
        ("", "not valid JSON"),
        (r'["\ud800"]', "not valid JSON"),
        ("{}", "expected a list"),
        ("[1]", "expected a list"),
        ('"none"', "expected a list"),
    ],
)
def test_malformed_cells(tmp_path, cell, what):
    write_csv(tmp_path, [row(), row() | {"xNeed": cell}])
    with pytest.raises(KformerError, match=rf"v4_atomic_dev\.csv:3, column xNeed: {what}"):
        texts(tmp_path)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b" . " + b",[]" * 9, ":2: the event is empty"),
        (b"PersonX rests,[]", ":2, column oReact: not valid JSON"),
        (b'"a"b,[]', ":1: not valid CSV"),
        (b"\xff", ": not UTF-8"),
    ],
)
def test_malformed_rows(tmp_path, line, what):
    write_csv(tmp_path, [])
    with (tmp_path / "v4_atomic_dev.csv").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(KformerError, match=rf"v4_atomic_dev\.csv{what}"):
        texts(tmp_path)
