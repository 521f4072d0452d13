"""What config sections and rows have in common: strictness, and how their errors are worded."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from difflib import get_close_matches
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Secret,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from kformer.errors import KformerError
from kformer.masking import masked, remember_secrets, without_secrets

# Parts of a path, as pydantic names members of a union.
_SCALARS = (("int",), ("constrained-int",), ("float",), ("bool",), ("str",))
# What pydantic or a tag of ours calls a member; a key of the user's may have a bracket, too.
_MEMBER = re.compile(
    r"(?:list|tuple|dict|set|literal|function-[a-z-]+|constrained-[a-z]+)\[.*\]"
    r"|\[(?:by name|in order)\]",
    re.S,
)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _one_line(text: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("must not hold line ends, control characters or half characters")
    return text


Text = Annotated[str, AfterValidator(_not_blank), Field(json_schema_extra={"pattern": r"\S"})]
# The name of something elsewhere, such as an encoder.
Reference = Annotated[Text, StringConstraints(max_length=1000), AfterValidator(_one_line)]


class SecretAddress(Secret[Text]):
    """An address, which may hold a password, a token or a signature.

    It is printed and written into JSON without these; `get_secret_value` gives all of it, for those
    who connect to it.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address)
        remember_secrets(address)

    def _display(self) -> str:
        return masked(self.get_secret_value())

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> dict[str, Any]:
        return TypeAdapter(Text).json_schema()  # editors would show a format "password" as dots


Share = Annotated[float, Field(ge=0, lt=1)]
# Becomes a folder's name and a part of URLs.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


def _number(value: Any) -> Any:
    """Whole numbers of nested values on Snakemake's command line arrive as text."""
    return (
        int(value) if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value) else value
    )


def or_its_text(kind: Any) -> BeforeValidator:
    """Lets a strict type of whole numbers, ``kind``, also take one written as text."""
    return BeforeValidator(_number, json_schema_input_type=kind)


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values never change after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _has_no_truth_for_a_number(cls, content: Any) -> Any:
        """Refuses true and false where a number belongs: they would be read as 1 and 0."""
        for name, value in content.items() if isinstance(content, dict) else ():
            if not isinstance(value, bool) or name not in cls.model_fields:
                continue
            taken = _types_in(cls.model_fields[name].annotation)
            if taken & {int, float} and bool not in taken:
                raise ValueError(f"{json.dumps(value)} cannot be given for {name}")
        return content


def _types_in(annotation: Any) -> Set[Any]:
    """All that an annotation names, in unions and the like too."""
    annotation = getattr(annotation, "__value__", annotation)  # of a named type
    return {annotation}.union(*map(_types_in, get_args(annotation)))


def in_one_line(
    error: ValidationError, allowed_at: Callable[[tuple[Any, ...]], Iterable[str]] | None = None
) -> str:
    """All problems of a validation on one line, each with the path of its key.

    Args:
        error: what pydantic raised.
        allowed_at: the keys that are allowed at a path, to be named for an unknown key.
    """
    problems = (_problem(each, allowed_at) for each in _once_each_union(error.errors()))
    return "; ".join(dict.fromkeys(problems))


def _once_each_union(errors: Sequence[Any]) -> Iterator[Any]:
    """The errors of a validation; of each union those of the member that the value is meant for.

    pydantic reports what every member says of a value, with the member in the path, such as
    ``list[str]`` or ``int``. Members that expect another type have nothing to say, unless all do:
    then their errors become one, which names all types.
    """
    paths = [error["loc"] for error in errors]
    unions = {path[: _union_depth(path)] for path in paths if _union_depth(path) < len(path)}
    by_path: dict[tuple[Any, ...], list[Any]] = {}
    for path, error in zip(paths, errors, strict=True):
        is_scalar = path[:-1] in unions and path[-1:] in _SCALARS
        depth = len(path) - 1 if is_scalar else _union_depth(path)
        by_path.setdefault(path[:depth], []).append(error)
    for path, of_path in by_path.items():
        of_its_type = [each for each in of_path if not _expects_another_type(each, len(path))]
        if of_its_type:
            for each in of_its_type:
                is_in_union = len(each["loc"]) > len(path)
                yield each | {"loc": path + each["loc"][len(path) + 1 :]} if is_in_union else each
        else:
            expected = (each["msg"].removeprefix("Input should be ") for each in of_path)
            message = f"Input should be {' or '.join(dict.fromkeys(expected))}"
            yield of_path[0] | {"loc": path, "msg": message}


