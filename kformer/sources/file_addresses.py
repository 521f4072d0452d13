"""Addresses of files as a config gives them: of one, or of several by name."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from kformer.config_section import Name, SecretAddress, Section, Text

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class FileAddress(Section):
    """Where one file is, and what it must be."""

    url: SecretAddress
    """`http(s)://`, `hf://`, `file:` or a plain path (relative to the working directory)."""
    mirrors: tuple[SecretAddress, ...] = ()
    """Other addresses of the same file, tried in this order where the url does not give it."""
    sha256: Sha256 | None = None
    """Of the file; without one, the first file fetched is the one expected ever after."""


def _from_url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


def _shards_named(value: Any) -> Any:
    """Files with a name for each: a list below a name is numbered as on the Hugging Face hub."""
    if not isinstance(value, dict):
        return value
    named: dict[Any, Any] = {}
    for name, given in value.items():
        shards = given if isinstance(given, list) else [given]
        if not shards:
            raise ValueError(f"{name}: the list is empty; give an address")
        for number, shard in enumerate(shards):
            own = f"{name}-{number:05d}-of-{len(shards):05d}" if given is shards else name
            if own in named:
                raise ValueError(f"{own}: the name is there twice; choose another one")
            named[own] = shard
    return named


_OneFile = Annotated[
    FileAddress, BeforeValidator(_from_url, json_schema_input_type=Text | FileAddress)
]
_SeveralFiles = Annotated[list[Text | FileAddress], Field(min_length=1)]
NamedFiles = Annotated[
    dict[Name, _OneFile],
    Field(min_length=1),
    BeforeValidator(
        _shards_named,
        json_schema_input_type=Annotated[
            dict[Name, Text | FileAddress | _SeveralFiles], Field(min_length=1)
        ],
    ),
]
