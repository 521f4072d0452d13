"""MLflow stores for tests."""

import os
import socket
import sys
from types import SimpleNamespace

import pytest

from kformer.tracking import connection, prepare_store


@pytest.fixture(autouse=True)
def environment_restored(monkeypatch):
    """Connecting sets variables of the environment; none stays after a test."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A SQLite store with one experiment: creating it takes seconds, so all tests share it."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'deep' / 'mlflow.db'}"
    prepare_store(uri, "study", folder / "artifacts")
    from mlflow import MlflowClient

    return SimpleNamespace(uri=uri, client=MlflowClient(uri), artifacts=folder / "artifacts")


@pytest.fixture
def client(store, monkeypatch):
    """Tracking is on, and this client looks at it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
    monkeypatch.delenv("KFORMER_CONFIG", raising=False)
    return store.client


@pytest.fixture(autouse=True)
def nothing_reported_yet(monkeypatch):
    for said in ("_reported", "_kept"):
        monkeypatch.setattr(connection, said, set())


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "deep" / "run.json"


@pytest.fixture
def unusable(tmp_path, monkeypatch):
    """Addresses that cannot be used, by what is wrong with them."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    (tmp_path / "no.db").write_text("this is no database" * 100)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed_port = probe.getsockname()[1]
    return {
        "nobody answers": f"http://127.0.0.1:{closed_port}",
        "no database": f"sqlite:///{tmp_path / 'no.db'}",
        "no folder": f"sqlite:///{tmp_path / 'no.db' / 'mlflow.db'}",
        "no driver": "postgresql://me:secret@127.0.0.1:9/mlflow",
        "unknown kind": "carrier-pigeon://loft",
        "a folder": "./mlruns",
    }
