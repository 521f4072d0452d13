"""Where bytes come from: the catalogue of official addresses and checksums, and what a config may
change in it. How they get here is in `kformer.sources.fetch`."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError

from kformer.config_section import Name, SecretAddress, Section, in_one_line
from kformer.errors import KformerError
from kformer.io.contents import Contents
from kformer.sources.addresses import Address, BadAddress, locate
from kformer.sources.file_addresses import FileAddress, NamedFiles, Sha256


class SourceOverride(Section):
    """Points a source elsewhere. With a url alone, the official checksum must still hold."""

    url: SecretAddress | None = None
    """`http(s)://`, `hf://`, `file:` or a plain path (relative to the working directory)."""
    mirrors: tuple[SecretAddress, ...] = ()
    """Other addresses of the same file, tried in this order where the url does not give it."""
    sha256: Sha256 | None = None
    """Of the file at the other address, where its bytes are not the official ones."""


class UserSource(SourceOverride):
    """Where the user's own data is: one file as in an override, or several."""

    files: NamedFiles | None = None
    """Several files instead of a url, by name."""


class SourceFile(Section):
    """One file of a source."""

    title: str
    """What messages call it: the name of the source, or of the source and the file."""
    part: Name | None = None
    """Its name where a source has several; it is unpacked under this name."""
    setting: str
    """The key of the config below which its addresses are, such as ``sources.atomic``."""
    url: SecretAddress
    mirrors: tuple[SecretAddress, ...] = ()
    """Other addresses of the same bytes, tried in this order where ``url`` does not give them."""
    sha256: Sha256 | None = None
    """Of the file as published; None when nobody published one."""
    size: int | None = None
    """In bytes."""

    @cached_property
    def addresses(self) -> tuple[Address, ...]:
        """All addresses, in the order in which they are tried.

        Raises:
            KformerError: one cannot be used.
        """
        keys = ["url", *("mirrors" for _ in self.mirrors)]
        texts = [self.url, *self.mirrors]
        return tuple(self._address(text, key) for text, key in zip(texts, keys, strict=True))

    def _address(self, text: SecretAddress, key: str) -> Address:
        setting = f"{self.setting}.{key}"
        try:
            target = locate(text.get_secret_value())
            hidden = target if isinstance(target, Path) else SecretAddress(target)
            return Address(text, hidden, setting)
        except BadAddress as error:
            raise KformerError(
                f"source {self.title}: the address '{text}' cannot be used: {error}; "
                f"correct {setting}"
            ) from None

    @property
    def file_name(self) -> str:
        """What it is called if it is no archive, whichever mirror gave it."""
        target = self.addresses[0].target
        if isinstance(target, Path):
            return target.name
        return PurePosixPath(unquote(urlsplit(target.get_secret_value()).path)).name or self.title

    @cached_property  # a file on this machine is hashed for it
    def key(self) -> str:
        """Twelve hex digits for names of files: of the sha256 or, without one, of the url's, which
        stays the same where just a password in it changes.

        A file on this machine may change under its name: without a checksum, its content counts
        as well.
        """
        if self.sha256:
            return self.sha256[:12]
        identity, target = str(self.url), self.addresses[0].target
        if isinstance(target, Path) and target.is_file():
            identity += f"\n{Contents().checksum(target)}"
        return hashlib.sha256(identity.encode()).hexdigest()[:12]


class Source(Section):
    """What its owners publish, or the user's own data: one file or several."""

    name: Name
    licence: str
    files: Annotated[tuple[SourceFile, ...], Field(min_length=1)]
    is_users_own: bool = False
    """Whether its files are read under the names that they happen to have."""

    @property
    def key(self) -> str:
        """Twelve hex digits for names of folders, which change where a file or its name does."""
        identities = [self._identity(file) for file in self.files]
        if identities == [self.files[0].key]:
            return self.files[0].key
        return hashlib.sha256("\n".join(identities).encode()).hexdigest()[:12]

    def _identity(self, file: SourceFile) -> str:
        # Ids and splits of the user's questions come from names. An address has the name in it, a
        # checksum has not.
        name = file.file_name if self.is_users_own and file.sha256 else None
        return " ".join(filter(None, [file.part, file.key, name]))


def _published(name: str, licence: str, **file: Any) -> Source:
    """An entry of the catalogue; ``file`` is the url, sha256 and size of its file."""
    published = SourceFile(title=name, setting=f"sources.{name}", **file)
    return Source(name=name, licence=licence, files=(published,))


