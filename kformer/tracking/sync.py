"""Sends what stages have written into their journals: once, or for as long as a study runs."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from kformer.errors import KformerError
from kformer.masking import HIDDEN, masked, remember_secrets
from kformer.tracking.connection import say
from kformer.tracking.database import address_of, database_of
from kformer.tracking.journal import JOURNALS, Journal
from kformer.tracking.sender import Sender

_SECONDS_BETWEEN_PASSES = 5.0


class Sync:
    """Sends the journals below some folders, each to its store."""

    def __init__(self, folders: Sequence[Path], uri: str | None) -> None:
        """Finds nothing yet.

        Args:
            folders: where journals lie, at any depth.
            uri: where all of them are sent; None = each to where it was meant to go.
        """
        self._folders, self._uri = folders, uri
        self._senders: dict[str, Sender] = {}
        self.reason = ""
        remember_secrets(uri or "")

    def send(self) -> list[Journal]:
        """Sends what is new; returns the journals that are still not sent to their end.

        Raises:
            KformerError: the address of a run's store is not known, or not with its password.
        """
        return self._send(lambda journal: True)

    def _send(self, is_meant: Callable[[Journal], bool]) -> list[Journal]:
        # The run of a study comes before those that are nested in it.
        waiting = sorted(filter(is_meant, self._waiting()), key=_begun)
        return [each for each in waiting if not self._sender_of(each).send(each)]

    def follow(self, is_over: threading.Event, end: Callable[[], None]) -> list[Journal]:
        """Sends what is new, again and again, until it is over; returns what is not sent then.

        Args:
            is_over: set when no stage writes any more.
            end: called then, to write the last.
        """
        while not is_over.wait(_SECONDS_BETWEEN_PASSES):
            self._send(self._is_mine)
        end()
        for sender in self._senders.values():
            sender.try_again()
        return self._send(self._is_mine)

    def _is_mine(self, journal: Journal) -> bool:
        """Whether a run was meant to go to this store: those of another study may lie beside it."""
        own = database_of(self._uri or "")
        here = address_of(own.resolve()) if own else masked(self._uri or "")
        return _noted(journal) in (None, here)

    def _waiting(self) -> list[Journal]:
        found = chain.from_iterable(folder.rglob(JOURNALS) for folder in self._folders)
        return [journal for journal in map(Journal.at, found) if journal.is_waiting]

    def _sender_of(self, journal: Journal) -> Sender:
        address = self._uri or _noted_address(journal)
        if address not in self._senders:
            self._senders[address] = Sender(address, partial(self._note, address))
        return self._senders[address]

    def _note(self, address: str, reason: str) -> None:
        if not self.reason:
            self.reason = reason
            say(f"{masked(address)} takes no runs now ({reason}); they are kept, and sent later")


def _noted_address(journal: Journal) -> str:
    """Where a run was meant to go."""
    address = _noted(journal)
    if address is None or HIDDEN in address:
        raise KformerError(
            f"{journal.path}: its address ({address}) is not known, or not with its password; give "
            "it as MLFLOW_TRACKING_URI"
        )
    return address


def _noted(journal: Journal) -> str | None:
    """The address that a run was begun with, without secrets; None if it notes none."""
    begin = next(iter(journal.last_run()), {})
    file, address = begin.get("file"), begin.get("address")
    if isinstance(file, str):
        return address_of((journal.path.parent / file).resolve())
    return address if isinstance(address, str) else None


def _begun(journal: Journal) -> int:
    """When a run began, in milliseconds."""
    first = next((entry for _, _, entry in journal.entries()), {})
    time = first.get("time")
    return time if isinstance(time, int) else 0
