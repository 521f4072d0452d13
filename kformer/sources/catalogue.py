"""Where bytes come from: the catalogue of official addresses and checksums, and what a config may
change in it. How they get here is in `kformer.sources.fetch`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import StringConstraints, ValidationError

from kformer.errors import KformerError
from kformer.section import Name, Section, Text, in_one_line

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class Source(Section):
    """One file that its owners publish: a data set or a body of knowledge."""

    name: Name
    url: str
    """``http(s)://``, ``hf://``, ``file:`` or a plain path (relative to the working directory)."""
    mirrors: tuple[str, ...] = ()
    """Other addresses of the same bytes, tried in this order where ``url`` does not give them."""
    licence: str
    sha256: Sha256 | None = None
    """Of the file as published; None when nobody published one."""
    size: int | None = None
    """In bytes."""

    @property
    def key(self) -> str:
        """Twelve hex digits for folder names: of the sha256 or, without one, of the url's.

        A file on this machine may change under its name: without a checksum, its age and size
        count as well.
        """
        identity = self.url
        place = locate(self, self.url)
        if isinstance(place, Path) and place.is_file():
            identity += f"\n{place.stat().st_size}\n{place.stat().st_mtime_ns}"
        return (self.sha256 or hashlib.sha256(identity.encode()).hexdigest())[:12]

    @property
    def section(self) -> str:
        """Where the config has it: under ``sources`` or, one's own, with what reads it."""
        if self.name in CATALOGUE:
            return f"sources.{self.name}"
        return "questions" if self.name.endswith("_questions") else f"knowledge ({self.name})"

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.url, *self.mirrors)

    def setting(self, address: str) -> str:
        """The key of the config that gives this address."""
        return "url" if address == self.url else "mirrors"


class SourceOverride(Section):
    """Points a source elsewhere. With a url alone, the official checksum must still hold."""

    url: Text | None = None
    """``http(s)://``, ``hf://``, ``file:`` or a plain path (relative to the working directory)."""
    mirrors: tuple[Text, ...] = ()
    """Other addresses of the same file, tried in this order where the url does not give it."""
    sha256: Sha256 | None = None
    """Of the file at the other address, where its bytes are not the official ones."""


CATALOGUE: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="social_iqa",
            url="https://storage.googleapis.com/ai2-mosaic/public/socialiqa/socialiqa-train-dev.zip",
            licence="CC BY 4.0",
            sha256="ee073914a0fc33265cfbcfc50ec20df9b2e07809c3f420f599138d1f394ef5c3",
            size=2_198_056,
        ),
        Source(
            # ATOMIC v4. A mirrored copy is published with another checksum, for an override:
            # 2347ce175f68e42129828c07602299937c2a502390b9b2575fd10e1b78e076e3
            name="atomic",
            url="https://homes.cs.washington.edu/~msap/atomic/data/atomic_data.tgz",
            licence="CC BY 4.0",
            sha256="f22779944e6613044d530875dd9592a333be2e3cb83d25493b36bba7c59b2ba9",
            size=19_083_782,
        ),
        Source(
            name="atomic2020",
            url="https://ai2-atomic.s3-us-west-2.amazonaws.com/data/atomic2020_data-feb2021.zip",
            licence="CC BY 4.0",
        ),
        Source(
            # About 0.5 GB, and 10 GB unpacked.
            name="conceptnet",
            url="https://s3.amazonaws.com/conceptnet/downloads/2019/edges/conceptnet-assertions-5.7.0.csv.gz",
            licence="CC BY-SA 4.0",
        ),
        Source(
            name="med_qa",
            url="hf://datasets/bigbio/med_qa/data_clean.zip",
            licence="MIT; textbooks: their publishers'",
            sha256="1c2ca8130b3d86d9a99a432ab9bef14f3bb9807bef20facd9ac86ba36960f629",
            size=131_741_885,
        ),
        Source(
            # GitHub packs this archive when it is asked for, so its bytes may change.
            name="medquad",
            url="https://github.com/abachaa/MedQuAD/archive/577bd37b96c0.zip",
            licence="CC BY 4.0",
        ),
    )
}


def resolve(name: str, overrides: Mapping[str, SourceOverride]) -> Source:
    """Returns the source called ``name`` as the user's config has it.

    A name that is not in the catalogue is the user's own data, if its override has a url.

    Raises:
        KformerError: ``name``, or a name in ``overrides``, is neither in the catalogue nor has a
            url; or an address in the override of ``name`` cannot be used.
    """
    with_url = {each for each, override in overrides.items() if override.url}
    if unknown := sorted({name, *overrides} - CATALOGUE.keys() - with_url):
        known = ", ".join(sorted(CATALOGUE))
        raise KformerError(f"sources: {unknown[0]!r} is not a known source; known are: {known}")
    given = overrides.get(name, SourceOverride())
    source = _overridden(CATALOGUE[name], given) if name in CATALOGUE else _own(name, given)
    for address in (given.url, *given.mirrors):
        if address:
            locate(source, address)
    return source


def _overridden(official: Source, given: SourceOverride) -> Source:
    changes = given.model_dump(exclude_none=True)
    if not given.url and not given.mirrors:
        del changes["mirrors"]
    if changes.get("sha256", official.sha256) != official.sha256:
        changes["size"] = None  # other bytes
    return official.model_copy(update=changes)


def _own(name: str, given: SourceOverride) -> Source:
    try:
        return Source(name=name, licence="your own", **given.model_dump())
    except ValidationError as error:  # the name becomes part of file names
        raise KformerError(f"sources: {in_one_line(error)}") from None


# Addresses


def locate(source: Source, address: str) -> str | Path:
    """Where an address of ``source`` leads: to an http(s) address, or to a path of this machine.

    Hugging Face hub files are ``hf://datasets/OWNER/NAME[@REVISION]/PATH``, or without
    ``datasets/`` for the files of a model.

    Raises:
        KformerError: the address cannot be used.
    """
    try:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https"):
            return address
        if parts.scheme == "hf":
            return _hub_address(address)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path)).expanduser()
        if "://" not in address:
            return Path(address).expanduser()
        reason = "neither http(s)://, nor hf://, nor file:///path, nor a plain path"
    except (ValueError, RuntimeError) as error:  # brackets without an address in them; no such ~
        reason = " ".join(str(error).split()).rstrip(".")
    raise KformerError(
        f"source {source.name}: the address {address!r} cannot be used: {reason}; "
        f"correct {source.section}.{source.setting(address)}"
    )


def _hub_address(address: str) -> str:
    from huggingface_hub import hf_hub_url, parse_hf_uri

    file = parse_hf_uri(address)
    if file.is_bucket or not file.path_in_repo:
        raise ValueError("it names no file, as hf://datasets/OWNER/NAME[@REVISION]/PATH does")
    return hf_hub_url(file.id, file.path_in_repo, repo_type=file.type, revision=file.revision)
