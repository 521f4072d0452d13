"""With which software, and from which commit, results are made."""

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TypedDict


class Commit(TypedDict):
    """The state of a git repository."""

    commit: str
    changed: bool
    """Whether files under version control are not those of the commit."""


def commit_of(workflow: Path) -> Commit | None:
    """The commit of a folder with a Snakefile; None where git does not have that.

    Where git cannot say, although there is a repository, one line on stderr says why.
    """
    try:
        _git(workflow, "ls-files", "--error-unmatch", "Snakefile")
        return Commit(
            commit=_git(workflow, "rev-parse", "HEAD").strip(),
            changed=bool(_git(workflow, "status", "--porcelain", "--untracked-files=no")),
        )
    except FileNotFoundError:
        print("provenance: git is not installed; no commit is noted", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split())
        if not re.search("not a git repository|did not match any file", reason):
            print(f"provenance: no commit is noted: {reason}", file=sys.stderr)
    return None


def _git(folder: Path, *command: str) -> str:
    # A hook of another repository may have set variables that name that one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    done = subprocess.run(
        ["git", "-C", str(folder), *command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def software_versions() -> dict[str, str]:
    """Those of Python, of kformer and of all that it needs, as far as that is installed."""
    requirements = metadata.requires("kformer") or ()
    needed = {_name(each) for each in requirements if 'extra == "dev"' not in each}
    found = {name: _version(name) for name in sorted({"kformer", "tokenizers", *needed})}
    installed = {name: version for name, version in found.items() if version}
    return {"python": platform.python_version(), **installed}


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return found[0].lower()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
