"""What is kept of each experiment in its folder: its config, and how Snakemake was started for it.

From the config alone all files of the experiment follow (`kformer.study.layout`), so that what lies
under results/ can be explained, listed and removed when the config files of the user are gone.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kformer.config_section import Section, validated
from kformer.errors import KformerError
from kformer.io.file_writing import write_json
from kformer.masking import without_secrets
from kformer.study import paths
from kformer.study.experiment import ConditionOverride, Experiment, load_experiment
from kformer.study.layout import Layout


class StudyCommand(Section):
    """How Snakemake was started for an experiment."""

    workflow: str
    """The folder with the Snakefile."""
    configfiles: tuple[str, ...]
    """In their order."""
    config: tuple[str, ...] = ()
    """What `--config` said beside them, without secrets."""

    @classmethod
    def of(
        cls, workflow: str, configfiles: Iterable[str | Path], config: Iterable[str]
    ) -> "StudyCommand":
        """That of a run in the working directory."""
        return cls(
            workflow=_from_here(workflow),
            configfiles=tuple(map(_from_here, configfiles)),
            config=tuple(without_secrets(each) for each in config if not each.startswith("keep=")),
        )

    def line(self, *targets: str | Path, again: Sequence[str] = ()) -> str:
        """What to type in the same working directory, to make files.

        Args:
            targets: what to make.
            again: rules whose jobs run although their outputs are there.
        """
        words = ["snakemake", "--cores", "all"]
        if self.workflow != ".":
            words += ["--snakefile", str(Path(self.workflow) / "Snakefile")]
        for option, values in (
            ("--configfile", self.configfiles),
            ("--config", self.config),
            ("--forcerun", again),
        ):
            words += [option, *values] if values else []
        return shlex.join([*words, "--", *map(str, targets)])


class SavedStudies(NamedTuple):
    """The experiments under results/, by the names of their folders."""

    readable: Mapping[str, Layout]
    unreadable: Mapping[str, KformerError]
    """Why their configs cannot be read."""


def save_study(study: Layout, command: StudyCommand) -> None:
    """Writes down an experiment, without addresses of tracking, which may hold a password."""
    write_json(study.config, config_to_save(study.experiment))
    write_json(paths.saved_command(study.folder), command.model_dump(mode="json"))


def config_to_save(experiment: Experiment) -> dict[str, Any]:
    """The resolved config, which read again is the same experiment.

    A condition has just what it changes: its defaults are those of the experiment, not of the type.
    """
    content = experiment.model_dump(mode="json", exclude={"tracking", "keep"})
    return content | {
        "conditions": {name: _changes(each) for name, each in experiment.conditions.items()}
    }


def read_study(folder: Path) -> Layout:
    """The experiment that lies in a folder, called as the folder is, for it may have been kept
    under another name.

    Raises:
        KformerError: its config cannot be read, or names data or encoders that are gone.
    """
    file = paths.saved_config(folder)
    read_command(folder)  # without it the config is of a version that saved it otherwise
    experiment = load_experiment(_read_json(file), str(file))
    return Layout(experiment.model_copy(update={"experiment": folder.name}))


def read_command(folder: Path) -> StudyCommand:
    """How Snakemake was started for the experiment in a folder; raises as `read_study` does.

    For results that were kept under another name, the saved config takes the place of the config
    files, which have been changed since.
    """
    file, config = paths.saved_command(folder), paths.saved_config(folder)
    command: StudyCommand = validated(StudyCommand, _read_json(file), str(file))
    content = _read_json(config)
    if isinstance(content, dict) and content.get("experiment") == folder.name:
        return command
    changes = {"configfiles": (str(config),), "config": (f"experiment={folder.name}",)}
    return command.model_copy(update=changes)


def experiment_folders() -> list[Path]:
    """The folders of all experiments, also of those that were only planned."""
    if not paths.RESULTS.is_dir():
        return []
    return [each for each in sorted(paths.RESULTS.iterdir()) if is_experiment(each)]


def is_experiment(folder: Path) -> bool:
    """Whether a folder is that of an experiment."""
    is_own = not folder.name.startswith(".") and folder != paths.SHARED
    return is_own and any(
        path(folder).exists() for path in (paths.saved_config, paths.saved_command, paths.plans)
    )


def is_only_planned(folder: Path) -> bool:
    """Whether nothing was ever made for the experiment in a folder, as after a dry run."""
    return all(each == paths.plans(folder) for each in folder.iterdir())


def read_studies() -> SavedStudies:
    """All experiments for which anything was made."""
    readable: dict[str, Layout] = {}
    unreadable: dict[str, KformerError] = {}
    for folder in experiment_folders():
        if is_only_planned(folder):
            continue
        try:
            readable[folder.name] = read_study(folder)
        except KformerError as error:
            unreadable[folder.name] = error
    return SavedStudies(readable, unreadable)


def _changes(override: ConditionOverride) -> dict[str, Any]:
    given = override.model_dump(mode="json", exclude_unset=True)
    if override.knowledge:
        given["knowledge"] = [reader.model_dump(mode="json") for reader in override.knowledge]
    return given


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        reason = "there is no such file"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except (ValueError, RecursionError):
        reason = "this is no JSON in UTF-8"
    raise KformerError(f"{file}: {reason}; start the experiment again, which writes it anew")


def _from_here(path: str | Path) -> str:
    """A path as seen from the working directory, if it is below that."""
    found = Path(path).absolute()
    shown = found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found
    return str(shown).encode("utf-8", "backslashreplace").decode()
