"""How much a fetch may write: a disk that is full stops everything else on the machine, too."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kformer.errors import KformerError

MAX_DOWNLOAD = 5_000_000_000  # bytes of a file whose size nobody published
MAX_DOWNLOAD_VARIABLE = "KFORMER_MAX_DOWNLOAD"  # in the environment, for larger ones
RESERVE = 100_000_000  # bytes that are left free; of a small disk a twentieth


def spare_bytes(folder: Path) -> int:
    """How many bytes may still be written on the disk of a folder that exists."""
    disk = shutil.disk_usage(folder)
    return max(0, disk.free - min(RESERVE, disk.total // 20))


def no_room_for(what: str, folder: Path, spare: int) -> KformerError:
    """The error of what has more than the ``spare`` bytes."""
    return KformerError(
        f"{folder}: no room for {what}: {spare:,} bytes can be spared there; make room and run "
        "again"
    )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the disk while a file is written, which do not say themselves which one it is.

    Raises:
        KformerError: the disk is full, a quota is reached, or the like.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise KformerError(
            f"{path}: {error.strerror}; mend that or name another place, and run again"
        ) from error
