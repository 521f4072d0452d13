"""Addresses as a config gives them, and where they lead."""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from kformer.config_section import SecretAddress
from kformer.masking import needs_encoding


class Address(NamedTuple):
    """One address of a file; what is shown of it holds no secrets."""

    text: SecretAddress
    """As the config or the catalogue gives it."""
    target: SecretAddress | Path
    """An http(s) address, or a path on this machine."""
    setting: str
    """The key of the config that gives it, such as ``sources.atomic.url``."""


class BadAddress(ValueError):
    """Why an address cannot be used."""


def locate(text: str) -> str | Path:
    """Where an address leads: to an http(s) address, or to a path on this machine.

    Files on the Hugging Face hub are ``hf://datasets/OWNER/NAME[@REVISION]/PATH``, or without
    ``datasets/`` the files of a model.

    Raises:
        BadAddress: the address cannot be used.
    """
    if needs_encoding(text):
        raise BadAddress(
            "a user name or password has / as %2F, ? as %3F, # as %23, and a path has @ as %40"
        )
    try:
        parts = urlsplit(text)
        if parts.scheme in ("http", "https"):
            _ = parts.port  # which has to be a number
            if not parts.hostname:
                raise ValueError("it names no host")
            return text
        if parts.scheme == "hf":
            return _hub_address(text)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path)).expanduser()
        if "://" not in text:
            return Path(text).expanduser()
    except (ValueError, RuntimeError) as error:  # brackets without an address in them; no such ~
        raise BadAddress(" ".join(str(error).split()).rstrip(".")) from None
    raise BadAddress("neither http(s)://, nor hf://, nor file:///path, nor a plain path")


def _hub_address(text: str) -> str:
    from huggingface_hub import hf_hub_url, parse_hf_uri

    file = parse_hf_uri(text)
    if file.is_bucket or not file.path_in_repo:
        raise ValueError("it names no file, as hf://datasets/OWNER/NAME[@REVISION]/PATH does")
    return hf_hub_url(file.id, file.path_in_repo, repo_type=file.type, revision=file.revision)
