"""MLflow's UI for a store: a server for as long as somebody looks."""

import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.error import URLError
from urllib.request import urlopen

from kformer.errors import KformerError
from kformer.tracking import database

_HOST = "127.0.0.1"  # only this machine can reach it: there is no password


@contextmanager
def serving(uri: str, port: int) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A server that shows a store; yields its address and its process, which ends with the block.

    Raises:
        KformerError: there is no such store, or the port is taken, or the server does not start.
    """
    file = database.database_of(uri)
    if file and not file.is_file():
        raise KformerError(f"{file}: there are no runs yet; run a study first, or name its folder")
    _check_free(port)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--host", _HOST, "--port", str(port), "--workers", "1"]
    # In a group of its own, since it starts processes itself, which would outlive it.
    process = subprocess.Popen(
        command, process_group=0, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    asked_to_end = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does
    try:
        address = f"http://{_HOST}:{port}"
        _wait_for(address, process)
        yield address, process
    finally:
        signal.signal(signal.SIGTERM, asked_to_end)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def open_in_browser(address: str) -> None:
    """Opens a page where there is a screen; browsers of a terminal would take it over."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform == "darwin" or any(os.environ.get(name) for name in screens):
        with suppress(webbrowser.Error):
            webbrowser.open(address)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise KformerError(
                f"--port: {port} cannot be used ({error.strerror}); is it open already? If not, "
                "give another one"
            ) from None


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with suppress(URLError, OSError), urlopen(f"{address}/health", timeout=5):
            return
        time.sleep(0.1)
    raise KformerError(
        f"MLflow's server ended at once, with status {process.returncode}; try `mlflow ui` itself"
    )
