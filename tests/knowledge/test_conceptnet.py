"""ConceptNet: the official assertions, and files with three columns."""

import gzip
import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.knowledge.conceptnet import ConceptNet

SOURCES = json.dumps({"dataset": "/d/wordnet/3.1", "surfaceText": "[[a car]] is [[a\tthing]]"})


def assertion(relation, start, end):
    """A line as in conceptnet-assertions-5.7.0.csv."""
    return "\t".join([f"/a/[{relation}/,{start}/,{end}/]", relation, start, end, SOURCES])


@pytest.fixture
def facts(folder_of, build):
    """The facts of some lines, and what was counted."""

    def read(*lines, name="assertions.csv", **settings):
        rows, counts = build(ConceptNet(**settings), folder_of({name: "\n".join(lines)}))
        counted = {
            what: counts[f"conceptnet_{what}"]
            for what in ("not_english", "empty")
            if f"conceptnet_{what}" in counts
        }
        return [(row["text"], row["relation"], row["origin"]) for row in rows], counted

    return read


IS_A = assertion("/r/IsA", "/c/en/hot_dog/n", "/c/en/food")


def test_an_assertion_becomes_a_sentence(facts):
    found, counted = facts(
        IS_A,
        assertion("/r/AtLocation", "/c/en/café/n/wn/artifact", "/c/en/street_corner/n/wn/location"),
    )
    assert found == [
        ("Hot dog is a kind of food.", "IsA", "hot dog"),
        (
            "Café is found at street corner.",
            "AtLocation",
            "café",
        ),
    ]
    assert counted == {}


def test_senses_of_a_word_make_the_same_fact(folder_of, build):
    lines = [assertion("/r/IsA", f"/c/en/bank{sense}", "/c/en/thing") for sense in ("", "/n", "/v")]
    rows, counts = build(ConceptNet(), folder_of({"a.csv": "\n".join(lines)}))
    assert [row["text"] for row in rows] == ["Bank is a kind of thing."]
    assert counts["conceptnet_duplicates"] == 2


def test_words_of_not_english_and_links_are_counted(facts):
    found, counted = facts(
        IS_A,
        assertion("/r/IsA", "/c/fr/chien", "/c/fr/animal"),
        assertion("/r/Synonym", "/c/en/dog", "/c/de/hund/n"),
        assertion("/r/ExternalURL", "/c/en/dog", "http://dbpedia.org/resource/Dog"),
        assertion("/r/IsA", "/c/enm/dogge", "/c/en/animal"),
    )
    assert len(found) == 1
    assert counted == {"not_english": 4}


def test_terms_without_words_are_counted(facts):
    found, counted = facts(
        IS_A, assertion("/r/IsA", "/c/en/", "/c/en/food"), "IsA\t_\tfood", "/r/\tdog\tanimal"
    )
    assert len(found) == 1
    assert counted == {"empty": 3}


def test_three_columns_may_be_plain_words_or_addresses_with_more_behind(facts):
    found, _ = facts(
        "IsA\thot dog\tfood", "/r/UsedFor\t/c/en/hot_dog\teating\t2.0\tmore", "is_near\ta\tb"
    )
    assert found == [
        ("Hot dog is a kind of food.", "IsA", "hot dog"),
        ("Hot dog is used for eating.", "UsedFor", "hot dog"),
        ("A is near b.", "is_near", "a"),
    ]


def test_templates_of_ones_own(facts):
    found, _ = facts(IS_A, templates={"IsA": "{tail} > {head}"})
    assert found[0][0] == "Food > hot dog"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "sub/a.txt", "a.csv.gz"])
def test_files_of_these_names_are_read(facts, name):
    assert len(facts(IS_A, name=name)[0]) == 1


def test_the_official_file_may_stay_compressed(folder_of, build):
    content = gzip.compress(f"\ufeff{IS_A}\r\n\n".encode())
    rows, _ = build(ConceptNet(), folder_of({"conceptnet-assertions-5.7.0.csv.gz": content}))
    assert len(rows) == 1


@pytest.mark.parametrize("line", ["dog", "IsA\tdog", "IsA,dog,animal", "/a/[x]\t/r/IsA\t/c/en/dog"])
def test_a_line_with_too_few_columns_is_refused_by_its_number(facts, line):
    with pytest.raises(KformerError, match=r"assertions\.csv:2: \d columns, expected relation, he"):
        facts(IS_A, line)


def test_no_files_are_refused(folder_of, build):
    with pytest.raises(KformerError, match=r"no \.csv or \.tsv or \.txt file below it"):
        build(ConceptNet(), folder_of({"a.json": ""}))


terms = st.text(max_size=8) | st.sampled_from(
    ["/c/en/a_b/n", "/c/en", "/c/", "/c/en/_", "/c/fr/b", "http://a.b", "/r/IsA", "/r/", "/a/[x]"]
)
lines = st.lists(st.lists(terms, min_size=3, max_size=5).map("\t".join), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | lines.map(lambda each: "\n".join(each).encode()))
def test_any_content_gives_facts_or_our_error(folder_of, build, content):
    with suppress(KformerError):
        build(ConceptNet(), folder_of({"a.csv": content}))
