"""Where files lie: those that experiments share, by key.

What an experiment has for itself lies in its folder, see `kformer.study.layout`. A path that takes
a key also takes a wildcard of the workflow in its place: ``facts_table("{key}")``.
"""

import os
import re
from pathlib import Path

from kformer.io.output_names import INDEX_DESCRIPTION, RetrievalReport
from kformer.study.stage_versions import key_of

RESULTS = Path("results")
RESOURCES = Path("resources")
DOWNLOADS = RESOURCES / "downloads"
SOURCES_LOCK = Path("sources.lock.json")
RUN_LOCK = RESULTS / ".lock"
JOBS_LOCK = RESULTS / ".jobs"
CHECKSUMS = RESULTS / ".checksums.json"
TRACKING_STORE = RESULTS / "mlflow.db"

SHARED = RESULTS / "shared"
_INDEXES = SHARED / "index"
_KEYED = ("questions", "facts", "index", "retrieval", "tokens", "states")
_ENDS_IN_KEY = re.compile(r"[0-9a-f]{10}$")


def experiment_folder(experiment: str) -> Path:
    return RESULTS / experiment


def saved_config(folder: Path) -> Path:
    """The resolved config of the experiment that lies in a folder."""
    return folder / "config.json"


def saved_conditions(folder: Path) -> Path:
    """The settings of each condition of the experiment that lies in a folder."""
    return folder / "conditions.json"


def saved_command(folder: Path) -> Path:
    """How Snakemake was started for the experiment that lies in a folder."""
    return folder / "command.json"


def plans(folder: Path) -> Path:
    """What the results of the experiment that lies in a folder depend on."""
    return folder / "plans"


def kept_models(folder: Path) -> Path:
    """Which trained models of the experiment that lies in a folder were kept."""
    return folder / "kept_models.json"


def keyed_folders() -> list[Path]:
    """The folders of all keys that experiments share or have shared, but for those behind links."""
    kinds = [SHARED / kind for kind in _KEYED]
    own = [kind for kind in kinds if not (SHARED.is_symlink() or kind.is_symlink())]
    found = [each for kind in own for each in sorted(kind.glob("[!.]*")) if each.is_dir()]
    return [each for each in found if _ENDS_IN_KEY.search(each.name) and not each.is_symlink()]


def source_folder(key: str) -> Path:
    """What a source was unpacked to, or the demo world."""
    return RESOURCES / key


def questions_table(key: str) -> Path:
    return SHARED / "questions" / key / "questions.parquet"


def facts_table(key: str) -> Path:
    return SHARED / "facts" / key / "facts.parquet"


def facts_tables(results: Path = RESULTS) -> list[Path]:
    """All facts tables."""
    pattern = facts_table("*").relative_to(RESULTS)
    return sorted(results.glob(str(pattern)))


def events_table(key: str) -> Path:
    """The events that the facts under this key are about, as this version lists them."""
    return SHARED / "facts" / key / f"events-{key_of('events')}.parquet"


def word_counts(key: str, shard: str) -> Path:
    """The words of a shard of the facts, counted for the index under this key."""
    return _INDEXES / key / f"{shard}.words.json"


def index_folder(key: str, shard: str) -> Path:
    return _INDEXES / key / shard


def finished_indexes(results: Path = RESULTS) -> list[Path]:
    """The shards of all indexes, those of words first, then the newest first."""
    indexes = results / _INDEXES.relative_to(RESULTS)
    # A name with a dot in front is that of an index that is being built.
    return [
        file.parent
        for kind in ("words", "embeddings")
        for file in sorted(
            indexes.glob(f"{kind}-*/[!.]*/{INDEX_DESCRIPTION}"),
            key=lambda file: -file.stat().st_mtime,
        )
    ]


def retrieval_part(key: str, shard: str) -> Path:
    """What was retrieved for a shard of the questions."""
    return _retrieval(key) / "parts" / f"{shard}.parquet"


def retrieval_table(key: str) -> Path:
    return _retrieval(key) / "retrieval.parquet"


def control_table(key: str, control: str) -> Path:
    """What a control makes of the retrieval under this key, as this version makes it."""
    return _retrieval(key) / f"{control}-{key_of('control')}.parquet"


def retrieval_report(key: str) -> RetrievalReport:
    return RetrievalReport(_retrieval(key))


def _retrieval(key: str) -> Path:
    return SHARED / "retrieval" / key


def token_table(key: str) -> Path:
    """The tokens of a questions or a facts table."""
    return SHARED / "tokens" / key / "tokens.arrow"


def states_folder(key: str) -> Path:
    """What the frozen layers of an encoder make of the inputs of all questions."""
    return SHARED / "states" / key


def plan_file(study: Path, name: str) -> Path:
    """What a run or a stage of the study in a folder depends on."""
    return plans(study) / f"{name}.json"


def log_file(rule: str, name: str) -> Path:
    """The log of a job whose result experiments share."""
    return RESULTS / "logs" / rule / f"{name}.log"


def from_here(path: Path) -> Path:
    """A path as seen from the working directory, if it lies below that; no link is followed."""
    found = Path(os.path.abspath(path))  # noqa: PTH100 (`resolve` follows links)
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found
