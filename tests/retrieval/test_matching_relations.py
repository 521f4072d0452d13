"""Which relations match which type of question, and tables that do not fit the data."""

import pytest

from kformer.errors import KformerError
from kformer.retrieval.matching_relations import ATOMIC, check_match, matching_relations
from kformer.retrieval.settings import Match

SOCIAL_IQA = Match(relations="atomic")
OWN = Match(relations={"t": ["Causes", "IsA"], "u": ["IsA"]})


def test_types_of_social_iqa_match_the_dimension_of_their_name():
    assert all(name in matching_relations(SOCIAL_IQA, name) for name in ATOMIC)
    assert matching_relations(SOCIAL_IQA, "xIntent") == {"xIntent", "xReason"}


@pytest.mark.parametrize("name", [None, "xwant", "step1", ""])
def test_any_fact_matches_a_type_that_the_table_does_not_know(name):
    assert matching_relations(SOCIAL_IQA, name) is None


def test_an_own_table_replaces_that_of_atomic():
    assert matching_relations(OWN, "t") == {"Causes", "IsA"}
    assert matching_relations(OWN, "xWant") is None


def test_that_of_atomic_fits_if_one_type_and_one_relation_are_known_an_own_one_if_all_are():
    check_match(SOCIAL_IQA, {"xIntent", "other"}, frozenset({"xReason", "IsA"}))
    check_match(OWN, {"t", "u", None, "v"}, frozenset({"Causes", "IsA", None, "job"}))


@pytest.mark.parametrize(
    ("match", "types", "relations", "message"),
    [
        (SOCIAL_IQA, {None}, {"xWant"}, r"no question is of type oEffect, .* types are none"),
        (SOCIAL_IQA, {"xWant"}, {"pet", None}, r"no fact has relation oEffect, .* are pet"),
        (OWN, {"t", "v", None}, {"Causes", "IsA"}, "of type u; the questions' types are t, v$"),
        (OWN, {"t", "u"}, {"pet", None, "IsA"}, r"no fact has relation Causes; .* are IsA, pet"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(match, types, relations, message):
    with pytest.raises(KformerError, match=rf"^retrieval\.match\.relations: .*{message}"):
        check_match(match, types, frozenset(relations))
