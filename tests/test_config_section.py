"""Errors of sections and rows: each problem once, with the path of its key."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, NonNegativeInt, StrictInt, TypeAdapter, ValidationError

from kformer.config_section import Section, Text, in_one_line

Several = Annotated[list[Text], Field(min_length=2)]


class Cat(Section):
    name: StrictInt | Text = 1
    toys: Text | Several | None = None
    layers: Literal["top", "all"] | list[int] = "top"
    lives: Literal["all"] | NonNegativeInt = 9
    weight: float = 1.0
    indoors: bool | None = None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"toys": ["one"]}, "toys: List should have at least 2 items, not 1 (not ['one'])"),
        ({"toys": ["one", 2]}, "toys.1: Input should be a valid string (not 2)"),
        ({"toys": " "}, "toys: must not be empty"),
        ({"toys": 3}, "toys: Input should be a valid string or a valid list (not 3)"),
        ({"name": ""}, "name: must not be empty"),
        ({"name": 1.5}, "name: Input should be a valid integer or a valid string (not 1.5)"),
        ({"layers": 3}, "layers: Input should be 'top' or 'all' or a valid list (not 3)"),
        ({"layers": ["x"]}, "layers.0: Input should be a valid integer, unable to parse string"),
        ({"lives": -1}, "lives: Input should be greater than or equal to 0 (not -1)"),
        ({"lives": "x"}, "lives: Input should be 'all' or a valid integer, unable to parse string"),
        ({"name": "", "toys": ""}, "name: must not be empty; toys: must not be empty"),
    ],
)
@pytest.mark.parametrize("name", ["Krez", "int", "str"])
def test_what_fits_no_member_of_a_union_is_one_problem(content, problem, name):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(dict[str, Cat]).validate_python({name: content})
    message = in_one_line(caught.value)
    expected = "; ".join(f"{name}.{each}" for each in problem.split("; "))
    assert message.startswith(expected)
    assert message.count("; ") == problem.count("; ")


def test_true_and_false_are_read_where_they_belong():
    assert Cat.model_validate({"indoors": True}).indoors is True


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("key", ["lives", "weight"])
def test_true_and_false_are_no_numbers(key, value):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(dict[str, Cat]).validate_python({"Krez": {key: value}})
    assert in_one_line(caught.value) == f"Krez: {str(value).lower()} cannot be given for {key}"