def _union_depth(path: tuple[Any, ...]) -> int:
    """How many parts of a path come before a member of a union; all, if there is none."""
    members = (depth for depth, part in enumerate(path) if _MEMBER.fullmatch(str(part)))
    return next(members, len(path))


def _expects_another_type(error: Any, union_depth: int) -> bool:
    is_of_the_value = len(error["loc"]) == union_depth + 1
    return is_of_the_value and error["type"].endswith(("_type", "_parsing", "literal_error"))


def _problem(error: Any, allowed_at: Callable[[tuple[Any, ...]], Iterable[str]] | None) -> str:
    message = error["msg"].removeprefix("Value error, ").replace(" after validation", "")
    path = ".".join(str(part) for part in error["loc"] if not _MEMBER.fullmatch(str(part)))
    if error["type"] == "extra_forbidden":
        message = "unknown key"
        if allowed_at:
            allowed = sorted(allowed_at(error["loc"][:-1]))
            close = get_close_matches("".join(map(str, error["loc"][-1:])), allowed, n=1)
            message += f"; did you mean {close[0]}?" if close else ";"
            message += f" allowed here: {', '.join(allowed)}"
    elif error["type"] not in ("missing", "value_error"):
        message += f" (not {without_secrets(repr(error['input'])):.80})"
    path = " ".join(path.split())  # keys of the user's files may hold line ends
    return f"{path}: {message}" if path else message


def load_section(kind: Any, text: str, option: str = "--settings") -> Any:
    """Reads one part of a config from JSON text, as stages get it on the command line.

    Args:
        kind: the type of that part, such as `Retrieval`, or a union or list of sections.
        text: JSON.
        option: what it was given by.

    Raises:
        KformerError: with every problem's path and what is allowed there.
    """
    try:
        return validated(kind, json.loads(text), option)
    except json.JSONDecodeError as error:
        raise KformerError(f"{option}: not valid JSON: {error}") from None
    except RecursionError:
        raise KformerError(f"{option}: the JSON is nested too deeply; flatten it") from None


def validated(kind: Any, content: Any, origin: str, not_allowed: Set[str] = frozenset()) -> Any:
    """Content of a file as a section; raises KformerError as `load_section` does.

    Args:
        not_allowed: keys of the section that messages do not offer, since the caller refuses them.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        reasons = in_one_line(
            error, lambda path: _keys_at(kind, path) - (frozenset() if path else not_allowed)
        )
        raise KformerError(f"{origin}: {reasons}") from None


def _keys_at(kind: Any, path: Sequence[str | int]) -> set[str]:
    """The keys that are allowed at a path of the config."""
    annotation: Any = kind
    for part in path:
        for section in sections_in(annotation):
            if part in section.model_fields:
                annotation = section.model_fields[str(part)].annotation
                break
            if part in _discriminators(section):
                annotation = section
                break
    return {key for section in sections_in(annotation) for key in section.model_fields}


def sections_in(annotation: Any) -> Iterator[type[Section]]:
    """The sections that an annotation names, those in unions, lists and tables too."""
    annotation = getattr(annotation, "__value__", annotation)  # of a named type
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from sections_in(inner)


def _discriminators(section: type[Section]) -> set[Any]:
    """The names by which a union knows this section, such as ``social_iqa``."""
    names = (section.model_fields.get(key) for key in ("dataset", "source"))
    return {value for field in names if field for value in get_args(field.annotation)}


def merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the config with what an override changes; what it does not name stays."""
    result = dict(base)
    for key, value in override.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            value = merged(base[key], value)
        result[key] = value
    return result
