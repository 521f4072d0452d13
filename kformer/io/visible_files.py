"""The files of a folder without hidden ones, which tools leave there: ``.git``, ``._train.csv``."""

import os
from collections.abc import Iterator
from pathlib import Path

from kformer.errors import KformerError


def visible_files(folder: Path, pattern: str = "*") -> list[Path]:
    """All files below a folder whose names match, in the order of their paths.

    Raises:
        KformerError: as `visible_paths` does.
    """
    return [
        file
        for file in visible_paths(folder)
        if file.relative_to(folder).match(pattern) and file.is_file()
    ]


def visible_paths(folder: Path) -> list[Path]:
    """All below a folder but folders, in the order of their paths; also links that lead nowhere.

    What begins with a dot is left out. Links to folders are followed, but each folder is read
    once: in its own place, if that is below ``folder`` too.

    Raises:
        KformerError: a folder cannot be read, or a name is not UTF-8.
    """
    found = sorted(_visible_paths(folder))
    for path in found:
        refuse_odd_name(path)
    return found


def refuse_odd_name(path: Path) -> None:
    """Raises KformerError for a path that is not UTF-8, which no table and no message can hold."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise KformerError(f"{shown}: the name is not UTF-8; rename it") from None


def _visible_paths(folder: Path) -> Iterator[Path]:
    read: set[str] = set()
    to_read = [folder] if folder.is_dir() else []
    for start in to_read:  # which grows
        for parent, folders, files in os.walk(start, onerror=_refuse):
            real = os.path.realpath(parent)
            is_new = real not in read
            read.add(real)
            folders[:] = sorted(name for name in folders if is_new and not name.startswith("."))
            yield from (Path(parent, name) for name in files if is_new and not name.startswith("."))
            to_read += [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]


def _refuse(error: OSError) -> None:
    raise KformerError(f"{error.filename}: {error.strerror}; make it readable")
