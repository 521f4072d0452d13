"""The files of a folder without hidden ones, which tools leave there: ``.git``, ``._train.csv``."""

from pathlib import Path


def visible_files(folder: Path, pattern: str = "*") -> list[Path]:
    """All files below a folder whose names match, in the order of their paths.

    Files whose names begin with a dot are left out, and folders of such names.
    """
    return sorted(
        file
        for file in folder.rglob(pattern)
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
