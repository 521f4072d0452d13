"""ATOMIC-2020: the official tab-separated files."""

from collections import Counter

import pytest

from kformer.errors import KformerError
from kformer.knowledge.atomic2020 import Atomic2020
from kformer.knowledge.reader import Fact

FOLDER = "atomic2020_data-feb2021"


@pytest.fixture
def facts(folder_of):
    """The facts of some files, by their names."""

    def read(files, **settings):
        folder = folder_of({f"{FOLDER}/{name}.tsv": content for name, content in files.items()})
        return list(Atomic2020(**settings).read(folder, Counter()))

    return read


def test_files_are_read_in_order_and_triples_become_sentences(facts):
    event = "PersonX eats ___"
    files = {
        "dev": "\ufeff bread \t ObjectUse\tmake toast \n\nMo dit « olé »\tisAfter\tà\n\n",
        "train": f"{event}\txNeed\tto be hungry\n{event}\tisAfter\tPersonX cooks PersonY's ___\n",
        "test": f"{event}\tisFilledBy\tbread\r\n",
        "README": "not read",
    }
    assert facts(files) == [
        Fact("Dana eats something. Before that, Dana needs to be hungry.", "xNeed", event),
        Fact("Dana eats something happens after Dana cooks Morgan's thing.", "isAfter", event),
        Fact("Bread can be used to make toast.", "ObjectUse", "bread"),
        Fact("Mo dit « olé » happens after à.", "isAfter", "Mo dit « olé »"),
        Fact("Dana eats something, for example bread.", "isFilledBy", event),
    ]


def test_none_and_empty_tails_are_skipped_and_counted(folder_of, build):
    tails = ("none", "None.", "", " ", "to eat", "to eat")
    lines = [*(f"PersonX rests\txWant\t{tail}" for tail in tails), "PersonX rests\txWant"]
    rows, counts = build(Atomic2020(), folder_of({f"{FOLDER}/train.tsv": lines}))
    assert [row["text"] for row in rows] == ["Dana rests. As a result, Dana wants to eat."]
    assert (counts["atomic2020_none"], counts["atomic2020_duplicates"]) == (5, 1)


def test_templates_of_the_user(facts):
    templates = {"xNeed": "{head}? {tail}!", "IsA": "{head}={tail}"}
    content = "PersonX rests\txNeed\tsleep\nbread\tIsA\tfood\nPersonX rests\txAttr\tcalm\n"
    assert [fact.text for fact in facts({"train": content}, templates=templates)] == [
        *("Dana rests? sleep!", "Bread=food", "Dana rests. Dana is seen as calm.")
    ]


@pytest.mark.parametrize("line", ["bread", "a\tb\tc\td", "a,b,c", "bread\t \tfood"])
def test_a_malformed_line_is_refused_by_its_number(facts, line):
    with pytest.raises(KformerError, match=r"train\.tsv:3: expected head, relation and tail"):
        facts({"train": f"bread\tIsA\tfood\n\n{line}"})
