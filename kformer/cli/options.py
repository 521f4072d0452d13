"""The options that several commands have."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from kformer.errors import KformerError
from kformer.sources.disk_space import MAX_DOWNLOAD_VARIABLE


def keep_input(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """Refuses an ``--out`` that is also read; called for each such option, in the user's order."""
    seen = ctx.meta.setdefault("kformer.paths", {})
    seen[param.name] = value if isinstance(value, list | tuple) else [value]
    out = {path.resolve() for path in seen.get("out", []) if path}
    for name, paths in seen.items():
        if name != "out" and any(path and path.resolve() in out for path in paths):
            raise KformerError(f"--out: {seen['out'][0]} is also read; name another file")
    return value


Settings = Annotated[str, typer.Option(help="The stage's part of the config, as JSON.")]
SourceSettings = Annotated[
    str,
    typer.Option(
        "--settings",
        envvar="KFORMER_SOURCES",
        help="JSON: the sources that the experiment needs, and what differs from the catalogue, "
        'such as `{"social_iqa": {}, "atomic": {"url": "my_atomic.tgz"}}`.',
    ),
]
Downloads = Annotated[
    Path, typer.Option(envvar="KFORMER_DOWNLOADS", help="Where archives are kept.")
]
MaxDownload = Annotated[
    int,
    typer.Option(
        envvar=MAX_DOWNLOAD_VARIABLE,
        min=1,
        help="Bytes that are fetched at most of a file whose size nobody published.",
    ),
]
Lock = Annotated[
    Path,
    typer.Option(help="Checksums of files whose owners publish none; keep it with the config."),
]
Out = Annotated[Path, typer.Option(help="What to write.", callback=keep_input)]
QuestionsFile = Annotated[Path, typer.Option(help="The questions table.", callback=keep_input)]
FactsFile = Annotated[Path, typer.Option(help="The facts table.", callback=keep_input)]
RetrievalFile = Annotated[Path, typer.Option(help="The retrieval table.", callback=keep_input)]
QuestionTokens = Annotated[
    Path,
    typer.Option(help="The tokens of the questions, as `featurize` wrote.", callback=keep_input),
]
FactTokens = Annotated[
    Path | None,
    typer.Option(help="The tokens of the facts, if facts are read.", callback=keep_input),
]
MaybeRetrieval = Annotated[
    Path | None,
    typer.Option(help="The retrieval table, if facts are read.", callback=keep_input),
]
MaybeStates = Annotated[
    Path | None,
    typer.Option(
        help="The folder that `kformer states` wrote, for `training.keep_states`.",
        callback=keep_input,
    ),
]
ShardOption = Annotated[str, typer.Option(help="Which shard of how many, such as 2/7.")]
Indexes = Annotated[
    list[Path] | None,
    typer.Option("--index", help="Folder of an index; once for each shard and kind."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="How many work at once; by default one a core.")
]
Content = Annotated[
    list[str] | None,
    typer.Option(
        help="The checksum that each input, or the encoder, had when the workflow was planned, or "
        "- for none; another one stops the stage, since its results would bear the wrong name.",
    ),
]


def check_content(paths: list[Path], planned: list[str] | None) -> None:
    """Raises KformerError for a file or folder that has changed since the workflow was planned."""
    from kformer.io.contents import Contents

    for path, expected in zip(paths, planned or [], strict=False):
        if expected != "-" and expected != Contents().checksum(path):
            raise KformerError(f"{path}: changed since the run was planned; start the run again")


def check_encoder_content(name: str, planned: list[str] | None) -> None:
    """Raises KformerError for an encoder that has changed since the workflow was planned."""
    from kformer.encoder_lookup import locate_encoder

    check_content([Path(locate_encoder(name))], planned)


def load(kind: Any, text: str, option: str = "--settings") -> Any:
    """A part of the config from JSON text, as `kformer.config_section.load_section` reads it."""
    from kformer.config_section import load_section  # slow to import, and `search` does not need it

    return load_section(kind, text, option)


def tables_of_knowledge(
    fact_tokens: Path | None, retrieval: Path | None
) -> tuple[Path, Path] | None:
    """Both tables, or None where no facts are read; raises KformerError for one alone."""
    if fact_tokens and retrieval:
        return fact_tokens, retrieval
    if fact_tokens or retrieval:
        raise KformerError("--fact-tokens and --retrieval: give both or neither")
    return None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))
