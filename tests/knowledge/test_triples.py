"""Triples as sentences: the built-in templates, the user's, and relations without any."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kformer.config_section import in_one_line
from kformer.knowledge.conceptnet import ConceptNet
from kformer.knowledge.triples import TEMPLATES

BUILT_IN = ConceptNet()


@pytest.mark.parametrize("relation", sorted(TEMPLATES))
def test_every_template_makes_a_sentence_with_head_and_tail(relation):
    sentence = BUILT_IN.sentence("hot dog", relation, "good food")
    assert "hot dog" in sentence.lower()
    assert re.fullmatch(r"[A-Z][^{}]*good food[^{}]*\.", sentence)


@pytest.mark.parametrize(
    ("triple", "sentence"),
    [
        (("John rests.", "xWant", "to eat. "), "John rests. As a result, they want to eat."),
        (("élan", "Synonym", "verve"), "Élan means the same as verve."),
        (("{tail}", "IsA", "{0}}{"), "{tail} is a kind of {0}}{."),
        (("A", "treats", "B"), "A treats B."),
        (("A", "may_be_treated_by", "B"), "A may be treated by B."),
        (("A", "isTreatedBy", "B"), "A is treated by B."),
        (("A", "hasICD10Code", "B"), "A has icd10 code B."),
        *((("A", relation, "B"), f"A {relation} B.") for relation in ("has{0}", "{head}", "}{")),
    ],
)
def test_a_triple_is_written_by_its_template_or_its_relation_as_words(triple, sentence):
    assert BUILT_IN.sentence(*triple) == sentence


def test_a_template_of_the_user_replaces_the_built_in_one():
    own = ConceptNet(templates={"IsA": "{tail}: {head}; {{sic}} {head}", "treats": "{head}→{tail}"})
    assert own.sentence("car", "IsA", "vehicle") == "Vehicle: car; {sic} car"
    assert own.sentence("a", "treats", "b") == "A→b"
    assert own.sentence("a", "HasA", "b") == BUILT_IN.sentence("a", "HasA", "b")


@pytest.mark.parametrize(
    ("relation", "name"),
    [
        *((written, "IsA") for written in ("IsA", "isa", "ISA", "is_a", "is-a", "Is a", "/r/IsA")),
        *(("XNEED", "xNeed"), ("at  location", "AtLocation"), ("Is treated by", "isTreatedBy")),
        *(("HasSubEvent", "HasSubEvent"), ("has_subevent", "HasSubevent")),
        *((other, other) for other in ("~IsA", "IsA^-1", "isolates", "treats", "→")),
    ],
)
def test_a_relation_is_known_in_any_writing(relation, name):
    own = ConceptNet(templates={"isTreatedBy": "{tail} treats {head}."})
    assert own.known_name(relation) == name


@pytest.mark.parametrize(
    ("what", "templates"),
    [
        (
            "must name {head} and {tail}, and nothing else",
            [
                *("", "{head} only", "{head} {tail} {more}", "{head} {}", "{0} {1}"),
                *("{head.__class__} {tail}", "{head[0]} {tail}", "{head!r} {tail}"),
                *("{head:>999999999} {tail}", "{head:{tail}} {tail}", "{{head}} {tail}"),
            ],
        ),
        ("is no template: ", ["{head} {tail", "{head} }{tail}", "{head!} {tail}"]),
    ],
)
def test_a_template_that_is_none_is_refused(what, templates):
    for template in templates:
        with pytest.raises(ValidationError) as caught:
            ConceptNet(templates={"IsA": template})
        assert in_one_line(caught.value).startswith(f"templates.IsA: {template!r} {what}")


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
