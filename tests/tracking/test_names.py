"""Names and values that users choose are logged, whatever is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_param

from kformer.tracking.names import fit_name, fit_value, flat

TEXTS = st.text(st.characters(), max_size=20) | st.text("a./?! _x3F", max_size=12)


@pytest.mark.parametrize(
    ("name", "fitted"),
    [
        ("match.relations.Why?", "match.relations.Why_x3F_"),
        ("match.relations.Why!", "match.relations.Why_x21_"),
        ("Why_x3F_", "Why_x5F_x3F_"),
        ("Frage nach dem Grund: früher", "Frage nach dem Grund: früher"),
        ("precision/at_5", "precision/at_5"),
        ("a//b", "a_x2F__x2F_b"),
        ("/a", "_x2F_a"),
        ("..", "_x2E_."),
        ("", "_x_"),
    ],
)
def test_what_mlflow_refuses_becomes_its_code(name, fitted):
    assert fit_name(name) == fitted


@given(name=TEXTS | st.text(min_size=240, max_size=300))
def test_every_name_is_one_that_mlflow_takes(name):
    _validate_param(fit_name(name), "value")
    assert len(fit_name(name)) <= 250


@given(one=TEXTS, other=TEXTS)
def test_different_names_stay_different(one, other):
    assert (fit_name(one) == fit_name(other)) == (one == other)


def test_long_names_stay_different():
    names = [fit_name("x" * 300 + end) for end in "ab"]
    assert len({*names}) == 2
    assert {len(name) for name in names} == {250}


@given(st.text(st.characters(), max_size=20))
def test_every_value_can_be_stored(text):
    assert "\x00" not in fit_value(text)
    fit_value(text).encode("utf-8")


def test_a_long_value_is_visibly_cut():
    assert fit_value("x" * 6001) == "x" * 5999 + "…"
    assert fit_value("x" * 6000) == "x" * 6000


def test_nested_settings_are_joined_by_dots_and_none_is_lost():
    settings = {"a": {"b": 1, "c": {}}, "a.b": 2, "list": [{"x": 1}], 3: None}
    assert flat(settings) == {
        **{"a.b": 1, "a.c": {}, "a.b_": 2},
        **{"list": [{"x": 1}], "3": None},
    }
