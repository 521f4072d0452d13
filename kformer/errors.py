"""The one error that a user is meant to see."""

from collections.abc import Iterable

from kformer.masking import without_secrets


class KformerError(Exception):
    """A mistake that the user can correct.

    The message is one line: which file, where in it, what is wrong, what to do.
    The command line prints it without a traceback and exits with status 1. Secrets of addresses
    are left out of it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


def listed(names: Iterable[str | None], most: int = 10) -> str:
    """Names for a message: in their order, each on one line, and not too many."""
    known = sorted(" ".join(name.split()) for name in names if name is not None)
    rest = f" and {len(known) - most:,} more" if len(known) > most else ""
    return (", ".join(known[:most]) or "none") + rest
