"""What config sections and rows have in common: strictness, and how their errors are worded."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


Text = Annotated[str, AfterValidator(_not_blank), Field(json_schema_extra={"pattern": r"\S"})]
# Becomes a folder's name and a part of URLs.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values never change after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def in_one_line(
    error: ValidationError, allowed_at: Callable[[tuple[Any, ...]], Iterable[str]] | None = None
) -> str:
    """All problems of a validation, each with its place, as one line.

    Args:
        error: what pydantic raised.
        allowed_at: tells the keys that are allowed at a place, to be named beside an unknown key.
    """
    return "; ".join(dict.fromkeys(_problem(each, allowed_at) for each in error.errors()))


def _problem(error: Any, allowed_at: Callable[[tuple[Any, ...]], Iterable[str]] | None) -> str:
    message = error["msg"].removeprefix("Value error, ")
    # pydantic names the members of a union in the place, such as literal['top3', ...].
    place = ".".join(str(part) for part in error["loc"] if "[" not in str(part))
    if error["type"] == "extra_forbidden":
        message = "unknown key"
        if allowed_at:
            allowed = sorted(allowed_at(error["loc"][:-1]))
            close = get_close_matches(str(error["loc"][-1]), allowed, n=1)
            message += f"; did you mean {close[0]}?" if close else ";"
            message += f" allowed here: {', '.join(allowed)}"
    elif error["type"] not in ("missing", "value_error"):
        message += f" (not {error['input']!r:.80})"
    place = " ".join(place.split())  # keys of people's own files may hold line ends
    return f"{place}: {message}" if place else message
