"""The file of a store: whole or not there, and moved aside where it cannot be used."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from kformer.errors import KformerError
from kformer.tracking.database import create_if_missing, make_usable

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


WRECKS = {
    "damaged": [cut, scribble],
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

    # The newest step of MLflow's that adds something, undone.
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


def processes(count, code, *arguments):
    call = [sys.executable, "-c", code, *map(str, arguments)]
    return [subprocess.Popen(call, stderr=subprocess.PIPE, text=True) for _ in range(count)]


TRACK = """
import os, sys
from pathlib import Path
from kformer.tracking import tracked
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{sys.argv[1]}"
with tracked("run", Path(f"{sys.argv[1]}.{os.getpid()}"), {}, {}) as run:
    run.log({"did": 1.0})
"""


def test_eight_processes_may_open_a_fresh_one(tmp_path):
    database = tmp_path / "deep" / "mlflow.db"
    said = [each.communicate()[1] for each in processes(8, TRACK, database)]
    assert not [line for line in said if "not logged" in line]
    with closing(sqlite3.connect(database)) as opened:
        ended = opened.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()
        assert ended == [("FINISHED", 8)]
        assert opened.execute("SELECT count(*) FROM metrics").fetchone() == (8,)


@pytest.mark.parametrize("after", [0.05, 0.4, 0.8])
def test_a_kill_in_its_first_seconds_breaks_nothing(tmp_path, after, capsys):
    database = tmp_path / "mlflow.db"
    (process,) = processes(1, TRACK, database)
    while process.poll() is None and not list(tmp_path.glob(".mlflow.db.partial*")):
        time.sleep(0.005)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    make_usable(database, is_own=True)
    assert experiments(database)[0] == "Default"
    assert "aside" not in capsys.readouterr().err
    assert not list(tmp_path.glob(".mlflow.db.partial*"))
