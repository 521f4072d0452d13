"""What the files of all tables have in common: a name, a version, a checksum, clear errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import pyarrow as pa

from kformer.errors import KformerError
from kformer.io.sealed_files import is_whole

Format = Literal["Parquet", "Arrow"]
T = TypeVar("T")


def open_table(
    path: Path,
    name: str,
    schema: pa.Schema,
    version: str,
    format: Format,
    open_file: Callable[[Path], tuple[T, pa.Schema]],
) -> T:
    """Opens a file that holds a table and is as it was written.

    Args:
        name: that of the table.
        schema: what it must be, with ``version``.
        format: of the file.
        open_file: opens it; returns it with the schema that it has.

    Raises:
        KformerError: there is no such file, it is damaged, or it holds something else.
    """
    if not path.exists():
        raise KformerError(f"{path}: there is no such file; expected a {name} table")
    damaged = KformerError(f"{path}: damaged (its checksum differs); delete the file and run again")
    with reading_errors(path, format):
        whole = is_whole(path)
        if whole is False:
            raise damaged
        file, found = open_file(path)
    metadata = found.metadata or {}
    holds = _as_text(metadata.get(b"kformer_table", b"no table of kformer"))
    if holds != name:
        raise KformerError(f"{path}: holds {holds}, but a {name} table is needed here")
    written = _as_text(metadata.get(b"kformer_version", b"?"))
    if written != version or not found.equals(schema):
        raise KformerError(
            f"{path}: a {name} table of version {written}, but this program reads "
            f"version {version}; delete the file and run again"
        )
    if not whole:
        raise damaged
    return file


@contextmanager
def reading_errors(path: Path, format: Format) -> Iterator[None]:
    """Turns what pyarrow raises for a damaged file into a KformerError that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = _as_line(str(error))
        raise KformerError(f"{path}: not a readable {format} file ({reason})") from None


def _as_text(metadata: bytes) -> str:
    """Metadata of a file that may be anybody's, or damaged, for a message."""
    return _as_line(metadata.decode("utf-8", "replace"))[:80]


def _as_line(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())
