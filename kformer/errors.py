"""The one error that a user is meant to see."""

import re
from collections.abc import Iterable, Sequence

from kformer.masking import without_secrets

_LONG_WORD = re.compile(r"(\S{300})\S+")


class KformerError(Exception):
    """A mistake that the user can correct.

    The message is one line: which file, where in it, what is wrong, what to do.
    The command line prints it without a traceback and exits with status 1. Secrets of addresses
    are left out of it.
    """

    def __init__(self, message: str) -> None:
        # Names that users give can hold line ends, half characters, and no end.
        line = " ".join(without_secrets(message).split("\n"))
        line = line.encode("utf-8", "backslashreplace").decode()
        super().__init__(_LONG_WORD.sub(r"\1…", line))


def listed(names: Iterable[str | None], most: int = 10) -> str:
    """Names for a message: in their order, each on one line, and not too many."""
    known = sorted(" ".join(name.split()) for name in names if name is not None)
    rest = f" and {len(known) - most:,} more" if len(known) > most else ""
    return (", ".join(known[:most]) or "none") + rest


def first_few(names: Sequence[str], most: int = 3) -> str:
    """The first of many names for a message, in their order, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
