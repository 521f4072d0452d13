"""Triples as sentences: the built-in templates, the user's, and relations without any."""

from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from kformer.knowledge.conceptnet import ConceptNet
from kformer.knowledge.triples import TEMPLATES, naming
from kformer.section import in_one_line

BUILT_IN = ConceptNet()


@pytest.mark.parametrize("relation", sorted(TEMPLATES))
def test_every_template_names_head_and_tail(relation):
    ConceptNet(templates={relation: TEMPLATES[relation]})
    sentence = BUILT_IN.sentence("hot dog", relation, "good food")
    assert "hot dog" in sentence.lower()
    assert "good food" in sentence
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert "{" not in sentence


@pytest.mark.parametrize(
    ("triple", "sentence"),
    [
        (("a car", "IsA", "vehicle"), "A car is a kind of vehicle."),
        (("John rests.", "xWant", "to eat. "), "John rests. As a result, they want to eat."),
        (("élan", "Synonym", "verve"), "Élan means the same as verve."),
        (("iPhone", "MadeUpOf", "___"), "IPhone is made up of ___."),
    ],
)
def test_a_known_relation_is_written_by_its_template(triple, sentence):
    assert BUILT_IN.sentence(*triple) == sentence


@pytest.mark.parametrize(
    ("relation", "words"),
    [
        ("treats", "treats"),
        ("may_be_treated_by", "may be treated by"),
        ("isTreatedBy", "is treated by"),
        ("hasICD10Code", "has icd10 code"),
        ("has{0}", "has{0}"),
        ("{head}", "{head}"),
        ("}{", "}{"),
    ],
)
def test_a_relation_without_a_template_is_written_as_words(relation, words):
    assert BUILT_IN.sentence("A", relation, "B") == f"A {words} B."


def test_braces_in_head_and_tail_are_only_braces():
    assert BUILT_IN.sentence("{tail}", "IsA", "{0}}{") == "{tail} is a kind of {0}}{."


def test_a_template_of_the_user_replaces_the_built_in_one():
    own = ConceptNet(templates={"IsA": "{tail}: {head}; {{sic}} {head}", "treats": "{head}→{tail}"})
    assert own.sentence("car", "IsA", "vehicle") == "Vehicle: car; {sic} car"
    assert own.sentence("a", "treats", "b") == "A→b"
    assert own.sentence("a", "HasA", "b") == BUILT_IN.sentence("a", "HasA", "b")


@pytest.mark.parametrize(
    ("template", "what"),
    [
        *(
            (template, "must name {head} and {tail}, and nothing else")
            for template in (
                *("", "{head} only", "{head} {tail} {more}", "{head} {}", "{0} {1}"),
                *("{head.__class__} {tail}", "{head[0]} {tail}", "{head!r} {tail}"),
                *("{head:>999999999} {tail}", "{head:{tail}} {tail}", "{{head}} {tail}"),
            )
        ),
        ("{head} {tail", "is no template: "),
        ("{head} }{tail}", "is no template: "),
        ("{head!} {tail}", "is no template: "),
    ],
)
def test_a_template_that_is_none_is_refused(template, what):
    with pytest.raises(ValidationError) as caught:
        ConceptNet(templates={"IsA": template})
    message = in_one_line(caught.value)
    assert message.startswith(f"templates.IsA: {template!r} ")
    assert what in message


def test_a_template_has_the_fields_asked_for():
    of_one = TypeAdapter(Annotated[str, naming("one")])
    assert of_one.validate_python("{one}, {one}") == "{one}, {one}"
    with pytest.raises(ValidationError, match=r"must name \{one\}, and nothing else"):
        of_one.validate_python("{head} {tail}")


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("{}!:[.head tail")) | st.text())
def test_any_template_is_refused_or_can_be_filled_in(template):
    try:
        own = ConceptNet(templates={"IsA": template})
    except ValidationError:
        return
    sentence = own.sentence("HEAD", "IsA", "TAIL")
    assert "HEAD" in sentence
    assert "TAIL" in sentence


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_any_triple_has_a_sentence(head, relation, tail):
    assert head.rstrip(" .")[1:] in BUILT_IN.sentence(head, relation, tail)
