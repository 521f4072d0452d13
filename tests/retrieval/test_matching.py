"""Which relations match which type of question, and tables that do not fit the data."""

import pytest

from kformer.errors import KformerError
from kformer.retrieval.matching import ATOMIC, check_match, matching_relations
from kformer.retrieval.settings import Match

SOCIAL_IQA = Match(relations="atomic")


def test_types_of_social_iqa_match_the_dimension_of_their_name():
    assert all(name in matching_relations(SOCIAL_IQA, name) for name in ATOMIC)
    assert matching_relations(SOCIAL_IQA, "xIntent") == {"xIntent", "xReason"}


@pytest.mark.parametrize("name", [None, "xwant", "step1", ""])
def test_any_fact_matches_a_type_that_the_table_does_not_know(name):
    assert matching_relations(SOCIAL_IQA, name) is None


def test_an_own_table_replaces_that_of_atomic():
    match = Match(relations={"step1": ["Causes", "IsA"]})
    assert matching_relations(match, "step1") == {"Causes", "IsA"}
    assert matching_relations(match, "xWant") is None


def test_the_table_of_atomic_fits_if_one_type_and_one_relation_are_known():
    check_match(SOCIAL_IQA, {"xIntent", "other"}, frozenset({"xReason", "IsA"}))
    with pytest.raises(KformerError, match=r"no question is of type oEffect, .* types are none"):
        check_match(SOCIAL_IQA, {None}, frozenset({"xWant"}))
    with pytest.raises(KformerError, match=r"no fact has relation oEffect, .* relations are pet"):
        check_match(SOCIAL_IQA, {"xWant"}, frozenset({"pet", None}))


def test_an_own_table_must_fit_wholly():
    match = Match(relations={"t": ["Causes", "IsA"], "u": ["IsA"]})
    check_match(match, {"t", "u", None, "v"}, frozenset({"Causes", "IsA", None, "job"}))
    with pytest.raises(KformerError) as caught:
        check_match(match, {"t", "v", None}, frozenset({"Causes", "IsA"}))
    assert str(caught.value) == (
        "retrieval.match.relations: no question is of type u; the questions' types are t, v"
    )
    with pytest.raises(KformerError, match=r"no fact has relation Causes; .* are IsA, pet"):
        check_match(match, {"t", "u"}, frozenset({"pet", None, "IsA"}))
