"""ConceptNet: the official assertions, and files with three columns."""

import gzip

import pytest

from kformer.errors import KformerError
from kformer.knowledge.conceptnet import ConceptNet


def assertion(relation, start, end):
    """A line as in conceptnet-assertions-5.7.0.csv."""
    sources = '{"dataset": "/d/wordnet/3.1", "surfaceText": "[[a car]] is [[a\\tthing]]"}'
    return "\t".join([f"/a/[{relation}/,{start}/,{end}/]", relation, start, end, sources])


@pytest.fixture
def facts(folder_of, build):
    """The facts of some lines, and what was counted."""

    def read(*lines, **settings):
        rows, counts = build(ConceptNet(**settings), folder_of({"assertions.csv": list(lines)}))
        return [(row["text"], row["relation"], row["origin"]) for row in rows], counts

    return read


IS_A = assertion("/r/IsA", "/c/en/hot_dog/n", "/c/en/food")


def test_an_assertion_becomes_a_sentence(facts):
    at = assertion("/r/AtLocation", "/c/en/café/n/wn/artifact", "/c/en/street_corner/n/wn/location")
    assert facts(IS_A, at)[0] == [
        ("Hot dog is a kind of food.", "IsA", "hot dog"),
        ("Café is found at street corner.", "AtLocation", "café"),
    ]


def test_senses_of_a_word_make_the_same_fact(facts):
    senses = (assertion("/r/IsA", f"/c/en/bank{sense}", "/c/en/it") for sense in ("", "/n", "/v"))
    found, counts = facts(*senses)
    assert found == [("Bank is a kind of it.", "IsA", "bank")]
    assert counts["conceptnet_duplicates"] == 2


def test_words_of_other_languages_links_and_empty_terms_are_skipped_and_counted(facts):
    found, counts = facts(
        IS_A,
        assertion("/r/IsA", "/c/fr/chien", "/c/fr/animal"),
        assertion("/r/Synonym", "/c/en/dog", "/c/de/hund/n"),
        assertion("/r/ExternalURL", "/c/en/dog", "http://dbpedia.org/resource/Dog"),
        assertion("/r/IsA", "/c/enm/dogge", "/c/en/animal"),
        assertion("/r/IsA", "/c/en/", "/c/en/food"),
        *("IsA\t_\tfood", "/r/\tdog\tanimal"),
    )
    assert len(found) == 1
    assert (counts["conceptnet_not_english"], counts["conceptnet_empty"]) == (4, 3)


def test_three_columns_may_be_plain_words_or_addresses_with_more_behind(facts):
    found, _ = facts(
        "IsA\thot dog\tfood", "/r/UsedFor\t/c/en/hot_dog\teating\t2.0\tmore", "is_near\ta\tb"
    )
    assert found == [
        ("Hot dog is a kind of food.", "IsA", "hot dog"),
        ("Hot dog is used for eating.", "UsedFor", "hot dog"),
        ("A is near b.", "is_near", "a"),
    ]


def test_templates_of_the_user(facts):
    assert facts(IS_A, templates={"IsA": "{tail} > {head}"})[0][0][0] == "Food > hot dog"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "sub/a.txt", "a.csv.gz"])
def test_files_of_these_names_are_read_compressed_or_not(folder_of, build, name):
    content = f"\ufeff{IS_A}\r\n\n".encode()
    content = gzip.compress(content) if name.endswith(".gz") else content
    assert len(build(ConceptNet(), folder_of({name: content}))[0]) == 1


@pytest.mark.parametrize("line", ["dog", "IsA\tdog", "IsA,dog,animal", "/a/[x]\t/r/IsA\t/c/en/dog"])
def test_a_line_with_too_few_columns_is_refused_by_its_number(facts, line):
    with pytest.raises(KformerError, match=r"assertions\.csv:2: \d columns, expected relation, he"):
        facts(IS_A, line)
