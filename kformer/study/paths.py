"""Where files lie: those that experiments share, by key.

What an experiment has for itself lies in its folder, see `kformer.study.layout`. A path that takes
a key also takes a wildcard of the workflow in its place: ``facts_table("{key}")``.
"""

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

_SHARED = RESULTS / "shared"
_INDEXES = _SHARED / "index"


def source_folder(key: str) -> Path:
    """What a source was unpacked to, or the demo world."""
    return RESOURCES / key


def questions_table(key: str) -> Path:
    return _SHARED / "questions" / key / "questions.parquet"


def facts_table(key: str) -> Path:
    return _SHARED / "facts" / key / "facts.parquet"


def facts_tables(results: Path = RESULTS) -> list[Path]:
    """All facts tables."""
    pattern = facts_table("*").relative_to(RESULTS)
    return sorted(results.glob(str(pattern)))


def events_table(key: str) -> Path:
    """The events that the facts under this key are about, as this version lists them."""
    return _SHARED / "facts" / key / f"events-{key_of('events')}.parquet"


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
    return _SHARED / "retrieval" / key


def token_table(key: str) -> Path:
    """The tokens of a questions or a facts table."""
    return _SHARED / "tokens" / key / "tokens.arrow"


def states_folder(key: str) -> Path:
    """What the frozen layers of an encoder make of the inputs of all questions."""
    return _SHARED / "states" / key


def config_file(study: Path) -> Path:
    """The resolved config of the study in a folder."""
    return study / "config.json"


def plan_file(study: Path, name: str) -> Path:
    """What a run or a stage of the study in a folder depends on."""
    return study / "plans" / f"{name}.json"


def log_file(rule: str, name: str) -> Path:
    """The log of a job whose result experiments share."""
    return RESULTS / "logs" / rule / f"{name}.log"
