"""ATOMIC-2020: the official tab-separated files."""

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.knowledge.atomic2020 import Atomic2020
from kformer.knowledge.reader import Fact
from kformer.knowledge.triples import TEMPLATES

FOLDER = "atomic2020_data-feb2021"


def facts(place, **settings):
    counts = Counter()
    return list(Atomic2020(**settings).read(place, counts)), counts


def texts(folder_of, content, **settings):
    found, _ = facts(folder_of({f"{FOLDER}/train.tsv": content}), **settings)
    return [fact.text for fact in found]


def test_facts(folder_of):
    place = folder_of(
        {
            f"{FOLDER}/dev.tsv": "bread\tObjectUse\tmake toast",
            f"{FOLDER}/train.tsv": "PersonX eats ___\txNeed\tto be hungry\n"
            "PersonX eats ___\tisAfter\tPersonX cooks PersonY's ___\n",
            f"{FOLDER}/test.tsv": "PersonX eats ___\tisFilledBy\tbread\r\n",
            f"{FOLDER}/README.tsv": "not read",
        }
    )
    found, counts = facts(place)
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
    place = folder_of({f"{FOLDER}/train.tsv": "\n".join([*lines, "PersonX rests\txWant"])})
    rows, counts = build(Atomic2020(), place)
    assert [row["text"] for row in rows] == ["Dana rests. As a result, Dana wants to eat."]
    assert counts["atomic2020_none"] == 5
    assert counts["atomic2020_duplicates"] == 1


def test_spaces_around_cells_are_no_part_of_them(folder_of):
    assert texts(folder_of, "\ufeff bread \t IsA \tfood ") == ["Bread is a kind of food."]


def test_other_letters_and_blanks(folder_of):
    assert texts(folder_of, "PersonX dit « olé »\txAttr\ttrès ___\n\n") == [
        "Dana dit « olé ». Dana is seen as très something."
    ]


@pytest.mark.parametrize(
    "relation", ["HasSubEvent", "HinderedBy", "MadeUpOf", "isBefore", "xReason"]
)
def test_relations_that_are_new_have_their_templates(folder_of, relation):
    sentence = TEMPLATES[relation].format(head="Bread", tail="dough")
    assert texts(folder_of, f"bread\t{relation}\tdough") == [sentence]


def test_templates_of_ones_own(folder_of):
    templates = {"xNeed": "{head}? {tail}!", "IsA": "{head}={tail}"}
    content = "PersonX rests\txNeed\tsleep\nbread\tIsA\tfood\nPersonX rests\txAttr\tcalm\n"
    assert texts(folder_of, content, templates=templates) == [
        "Dana rests? sleep!",
        "Bread=food",
        "Dana rests. Dana is seen as calm.",
    ]


def test_no_files_are_refused(folder_of, build):
    place = folder_of({f"{FOLDER}/all.tsv": ""})
    with pytest.raises(KformerError, match=r"no train\.tsv or dev\.tsv or test\.tsv below it; unp"):
        build(Atomic2020(), place)


@pytest.mark.parametrize(
    "line", ["bread", "a\tb\tc\td", "bread\t\tfood", "bread\t \tfood", "a,b,c"]
)
def test_a_malformed_line_is_refused_by_its_number(folder_of, build, line):
    place = folder_of({f"{FOLDER}/dev.tsv": f"bread\tIsA\tfood\n\n{line}\n"})
    with pytest.raises(
        KformerError, match=r"dev\.tsv:3: expected head, relation and tail"
    ) as error:
        build(Atomic2020(), place)
    assert repr(line) in str(error.value)


def test_a_line_that_is_not_utf8_is_refused_by_its_number(folder_of, build):
    with pytest.raises(KformerError, match=r"train\.tsv:2: not UTF-8"):
        build(Atomic2020(), folder_of({"train.tsv": b"a\tIsA\tb\n\xe9\tIsA\tb\n"}))


cells = st.text(max_size=10) | st.sampled_from(["xNeed", "IsA", "PersonX", "none", "___", "to to"])
lines = st.lists(st.lists(cells, min_size=2, max_size=3).map("\t".join), max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | lines.map(lambda each: "\n".join(each).encode()))
def test_any_content_gives_facts_or_our_error(folder_of, build, content):
    with suppress(KformerError):
        build(Atomic2020(), folder_of({"train.tsv": content}))
