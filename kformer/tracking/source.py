"""Where a run comes from: the tags that MLflow shows as its source, version and user."""

import getpass
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

from kformer.masking import without_secrets


@cache
def source_tags() -> dict[str, str]:
    """The command and the user, and the commit of this program, where it runs from a checkout."""
    command = ["kformer", *sys.argv[1:]]
    tags = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": " ".join(command[:2]),
        "kformer.command": without_secrets(shlex.join(command)),
        "mlflow.user": _user(),
    }
    if commit := _git("rev-parse", "HEAD"):
        tags["mlflow.source.git.commit"] = commit
        tags["mlflow.source.git.dirty"] = str(bool(_git("status", "--porcelain", "-uno"))).lower()
    return tags


def _git(*arguments: str) -> str:
    """What git says of the folder that this file is in; nothing where it does not know it."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if not done.returncode else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"
