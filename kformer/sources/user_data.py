"""Where the user's own data is: at a path, or at addresses like those of any other source."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from kformer.config_section import SecretAddress, Section, Text
from kformer.errors import KformerError
from kformer.io.text_files import files_below
from kformer.sources.catalogue import UserSource
from kformer.sources.file_addresses import NamedFiles, Sha256


class UserData(Section):
    """Data of the user: at a path, to be read in place, or at addresses, to be fetched."""

    path: Text | None = None
    """A file, compressed or not, or a folder of such files; read where it is. `~` is your home."""
    url: SecretAddress | None = None
    """`http(s)://`, `hf://`, `file:` or a plain path of an archive or a file, which is fetched,
    verified and unpacked first."""
    sha256: Sha256 | None = None
    """Of the file at `url`; without one, the first file fetched is the one expected ever after."""
    files: NamedFiles | None = None
    """Several files instead of one `url`, by name: `train: hf://…`, or `train: {url: hf://…,
    sha256: …}`, or a list of these, `train: [hf://…, hf://…]`. Files of questions that have the
    name of a split hold that split."""

    @model_validator(mode="after")
    def _is_at_one_location(self) -> Self:
        if [self.path, self.url, self.files].count(None) != 2:
            raise ValueError(
                "give either path (read in place) or url (fetched), or files (fetched, by name)"
            )
        if self.sha256 and not self.url:
            raise ValueError("sha256: belongs to a url; a path is read without a check")
        try:
            _ = self.path and self.place
        except RuntimeError:  # ~somebody
            raise ValueError(f"path: {self.path}: there is no such home folder") from None
        return self

    @property
    def place(self) -> Path:
        """Where ``path`` leads."""
        assert self.path is not None
        return Path(self.path).expanduser()

    def files_at(self, path: Path, suffixes: tuple[str, ...]) -> list[Path]:
        """The files to read at a path, in the order of their paths.

        Args:
            path: a file, or a folder; with ``files``, the folder to which they were unpacked.
            suffixes: those of the format.

        Raises:
            KformerError: there is no such file, or one of ``files`` is of another format.
        """
        found = files_below(path, suffixes)
        if self.files and path.is_dir():
            others = sorted(each for each in path.glob("[!.]*") if each not in found)
            if others:
                raise KformerError(
                    f"{others[0]}: no {' or '.join(suffixes)} file, as all of files must be; "
                    "correct its address, or leave it out of files"
                )
        return found

    @property
    def override(self) -> UserSource:
        """The addresses as `kformer.sources.catalogue` takes them."""
        return UserSource(url=self.url, sha256=self.sha256, files=self.files)
