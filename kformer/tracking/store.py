"""The MLflow store of a study, prepared before any job opens it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kformer.errors import KformerError
from kformer.masking import masked, remember_secrets
from kformer.tracking import database
from kformer.tracking.connection import be_quiet, connect, first_line, is_server, say

if TYPE_CHECKING:
    from mlflow import MlflowClient

_AWAY = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")  # no answer, or one of a gateway

STUDY_STAGE = "study"
"""The stage of the run in which those of all stages of a study are nested."""

# Where MLflow writes addresses of artifacts.
_LOCATIONS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
}


def prepare_store(uri: str, experiment: str, artifacts: Path) -> bool:
    """Creates store and experiment, once, before parallel jobs open them.

    An SQLite store that is damaged is moved aside. In a project that was copied or moved, the store
    learns where its artifacts are now.

    Args:
        uri: address of the store or server.
        experiment: name of the MLflow experiment.
        artifacts: where artifacts go, unless a server decides that itself.

    Returns:
        False where it is a server that does not answer now, which is said: runs are sent later.

    Raises:
        KformerError: the address cannot be used, or the experiment was deleted.
    """
    remember_secrets(uri)
    be_quiet()
    from mlflow.exceptions import MlflowException

    with one_line(uri):
        if not uri.strip():
            raise KformerError("it is blank")
        try:
            _prepare(uri, experiment, artifacts)
        except MlflowException as error:
            if not (is_server(uri) and error.error_code in _AWAY):
                raise
            say(
                f"{masked(uri)} does not answer ({first_line(error)}); the study runs without it, "
                "and what is measured is kept, and sent when it answers"
            )
            return False
    return True


def _prepare(uri: str, experiment: str, artifacts: Path) -> None:
    file = database.database_of(uri)
    is_own = file is not None and _lies_with(file, artifacts)
    if file:
        database.make_usable(file, is_own)
    client = connect(uri)
    server_decides = is_server(uri) or uri.startswith("databricks")
    asked = artifacts.resolve().as_uri()
    number = experiment_id(client, experiment, None if server_decides else asked)
    location = client.get_experiment(number).artifact_location
    if file and is_own and location != asked:
        _correct_locations(file, location, artifacts)
        location = client.get_experiment(number).artifact_location
    if not server_decides and location != asked:
        say(f"the store says that artifacts of {experiment} go to {masked(location)}")


def create_if_missing(uri: str) -> None:
    """Makes the file of an SQLite store; raises as `database.database_of` does."""
    if file := database.database_of(uri):
        database.create_if_missing(file)


def experiment_id(client: "MlflowClient", name: str, location: str | None = None) -> str:
    """The id of an experiment, which is created if there is none.

    Raises:
        KformerError: it was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        # The kind makes the UI open on the table of training runs.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        try:
            return client.create_experiment(name, artifact_location=location, tags=kind)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was faster
            assert found
    if found.lifecycle_stage != "active":
        raise KformerError(
            f"the MLflow experiment {name} was deleted; restore it (MLFLOW_TRACKING_URI="
            f"{masked(client.tracking_uri)} mlflow experiments restore --experiment-id "
            f"{found.experiment_id}), or choose another name as experiment"
        )
    return found.experiment_id


def study_run(client: "MlflowClient", experiment: str) -> str | None:
    """The run of the study in an experiment, in which those of its stages are nested."""
    found = client.search_runs([experiment], f"tags.stage = '{STUDY_STAGE}'", max_results=1)
    return found[0].info.run_id if found else None


def _lies_with(file: Path, artifacts: Path) -> bool:
    """Whether a store lies in the folder of results where the folder of the study is, too."""
    return file.resolve().parent == artifacts.resolve().parent.parent


def _correct_locations(file: Path, location: str, artifacts: Path) -> None:
    """Corrects a store that was moved together with its artifacts, for all experiments in it."""
    here = file.resolve().parent.as_uri()
    inside = artifacts.resolve().as_uri().removeprefix(here)
    if not location.endswith(inside):
        return  # another place was chosen
    there = location.removesuffix(inside)
    with closing(sqlite3.connect(file)) as opened, opened:
        for table, column in _LOCATIONS.items():
            opened.execute(
                f"UPDATE {table} SET {column} = :here || substr({column}, length(:there) + 1) "
                f"WHERE substr({column}, 1, length(:there) + 1) = :there || '/'",
                {"here": here, "there": there},
            )
    say(f"{file} was moved here with its artifacts; it now looks for them here")


@contextmanager
def one_line(uri: str) -> Iterator[None]:
    """Makes one line of what goes wrong with a store: raises it as KformerError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    failures = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError)
    try:
        yield
    except KformerError as error:
        raise KformerError(f"tracking.uri: {masked(uri)} cannot be used: {error}") from None
    except failures as error:
        raise KformerError(
            f"tracking.uri: {masked(uri)} cannot be used ({first_line(error)}); start the server, "
            "correct the address (tracking.uri or MLFLOW_TRACKING_URI), or leave it out for the "
            "default store"
        ) from None
