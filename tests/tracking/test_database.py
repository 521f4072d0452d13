"""The file of a store: whole or not there, and moved aside where it cannot be used."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from multiprocessing import get_context

import pytest

from kformer.errors import KformerError
from kformer.tracking import database as databases
from kformer.tracking import tracked
from kformer.tracking.database import create_if_missing, database_of, make_usable

pytestmark = pytest.mark.slow  # for the stores


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A fresh database."""
    path = tmp_path_factory.mktemp("made") / "mlflow.db"
    create_if_missing(path)
    return path


@pytest.fixture
def database(made, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copy(made, tmp_path / "mlflow.db")


@pytest.fixture
def copied_instead_of_made(made, monkeypatch):
    """Making a database takes seconds."""
    monkeypatch.setattr(databases, "_create", lambda path: shutil.copy(made, path))


def change(database, *statements):
    with closing(sqlite3.connect(database)) as opened, opened:
        for statement in statements:
            opened.execute(statement)


def experiments(database):
    with closing(sqlite3.connect(database)) as opened:
        return [name for (name,) in opened.execute("SELECT name FROM experiments")]


def half_migrate(database):
    """Tables of a later version than the one it says it has: a kill in its first seconds."""
    change(database, "UPDATE alembic_version SET version_num = '451aebb31d03'")


def cut(database):
    os.truncate(database, 40_000)


def scribble(database):
    with database.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 65536)


def misspell(database):
    """A definition of a table that is no SQL, nor text."""
    content = database.read_bytes()
    database.write_bytes(content.replace(b"REFERENCES", b"\xd2EFERENCES"))


def unknown_format(database):
    with database.open("r+b") as file:
        file.seek(47)
        file.write(b"\xee")


def drop_a_table(database):
    change(database, "DROP TABLE metrics")


WRECKS = {
    "damaged": [cut, scribble, misspell, unknown_format, drop_a_table],
    "half migrated": [half_migrate],
    "no SQLite database": [lambda database: database.write_text("no database " * 500)],
    "of another version of MLflow": [
        lambda database: change(database, "UPDATE alembic_version SET version_num = 'fedcba987654'")
    ],
    "a database of another program": [
        lambda database: (database.unlink(), change(database, "CREATE TABLE shop (item TEXT)"))
    ],
}
CASES = [(trouble, wreck) for trouble, wrecks in WRECKS.items() for wreck in wrecks]


def test_a_good_one_is_left_as_it_is(database, capsys):
    before = database.read_bytes()
    make_usable(database, is_own=True)
    assert database.read_bytes() == before
    assert capsys.readouterr().err == ""
    assert not list(database.parent.glob("*aside*"))


@pytest.mark.usefixtures("copied_instead_of_made")
@pytest.mark.parametrize(("trouble", "wreck"), CASES)
def test_what_cannot_be_used_is_moved_aside_and_told(database, trouble, wreck, capsys):
    wreck(database)
    wrecked = database.read_bytes()
    make_usable(database, is_own=True)
    aside = database.with_name("mlflow-moved-aside-1.db")
    said = f"{database} is {trouble}; it is now {aside}, and runs go to a new one"
    assert said in capsys.readouterr().err
    assert aside.read_bytes() == wrecked
    assert experiments(database) == ["Default"]


@pytest.mark.usefixtures("copied_instead_of_made")
@pytest.mark.parametrize(("trouble", "wreck"), CASES)
def test_what_may_be_somebody_elses_is_left_alone(database, trouble, wreck):
    wreck(database)
    wrecked = database.read_bytes()
    if trouble in ("damaged", "half migrated"):
        make_usable(database, is_own=False)
        assert database.with_name("mlflow-moved-aside-1.db").read_bytes() == wrecked
    else:
        with pytest.raises(KformerError, match=f"this file is {trouble}; name another one"):
            make_usable(database, is_own=False)
        assert database.read_bytes() == wrecked


def test_the_log_of_a_deleted_one_is_not_applied_to_the_next(database, capsys):
    journal = database.with_name("mlflow.db-journal")
    database.unlink()
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\xff" * 9000)
    make_usable(database, is_own=True)
    assert experiments(database) == ["Default"]
    assert not journal.exists()


def test_an_older_one_is_brought_up_to_date_and_kept(database, tmp_path, capsys):
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config

    database.unlink()
    config = _get_alembic_config(f"sqlite:///{database}")
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    command.upgrade(config, "bd07f7e963c5")
    engine.dispose()
    change(database, "INSERT INTO experiments (name) VALUES ('before')")
    make_usable(database, is_own=True)
    assert "before" in experiments(database)
    said = capsys.readouterr().err
    assert "was of an older MLflow and is now of this one" in said
    assert "before" in experiments(database.with_name("mlflow-moved-aside-1.db"))
    make_usable(database, is_own=True)
    assert "older" not in capsys.readouterr().err


def test_a_link_to_one_is_followed_and_stays(database, tmp_path):
    link = tmp_path / "results" / "mlflow.db"
    link.parent.mkdir()
    link.symlink_to(database)
    for empty in (False, True):
        if empty:
            database.write_bytes(b"")
        found = database_of(f"sqlite:///{link}")
        make_usable(found, is_own=True)
        assert found == database and experiments(database) == ["Default"]
    assert list(link.parent.iterdir()) == [link] and link.is_symlink()


def track(database, memory):
    """A stage that opens the store, without anybody having prepared it."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{database}"
    with tracked("run", memory, {}, {}) as run:
        run.log({"did": 1.0})


def started(*arguments):
    """A process of its own, which need not import MLflow again."""
    process = get_context("fork").Process(target=track, args=arguments)
    process.start()
    return process


def test_eight_processes_may_open_a_fresh_one(made, tmp_path, capfd):
    database = tmp_path / "deep" / "mlflow.db"
    for process in [started(database, tmp_path / f"{number}") for number in range(8)]:
        process.join()
    assert "tracking: not" not in capfd.readouterr().err
    with closing(sqlite3.connect(database)) as opened:
        ended = opened.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()
        assert ended == [("FINISHED", 8)]
        assert opened.execute("SELECT count(*) FROM metrics").fetchone() == (8,)


@pytest.mark.parametrize("after", [0.0, 0.2, 0.5])
def test_a_kill_in_its_first_seconds_breaks_nothing(made, tmp_path, after, capsys):
    database = tmp_path / "mlflow.db"
    process = started(database, tmp_path / "memory")
    while process.is_alive() and not list(tmp_path.glob(".mlflow.db.partial*")):
        time.sleep(0.005)
    time.sleep(after)
    process.kill()
    process.join()
    make_usable(database, is_own=True)
    assert experiments(database)[0] == "Default"
    assert "aside" not in capsys.readouterr().err
    assert not list(tmp_path.glob(".mlflow.db.partial*"))
