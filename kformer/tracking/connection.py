"""Connecting to a store or server of MLflow, and what is said where that fails."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from kformer.errors import KformerError
from kformer.masking import masked, needs_encoding, remember_secrets, user_info, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow's own 7 tries of 2 minutes keep a job waiting where a server is gone or hangs; here whoever
# sends tries again later.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

_reported: set[str] = set()
_kept: set[str] = set()


def be_quiet() -> None:
    """Lets MLflow log nothing: its errors are raised, too, and become one line here.

    It has to be called before MLflow is imported.
    """
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def connect(uri: str) -> "MlflowClient":
    """A client of a store or server.

    Args:
        uri: its address.

    Raises:
        KformerError: MLflow would misunderstand the address.
    """
    remember_secrets(uri)
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # which says every retry
    if is_server(uri):
        uri = _without_credentials(uri)
    if masked(uri) != uri:  # it prints where a run is to be seen
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"

    from mlflow import MlflowClient

    return MlflowClient(uri)


def is_server(uri: str) -> bool:
    return uri.lower().startswith(("http:", "https:"))


def _without_credentials(uri: str) -> str:
    """Puts name and password of a server where MLflow looks for them: it prints addresses."""
    info, rest = user_info(uri)
    if needs_encoding(uri):
        raise KformerError("in its user name and password write / as %2F, ? as %3F, # as %23")
    if re.search(r"[?#]", rest):
        raise KformerError(
            "MLflow cannot use what begins with ? or #; a token belongs into MLFLOW_TRACKING_TOKEN"
        )
    name, _, password = info.partition(":")
    if not (name and password):
        return uri
    os.environ.setdefault("MLFLOW_TRACKING_USERNAME", unquote(name))
    os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", unquote(password))
    return uri.removesuffix(f"{info}@{rest}") + rest


@contextmanager
def reporting_failures() -> Iterator[None]:
    """Turns a failure of tracking into one line on stderr, once for each reason."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (whatever MLflow raises, the work continues)
        report(error)


def report(error: Exception) -> None:
    """Says in one line, once for each reason, that something was not logged."""
    reason = first_line(error)
    if reason not in _reported:
        _reported.add(reason)
        say(f"not logged ({reason}); results are not affected")


def report_kept(reason: str) -> None:
    """Says once that something could not be sent now."""
    if not _kept:
        _kept.add(reason)
        say(
            f"not sent to MLflow ({reason}); it is kept, and the next stage of the run or "
            "`kformer sync` sends it; results are not affected"
        )


def say(line: str) -> None:
    """Prints a line on stderr as one of tracking."""
    print(f"tracking: {line}", file=sys.stderr)


def first_line(error: Exception) -> str:
    """What an error says, in one line and without secrets of addresses."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    is_of_network = re.match(r"API request to .* failed with (timeout )?exception", lines[0])
    return without_secrets(_of_the_network(error) if is_of_network else lines[0])


def _of_the_network(error: BaseException) -> str:
    """What the system said where nobody answered, without the libraries' words around it."""
    while before := error.__cause__ or error.__context__:
        error = before
    told = error.strerror if isinstance(error, OSError) else None
    return told or " ".join(str(error).split()) or type(error).__name__
