"""The reference of the config, generated from its types: a page of all keys, and a JSON schema."""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from inspect import cleandoc
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from kformer.config_section import Section, sections_in
from kformer.study.experiment import ConditionOverride, Experiment

_BOUNDS = {
    "exclusiveMinimum": "> {}",
    "minimum": "≥ {}",
    "exclusiveMaximum": "< {}",
    "maximum": "≤ {}",
}
_TYPES = {
    "boolean": "true or false",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "table",
    "string": "text",
}


class Key(NamedTuple):
    """One key of the config."""

    path: str
    values: str
    default: str
    meaning: str


def readme() -> str:
    """The text of config/README.md: how configs are used, then every key."""
    introduction = files("kformer.study").joinpath("config_introduction.md").read_text("utf-8")
    return "\n".join([introduction.rstrip(), "", *_sections(), ""])


def schema() -> dict[str, Any]:
    """The JSON schema of the config."""
    content = Experiment.model_json_schema()
    # What a condition changes has the keys of `Retrieval`: they stand once.
    changed = content["$defs"].pop("RetrievalChange")
    assert changed["properties"] == content["$defs"]["Retrieval"]["properties"]
    override = content["$defs"]["ConditionOverride"]["properties"]["retrieval"]
    override["anyOf"] = [{"$ref": "#/$defs/Retrieval"}, {"type": "null"}]
    _share_properties(content["$defs"])
    return content


def _share_properties(definitions: dict[str, Any]) -> None:
    """Lets a key that several sections have alike stand once, as a definition of its own."""
    sections = [section for section in definitions.values() if "properties" in section]
    alike: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for section in sections:
        for key, value in section["properties"].items():
            if "description" in value:
                text = json.dumps(value, sort_keys=True)
                alike.setdefault((key, text), []).append(section["properties"])
    for (key, text), owners in alike.items():
        if len(owners) > 1:
            name = f"{key}_{len([each for each in definitions if each.startswith(key + '_')]) + 1}"
            definitions[name] = json.loads(text)
            for properties in owners:
                properties[key] = {"$ref": f"#/$defs/{name}"}


def _sections() -> Iterator[str]:
    """A heading, a sentence and a table for each key of the experiment that has further keys."""
    plain: dict[str, FieldInfo] = {}
    nested: dict[str, FieldInfo] = {}
    for name, field in Experiment.model_fields.items():
        (nested if _inner(field) else plain)[name] = field
    yield "## The study\n"
    yield _table(_key(name, field) for name, field in plain.items())
    for name, field in nested.items():
        yield f"\n## `{name}`\n\n{_meaning(field)}\n"
        yield _table(_keys_of(name, field))


def _keys_of(path: str, field: FieldInfo) -> Iterator[Key]:
    """The keys below a key whose value is a section, one of several, or many of them."""
    sections = _inner(field)
    container = _container(field.annotation)
    path += ".<name>" if container is dict else "[]" if container is list else ""
    if len(sections) > 1:
        yield from _keys_of_kinds(path, sections)
    else:
        yield from _keys_in(path, *sections)


def _container(annotation: Any) -> Any:
    """What a type is but for null and for checks: dict, list or something else."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Annotated):
        return _container(get_args(annotation)[0])
    return origin


def _keys_in(path: str, section: type[Section]) -> Iterator[Key]:
    """The keys of a section, those of sections in it too."""
    for name, field in section.model_fields.items():
        below = f"{path}.{name}"
        if section is ConditionOverride and name in Experiment.model_fields:
            if _container(field.annotation) is list:
                yield Key(below, "list or null", "null", f"takes the place of `{name}`")
            else:
                changes = f"what it changes of `{name}`, by its keys"
                yield Key(below, "table or null", "null", changes)
        elif _inner(field):
            if field.default is None:
                yield Key(below, "table or null", "null", _meaning(field))
            yield from _keys_of(below, field)
        else:
            yield _key(below, field)


def _keys_of_kinds(path: str, kinds: Iterable[type[Section]]) -> Iterator[Key]:
    """The keys of a union of sections: first the one that says which, then those of each."""
    named = {_kind(section): section for section in kinds}
    discriminator = next(iter(_discriminator(section) for section in named.values()))
    yield Key(f"{path}.{discriminator}", _listed(named), "–", "which one; its own keys are below")
    kinds_with: dict[Key, list[str]] = {}
    for kind, section in named.items():
        for key in _keys_in(path, section):
            if key.path != f"{path}.{discriminator}":
                kinds_with.setdefault(key, []).append(kind)
    for key, owners in sorted(kinds_with.items()):
        yield key._replace(meaning=f"{_listed(owners)}: {key.meaning}")


def _kind(section: type[Section]) -> str:
    return str(section.model_fields[_discriminator(section)].default)


def _discriminator(section: type[Section]) -> str:
    return next(name for name in ("dataset", "source") if name in section.model_fields)


def _inner(field: FieldInfo) -> list[type[Section]]:
    return list(dict.fromkeys(sections_in(field.annotation)))


def _key(path: str, field: FieldInfo) -> Key:
    kind: Any = Annotated[field.annotation, field]
    schema = TypeAdapter(kind).json_schema()
    default = "–" if field.is_required() else _code(field.get_default(call_default_factory=True))
    return Key(path, _values(schema), default, _meaning(field))


def _meaning(field: FieldInfo) -> str:
    if field.description:
        return " ".join(field.description.split())
    sections = _inner(field)
    return cleandoc(sections[0].__doc__ or "").splitlines()[0] if sections else ""


def _values(schema: Mapping[str, Any]) -> str:
    """What a key may hold, in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_values, schema["anyOf"])))
    if "enum" in schema:
        return _listed(schema["enum"])
    if "const" in schema:
        return _code(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items") or {"anyOf": schema.get("prefixItems", [])}
        return f"list of {_values(items)}"
    bounds = [text.format(schema[name]) for name, text in _BOUNDS.items() if name in schema]
    return " ".join([_TYPES.get(str(kind), "any"), ", ".join(bounds)]).strip()


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(_code, values))


def _code(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _table(keys: Iterable[Key]) -> str:
    lines = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        cells = (f"`{key.path}`", *(cell.replace("|", "\\|") for cell in key[1:]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
