"""Where the user's own data lies: at a path, or at an address like that of any other source."""

from typing import Self

from pydantic import model_validator

from kformer.section import Section, Text
from kformer.sources.catalogue import Sha256, SourceOverride


class UserData(Section):
    """Data of the user: at a path, to be read in place, or at an address, to be fetched."""

    path: Text | None = None
    """A file, compressed or not, or a folder of such files; read where it lies."""
    url: Text | None = None
    """`http(s)://`, `hf://`, `file:` or a plain path of an archive or a file, which is fetched,
    verified and unpacked first."""
    sha256: Sha256 | None = None
    """Of the file at `url`; without one, the first file fetched is the one expected ever after."""

    @model_validator(mode="after")
    def _lies_in_one_place(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("give either path (read in place) or url (fetched)")
        if self.sha256 and not self.url:
            raise ValueError("sha256: belongs to a url; what lies at a path is read as it is")
        return self

    @property
    def override(self) -> SourceOverride:
        """The address as `kformer.sources.catalogue` takes it."""
        return SourceOverride(url=self.url, sha256=self.sha256)
