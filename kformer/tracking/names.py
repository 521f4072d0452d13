"""Names and values as MLflow takes them: it refuses a whole batch for the sake of one of them."""

import hashlib
import posixpath
import re
from collections.abc import Mapping
from typing import Any

LONGEST_NAME = 250  # characters
LONGEST_VALUE = 6000  # characters

_NOT_ALLOWED = re.compile(r"[^/\w.\- :]")
_LOOKS_ESCAPED = re.compile(r"_(?=x[0-9A-F]+_)")
_NOT_STORED = re.compile(r"[\x00\ud800-\udfff]")


def fit_name(name: str) -> str:
    """A name of a parameter or metric; different names stay different.

    What MLflow refuses becomes its code in hexadecimal, as in ``Why_x3F_`` for ``Why?``. A name
    that is too long is cut and ends with a part of its checksum.
    """
    fitted = _NOT_ALLOWED.sub(_escaped, _LOOKS_ESCAPED.sub(_escaped, name))
    if posixpath.normpath(fitted) != fitted or fitted.startswith("/"):  # it is part of a path
        fitted = fitted.replace("/", _code("/"))
    if fitted in ("", ".") or fitted.startswith(".."):
        fitted = (_code(fitted[0]) if fitted else "_x_") + fitted[1:]
    if len(fitted) > LONGEST_NAME:
        checksum = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        fitted = f"{fitted[: LONGEST_NAME - 9]}-{checksum}"
    return fitted


def fit_value(value: Any, longest: int = LONGEST_VALUE) -> str:
    """A value as text; one that is too long is cut, and ends with ``…``."""
    text = _NOT_STORED.sub(lambda found: ascii(found[0])[1:-1], str(value))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def flat(settings: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of names, joined by dots; no name is there twice."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        below = flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
        for each, content in below.items():
            while each in found:
                each += "_"
            found[each] = content
    return found


def _escaped(found: re.Match[str]) -> str:
    return _code(found[0])


def _code(character: str) -> str:
    return f"_x{ord(character):X}_"
