"""Turning (head, relation, tail) into English: the table of templates, and how it is applied."""

import re
from functools import cached_property
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from kformer.io.normal_form import normal_form
from kformer.knowledge.reader import Fact, KnowledgeReader

# ``they`` is who the head is about, ``others`` is everybody else.
TEMPLATES = {
    # ATOMIC
    "oEffect": "{head}. As a result, for others: {tail}.",
    "oReact": "{head}. As a result, others feel {tail}.",
    "oWant": "{head}. As a result, others want {tail}.",
    "xAttr": "{head}. They are seen as {tail}.",
    "xEffect": "{head}. As a result: {tail}.",
    "xIntent": "{head} because they wanted {tail}.",
    "xNeed": "{head}. Before that, they needed {tail}.",
    "xReact": "{head}. As a result, they feel {tail}.",
    "xWant": "{head}. As a result, they want {tail}.",
    # ATOMIC-2020
    "HasSubEvent": "{head} includes {tail}.",
    "HinderedBy": "{head}. This can be hindered if {tail}.",
    "IsAfter": "{head} happens after {tail}.",
    "IsBefore": "{head} happens before {tail}.",
    "MadeUpOf": "{head} is made up of {tail}.",
    "ObjectUse": "{head} can be used to {tail}.",
    "isAfter": "{head} happens after {tail}.",
    "isBefore": "{head} happens before {tail}.",
    "isFilledBy": "{head}, for example {tail}.",
    "xReason": "{head} because {tail}.",
    # ConceptNet; some are ATOMIC-2020's as well
    "Antonym": "{head} is the opposite of {tail}.",
    "AtLocation": "{head} is found at {tail}.",
    "CapableOf": "{head} can {tail}.",
    "Causes": "{head} causes {tail}.",
    "CausesDesire": "{head} makes people want {tail}.",
    "CreatedBy": "{head} is created by {tail}.",
    "DefinedAs": "{head} is defined as {tail}.",
    "DerivedFrom": "the word {head} is derived from {tail}.",
    "Desires": "{head} wants {tail}.",
    "DistinctFrom": "{head} is not {tail}.",
    "Entails": "{head} entails {tail}.",
    "EtymologicallyDerivedFrom": "the word {head} comes from {tail}.",
    "EtymologicallyRelatedTo": "the word {head} has the same origin as {tail}.",
    "FormOf": "{head} is a form of {tail}.",
    "HasA": "{head} has {tail}.",
    "HasContext": "{head} is used in the context of {tail}.",
    "HasFirstSubevent": "{head} begins with {tail}.",
    "HasLastSubevent": "{head} ends with {tail}.",
    "HasPrerequisite": "{head} requires {tail}.",
    "HasProperty": "{head} is {tail}.",
    "HasSubevent": "{head} includes {tail}.",
    "InstanceOf": "{head} is an instance of {tail}.",
    "IsA": "{head} is a kind of {tail}.",
    "LocatedNear": "{head} is near {tail}.",
    "MadeOf": "{head} is made of {tail}.",
    "MannerOf": "{head} is a way to {tail}.",
    "MotivatedByGoal": "people {head} because they want {tail}.",
    "NotCapableOf": "{head} cannot {tail}.",
    "NotDesires": "{head} does not want {tail}.",
    "NotHasProperty": "{head} is not {tail}.",
    "ObstructedBy": "{head} can be prevented by {tail}.",
    "PartOf": "{head} is part of {tail}.",
    "ReceivesAction": "{head} can be {tail}.",
    "RelatedTo": "{head} is related to {tail}.",
    "SimilarTo": "{head} is similar to {tail}.",
    "SymbolOf": "{head} is a symbol of {tail}.",
    "Synonym": "{head} means the same as {tail}.",
    "UsedFor": "{head} is used for {tail}.",
}


def naming(*names: str) -> AfterValidator:
    """Checks that a template has these fields, and no others."""

    def check(template: str) -> str:
        try:
            fields = [field[1:] for field in Formatter().parse(template) if field[1] is not None]
        except ValueError as error:
            raise ValueError(f"{template!r} is no template: {error}") from None
        if {field[0] for field in fields} != set(names) or any(any(f[1:]) for f in fields):
            wanted = " and ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"{template!r} must name {wanted}, and nothing else")
        return template

    return AfterValidator(check)


class Triples(KnowledgeReader):
    """A reader that turns triples into sentences."""

    written_as: Literal["sentence", "tail"] = Field(
        default="sentence", exclude_if=lambda form: form == "sentence"
    )
    """What becomes of a triple: a sentence, or its tail alone. Its head then only says which event
    the fact is about, for `retrieval.events`; facts of two events may read the same."""
    templates: dict[str, Annotated[str, naming("head", "tail")]] = Field(default_factory=dict)
    """Sentences for relations, over the built-in ones: `xNeed: "{head} needs {tail}."`."""

    @property
    def known_relations(self) -> frozenset[str]:
        """The names of all relations with a template, as `plain_name` writes them."""
        return KNOWN_RELATIONS.union(map(plain_name, self.templates))

    def known_name(self, relation: str) -> str:
        """How the relation's template is called, for ``at_location`` too; else as it is written."""
        if relation in self.templates or relation in TEMPLATES:
            return relation
        return self._names.get(_folded(relation), relation)

    @cached_property
    def _names(self) -> dict[str, str]:
        """The names of relations with a template, the user's before the built-in ones, folded."""
        return {_folded(name): name for name in (*TEMPLATES, *self.templates)}

    @model_validator(mode="after")
    def _reads_templates(self) -> Self:
        if self.templates and self.written_as == "tail":
            raise ValueError("templates: are not read with written_as: tail; leave one of them out")
        return self

    def of_triple(self, text: str, relation: str, event: str) -> Fact:
        """The fact that a triple has become, and what it is about."""
        apart = ""
        if self.written_as == "tail":
            apart = f"{normal_form(event).rstrip(' .')}\n{normal_form(relation)}\n"
        return Fact(text, relation, event, apart)

    def text(self, head: str, relation: str, tail: str) -> str:
        """Writes a triple as the config says."""
        if self.written_as == "tail":
            return tail.rstrip(" .") or tail
        return self.sentence(head, relation, tail)

    def sentence(self, head: str, relation: str, tail: str) -> str:
        """Writes a triple as a sentence; a relation without a template is written as words."""
        template = self.templates.get(relation) or TEMPLATES.get(relation)
        if template is None:
            template = f"{{head}} {in_words(relation)} {{tail}}."
        text = template.format(head=head.rstrip(" ."), tail=tail.rstrip(" ."))
        return text[:1].upper() + text[1:]


def plain_name(text: str) -> str:
    """A name in small letters without anything else: ``/r/AtLocation`` is atlocation."""
    return re.sub(r"[\W_]", "", text.lower().removeprefix("/r/"))


KNOWN_RELATIONS = frozenset(map(plain_name, TEMPLATES))
"""The names of the relations with a built-in template, as `plain_name` writes them."""


def _folded(name: str) -> str:
    """``/r/IsA``, ``is_a``, ``is-a`` and ``Is a`` as isa; but not ``~IsA``, the other way round."""
    return re.sub(r"[_\s]|(?<=\w)-(?=\w)", "", name.lower().removeprefix("/r/"))


def in_words(relation: str) -> str:
    """``isMadeOf``, ``is_made_of`` and ``x/is_made_of`` as ``is made of``, safe in a template."""
    name = relation.rpartition("/")[2] or relation
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.replace("_", " ").strip()).lower()
    return words.replace("{", "{{").replace("}", "}}")
