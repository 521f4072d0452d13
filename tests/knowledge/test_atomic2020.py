"""ATOMIC-2020: the official tab-separated files."""

from collections import Counter

import pytest

from kformer.errors import KformerError
from kformer.knowledge.atomic2020 import Atomic2020
from kformer.knowledge.reader import Fact

FOLDER = "atomic2020_data-feb2021"


def facts(folder, **settings):
    counts = Counter()
    return list(Atomic2020(**settings).read(folder, counts)), counts


def texts(folder_of, content, **settings):
    found, _ = facts(folder_of({f"{FOLDER}/train.tsv": content}), **settings)
    return [fact.text for fact in found]


def test_facts(folder_of):
    folder = folder_of(
        {
            f"{FOLDER}/dev.tsv": "bread\tObjectUse\tmake toast",
            f"{FOLDER}/train.tsv": "PersonX eats ___\txNeed\tto be hungry\n"
            "PersonX eats ___\tisAfter\tPersonX cooks PersonY's ___\n",
            f"{FOLDER}/test.tsv": "PersonX eats ___\tisFilledBy\tbread\r\n",
            f"{FOLDER}/README.tsv": "not read",
        }
    )
    found, counts = facts(folder)
    event = "PersonX eats ___"
    assert found == [
        Fact(
            "Dana eats something. Before that, Dana needs to be hungry.",
            "xNeed",
            event,
        ),
        Fact(
            "Dana eats something happens after Dana cooks Morgan's thing.",
            "isAfter",
            event,
        ),
        Fact("Bread can be used to make toast.", "ObjectUse", "bread"),
        Fact(
            "Dana eats something, for example bread.",
            "isFilledBy",
            event,
        ),
    ]
    assert not counts


def test_none_and_empty_tails_are_skipped_and_counted(folder_of, build):
    lines = [
        f"PersonX rests\txWant\t{tail}" for tail in ("none", "None.", "", " ", "to eat", "to eat")
    ]
    folder = folder_of({f"{FOLDER}/train.tsv": "\n".join([*lines, "PersonX rests\txWant"])})
    rows, counts = build(Atomic2020(), folder)
    assert [row["text"] for row in rows] == ["Dana rests. As a result, Dana wants to eat."]
    assert counts["atomic2020_none"] == 5
    assert counts["atomic2020_duplicates"] == 1


def test_spaces_around_cells_blank_lines_and_other_letters(folder_of):
    content = "\ufeff bread \t IsA \tfood \n\nPersonX dit « olé »\txAttr\ttrès ___\n\n"
    assert texts(folder_of, content) == [
        "Bread is a kind of food.",
        "Dana dit « olé ». Dana is seen as très something.",
    ]


def test_templates_of_the_user(folder_of):
    templates = {"xNeed": "{head}? {tail}!", "IsA": "{head}={tail}"}
    content = "PersonX rests\txNeed\tsleep\nbread\tIsA\tfood\nPersonX rests\txAttr\tcalm\n"
    assert texts(folder_of, content, templates=templates) == [
        "Dana rests? sleep!",
        "Bread=food",
        "Dana rests. Dana is seen as calm.",
    ]


def test_no_files_are_refused(folder_of, build):
    folder = folder_of({f"{FOLDER}/all.tsv": ""})
    with pytest.raises(KformerError, match=r"no train\.tsv or dev\.tsv or test\.tsv below it; unp"):
        build(Atomic2020(), folder)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        *(
            (line, "expected head, relation and tail")
            for line in (b"bread", b"a\tb\tc\td", b"a,b,c")
        ),
        (b"bread\t \tfood", "expected head, relation and tail"),
        (b"\xe9\tIsA\tb", "not UTF-8"),
    ],
)
def test_a_malformed_line_is_refused_by_its_number(folder_of, build, line, problem):
    folder = folder_of({f"{FOLDER}/dev.tsv": b"bread\tIsA\tfood\n\n" + line})
    with pytest.raises(KformerError, match=rf"dev\.tsv:3: {problem}"):
        build(Atomic2020(), folder)
