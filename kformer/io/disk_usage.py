"""How much room files take on the disk."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path


def used_bytes(paths: Iterable[Path]) -> int:
    """What files and folders take; what is there under several names counts once."""
    return sum({(each.st_dev, each.st_ino): _bytes(each) for each in _states(paths)}.values())


def freed_bytes(paths: Iterable[Path]) -> int:
    """What becomes free when they are deleted: not what has a further name elsewhere."""
    states = list(_states(paths))
    names = Counter((each.st_dev, each.st_ino) for each in states)
    last = {(each.st_dev, each.st_ino): each for each in states}
    return sum(_bytes(each) for key, each in last.items() if names[key] >= each.st_nlink)


def _bytes(state: os.stat_result) -> int:
    return state.st_blocks * 512


def _states(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    """Of all files but folders; no link is followed, and what vanishes meanwhile is left out."""
    for path in paths:
        is_folder = path.is_dir() and not path.is_symlink()
        for name in _files_below(path) if is_folder else [path]:
            with suppress(FileNotFoundError):
                yield name.lstat()


def _files_below(folder: Path) -> list[Path]:
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
