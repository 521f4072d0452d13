"""Sends journals to a store of MLflow: nothing is lost, and no job waits for a server for long."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kformer.tracking.connection import be_quiet, connect, first_line, report_kept
from kformer.tracking.delivery import Delivery
from kformer.tracking.journal import Journal
from kformer.tracking.store import create_if_missing

if TYPE_CHECKING:
    from mlflow import MlflowClient

# After a try that failed, nothing is tried for so many times as long as it took: where a server
# hangs, that is one time-out now and then, and where nobody listens, it costs next to nothing.
_PAUSE = 100


class Sender:
    """Sends to one store."""

    def __init__(self, uri: str, away: Callable[[str], None] = report_kept) -> None:
        """Connects to nothing yet.

        Args:
            uri: the store's address.
            away: called with the reason where something cannot be sent now.
        """
        self._uri, self._away = uri, away
        self._client: MlflowClient | None = None
        self._deliveries: dict[Path, Delivery] = {}
        self._not_before = 0.0

    def try_again(self) -> None:
        """Ends the pause after a failure, and has what was put off tried again."""
        self._not_before = 0.0
        self._deliveries.clear()

    def send(self, journal: Journal) -> bool:
        """Sends what is new in a journal; returns whether all of it is in the store.

        Whatever goes wrong is reported, never raised: the work continues.
        """
        if time.monotonic() < self._not_before:
            return False
        began = time.monotonic()
        try:
            client = self._connected()
            began = time.monotonic()  # loading MLflow says nothing about the store
            delivery = self._deliveries.get(journal.path) or Delivery(client, journal, self._away)
            with journal.claimed() as is_ours:
                is_sent = is_ours and delivery.send()
            self._deliveries[journal.path] = delivery
            return is_sent
        except Exception as error:  # noqa: BLE001 (whatever MLflow raises, the work continues)
            now = time.monotonic()
            self._not_before = now + _PAUSE * (now - began)
            self._deliveries.pop(journal.path, None)
            self._away(first_line(error))
            return False

    def _connected(self) -> "MlflowClient":
        if self._client is None:
            be_quiet()
            create_if_missing(self._uri)
            self._client = connect(self._uri)
        return self._client
