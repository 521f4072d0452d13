"""The SQLite file of a store: made whole or not at all, and moved aside where it cannot be used."""

import os
import re
import sqlite3
import warnings
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from kformer.errors import KformerError
from kformer.io.file_writing import replacing
from kformer.io.locks import Lock
from kformer.tracking.connection import say

_SCHEME = "sqlite:///"
_IN_MEMORY = re.compile(
    r"sqlite(\+\w+)?:(//|///(file:)?(:memory:)?)(\?.*)?"
    r"|sqlite.*[?&](mode=memory|vfs=memdb)(&.*)?"
)
_BESIDE = ("", "-journal", "-wal", "-shm")  # a database and what SQLite keeps beside it
# SQLite's codes of errors: an error in the tables' own definitions, damage, no database.
_ERROR, _CORRUPT, _NO_DATABASE = 1, 11, 26

Trouble = Literal[
    "no SQLite database",
    "damaged",
    "a database of another program",
    "half migrated",
    "of another version of MLflow",
]
# What nobody can use any more; the rest may be somebody's.
_WRECKS: tuple[Trouble, ...] = ("damaged", "half migrated")


def database_of(uri: str) -> Path | None:
    """The file of an SQLite store, not a link to it; None for any other store.

    Raises:
        KformerError: the store would be in memory, the file's path holds a ``?``, at which the
            address ends, or it is a link to nothing.
    """
    if _IN_MEMORY.fullmatch(uri):
        raise KformerError(
            f"{uri}: this names no file, and what one job kept in memory no other would see; "
            f"give {_SCHEME} and a path"
        )
    if not uri.startswith(_SCHEME):
        return None
    path, question_mark, options = uri.removeprefix(_SCHEME).partition("?")
    if question_mark and not re.fullmatch(r"\w+=[^&/]*(&\w+=[^&/]*)*", options):
        raise KformerError(
            f"{uri}: an address ends at a ?; rename the folder, or give the path from the working "
            "directory on"
        )
    return None if path.startswith("file:") else _followed(Path(path))


def _followed(database: Path) -> Path:
    """Where a database lies: beside a link to it, nothing may be made in its place."""
    if not database.is_symlink():
        return database
    if not database.exists():
        raise KformerError(
            f"{database} is a link to {database.readlink()}, which is not there; mount or make "
            "that, or remove the link"
        )
    return database.resolve()


def create_if_missing(database: Path) -> None:
    """Makes a database with the tables of MLflow; several processes may do so at once."""
    if not _is_missing(database):
        return
    with Lock(database, work="preparing"):
        if _is_missing(database):
            _create(database)


def make_usable(database: Path, is_own: bool) -> None:
    """Makes a database that is missing, old or damaged one that this MLflow can use.

    What cannot be used is moved aside, never deleted, and a line on stderr says where to.

    Args:
        database: the file.
        is_own: whether it belongs to the project, and may be moved aside in any case.

    Raises:
        KformerError: it may be somebody else's.
        sqlite3.Error: it cannot be read or written.
        OSError: as well.
    """
    with Lock(database, work="preparing"):
        if _is_missing(database):
            _create(database)
        if not (trouble := _trouble_with(database)):
            return
        if not is_own and trouble not in _WRECKS:
            raise KformerError(f"this file is {trouble}; name another one, or move it away")
        aside = _free_name(database)
        for ending in _BESIDE:
            part = database.with_name(database.name + ending)
            if part.exists():
                part.replace(aside.with_name(aside.name + ending))
        _create(database)
        say(f"{database} is {trouble}; it is now {aside}, and runs go to a new one")


def address_of(database: Path) -> str:
    """The address of a database; of its path from the working directory where that must be."""
    absolute = str(database.absolute())
    return _SCHEME + (os.path.relpath(absolute) if "?" in absolute else absolute)


def _free_name(database: Path) -> Path:
    """Where a file may be moved, beside it."""
    names = (f"{database.stem}-moved-aside-{number}{database.suffix}" for number in count(1))
    return next(path for name in names if not (path := database.with_name(name)).exists())


def _is_missing(database: Path) -> bool:
    """Whether there is nothing: SQLite makes an empty file of a database that it only opens."""
    return not database.exists() or (database.is_file() and not database.stat().st_size)


def _create(database: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for ending in _BESIDE[1:]:  # of a database that was deleted; SQLite would apply it to this one
        leftover = database.with_name(database.name + ending)
        if leftover.exists():
            leftover.replace(_free_name(leftover))
    with replacing(database) as partial:
        _forget_beside(partial)
        SqlAlchemyStore(address_of(partial), "./mlruns").engine.dispose()


def _forget_beside(partial: Path) -> None:
    """Removes what a killed process left beside its unfinished database."""
    for ending in _BESIDE[1:]:
        partial.with_name(partial.name + ending).unlink(missing_ok=True)


def _trouble_with(database: Path) -> Trouble | None:
    """Why a database cannot be used; one of an older MLflow is brought up to date."""
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.db.utils import _get_latest_schema_revision  # it completes Base, too

    try:
        # SQLite's own address of a file, which is not created here.
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=rw", uri=True)) as opened:
            opened.execute("BEGIN IMMEDIATE")  # MLflow would try for minutes to write
            if opened.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return "damaged"
            found = opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in found}
            if not tables & {"experiments", "alembic_version"}:
                return "a database of another program" if tables else "half migrated"
            versions = "SELECT version_num FROM alembic_version"
            revisions = opened.execute(versions).fetchall() if "alembic_version" in tables else []
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == _NO_DATABASE and not _begins_as_database(database):
            return "no SQLite database"
        if code in (_ERROR, _CORRUPT, _NO_DATABASE):
            return "damaged"
        raise
    except UnicodeDecodeError:  # SQLite's message repeats what is damaged
        return "damaged"
    if revisions == [(_get_latest_schema_revision(),)]:
        return None if tables.issuperset(Base.metadata.tables) else "damaged"
    return _upgrade(database)


def _begins_as_database(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(16) == b"SQLite format 3\0"


def _upgrade(database: Path) -> Trouble | None:
    """Gives a store the tables of this MLflow, and keeps it as it was, too; says why it cannot."""
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with replacing(database) as partial:
            _forget_beside(partial)
            _copy(database, partial)
            _migrate(partial)
            aside = _free_name(database)
            _copy(database, aside)
    except CommandError:  # it does not know the version
        return "of another version of MLflow"
    except (SQLAlchemyError, MlflowException):  # it finds other tables than those of the version
        return "half migrated"
    say(f"{database} was of an older MLflow and is now of this one; {aside} is as it was")
    return None


def _copy(database: Path, to: Path) -> None:
    with closing(sqlite3.connect(database)) as old, closing(sqlite3.connect(to)) as new:
        old.backup(new)


def _migrate(database: Path) -> None:
    from mlflow.store.db.utils import _upgrade_db
    from sqlalchemy import create_engine

    engine = create_engine(address_of(database))
    try:
        with warnings.catch_warnings(action="ignore"):
            _upgrade_db(engine)
    finally:
        engine.dispose()