CATALOGUE: dict[str, Source] = {
    source.name: source
    for source in (
        _published(
            name="social_iqa",
            url="https://storage.googleapis.com/ai2-mosaic/public/socialiqa/socialiqa-train-dev.zip",
            licence="CC BY 4.0",
            sha256="ee073914a0fc33265cfbcfc50ec20df9b2e07809c3f420f599138d1f394ef5c3",
            size=2_198_056,
        ),
        _published(
            # ATOMIC v4. A mirrored copy is published with another checksum, for an override:
            # 2347ce175f68e42129828c07602299937c2a502390b9b2575fd10e1b78e076e3
            name="atomic",
            url="https://homes.cs.washington.edu/~msap/atomic/data/atomic_data.tgz",
            licence="CC BY 4.0",
            sha256="f22779944e6613044d530875dd9592a333be2e3cb83d25493b36bba7c59b2ba9",
            size=19_083_782,
        ),
        _published(
            name="atomic2020",
            url="https://ai2-atomic.s3-us-west-2.amazonaws.com/data/atomic2020_data-feb2021.zip",
            licence="CC BY 4.0",
        ),
        _published(
            # About 0.5 GB, and 10 GB unpacked.
            name="conceptnet",
            url="https://s3.amazonaws.com/conceptnet/downloads/2019/edges/conceptnet-assertions-5.7.0.csv.gz",
            licence="CC BY-SA 4.0",
        ),
        _published(
            name="med_qa",
            url="hf://datasets/bigbio/med_qa/data_clean.zip",
            licence="MIT; textbooks: their publishers'",
            sha256="1c2ca8130b3d86d9a99a432ab9bef14f3bb9807bef20facd9ac86ba36960f629",
            size=131_741_885,
        ),
        _published(
            name="open_book_qa",
            url="https://ai2-public-datasets.s3.amazonaws.com/open-book-qa/OpenBookQA-V1-Sep2018.zip",
            mirrors=(
                "https://s3-us-west-2.amazonaws.com/ai2-website/data/OpenBookQA-V1-Sep2018.zip",
            ),
            licence="Apache-2.0",
            sha256="82368cf05df2e3b309c17d162e10b888b4d768fad6e171e0a041954c8553be46",
            size=1_446_098,
        ),
        _published(
            name="qasc",
            url="https://ai2-public-datasets.s3.amazonaws.com/qasc/qasc_dataset.tar.gz",
            mirrors=("https://data.allenai.org/downloads/qasc/qasc_dataset.tar.gz",),
            licence="CC BY 4.0",
            sha256="a7b3f2244f768974c609fd621346c931a72715609f171cb5544fc1da2a2ad55c",
            size=1_616_514,
        ),
        _published(
            # GitHub packs this archive when it is asked for, so its bytes may change.
            name="medquad",
            url="https://github.com/abachaa/MedQuAD/archive/577bd37b96c0.zip",
            licence="CC BY 4.0",
        ),
    )
}


def resolve(name: str, overrides: Mapping[str, SourceOverride | UserSource]) -> Source:
    """Returns the source called ``name`` as the user's config has it.

    A name that is not in the catalogue is the user's own data, if its override has a url or files.

    Raises:
        KformerError: ``name``, or a name in ``overrides``, is neither in the catalogue nor has an
            address; or an address of ``name`` cannot be used.
    """
    users = {each for each, override in overrides.items() if override.url or _files_of(override)}
    if unknown := sorted({name, *overrides} - CATALOGUE.keys() - users):
        known = ", ".join(sorted(CATALOGUE))
        raise KformerError(f"sources: {unknown[0]!r} is not a known source; known are: {known}")
    override = overrides.get(name, SourceOverride())
    if name in CATALOGUE:
        source = _overridden(CATALOGUE[name], override)
    else:
        source = _users_source(name, override)
    for file in source.files:
        _ = file.addresses  # so that a bad one is reported before anything is fetched
    return source


def _files_of(override: SourceOverride) -> dict[str, FileAddress]:
    return (isinstance(override, UserSource) and override.files) or {}


def _overridden(official: Source, override: SourceOverride) -> Source:
    if _files_of(override):
        raise KformerError(
            f"sources.{official.name}.files: only your own data has named files; give url"
        )
    changes = override.model_dump(exclude_none=True, exclude={"files"})
    if not override.url and not override.mirrors:
        del changes["mirrors"]
    (file,) = official.files
    if changes.get("sha256", file.sha256) != file.sha256:
        changes["size"] = None  # other bytes
    changed = SourceFile(**{**file.model_dump(), **changes})
    return official.model_copy(update={"files": (changed,)})


def _users_source(name: str, override: SourceOverride) -> Source:
    setting = "questions" if name.endswith("_questions") else f"knowledge ({name})"
    if named := _files_of(override):
        files = [
            SourceFile(
                title=f"{name}.{part}",
                part=part,
                setting=f"{setting}.files.{part}",
                **address.model_dump(),
            )
            for part, address in named.items()
        ]
    else:
        address = override.model_dump(exclude={"files"})
        files = [SourceFile(title=name, setting=setting, **address)]
    try:
        return Source(name=name, licence="your own", files=tuple(files), is_users_own=True)
    except ValidationError as error:  # the name becomes part of file names
        raise KformerError(f"sources: {in_one_line(error)}") from None
