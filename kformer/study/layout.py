"""Which files an experiment has, and what each of them depends on.

Nobody else knows: the workflow asks here. Where the files lie is in `kformer.study.paths`.
"""

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

from kformer.config_section import SecretAddress
from kformer.encoder_lookup import locate_encoder
from kformer.io.contents import Contents
from kformer.io.output_names import ComparisonReport, RunFolder
from kformer.retrieval.methods import IndexKind
from kformer.retrieval.settings import Retrieval
from kformer.sources.catalogue import resolve
from kformer.sources.checksum_lock import check_unpacked
from kformer.study import paths
from kformer.study.experiment import Condition, Experiment
from kformer.study.keyed_files import (
    FactsFiles,
    IndexFiles,
    RetrievalFiles,
    SourceFiles,
    StatesFiles,
    TokenFiles,
)
from kformer.study.run_lock import JOBS_LOCK_VARIABLE
from kformer.study.stage_versions import StageName, key_of, train_version


class Layout:
    """The files of one experiment, all of them known from its config alone."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.conditions = {name: experiment.condition(name) for name in experiment.conditions}
        self.sources = experiment.needed_sources
        self._contents = Contents(paths.CHECKSUMS)
        self.source = cache(lambda name: resolve(name, self.sources))  # local ones are hashed

    def check_sources(self) -> None:
        """Raises KformerError for a source unpacked from another file than the locked one."""
        for name in self.sources:
            source = self.source(name)
            check_unpacked(source, paths.source_folder(f"{name}-{source.key}"), paths.SOURCES_LOCK)

    # The experiment's own files

    @property
    def folder(self) -> Path:
        return paths.experiment_folder(self.experiment.experiment)

    @property
    def config(self) -> Path:
        """The resolved config."""
        return paths.saved_config(self.folder)

    @property
    def comparison(self) -> ComparisonReport:
        return ComparisonReport(self.folder)

    @property
    def artifacts(self) -> Path:
        return self.folder / "mlflow-artifacts"

    def run(self, condition: str, seed: int | str | None) -> RunFolder:
        return RunFolder.of(self.folder / "runs", condition, seed)

    def checkpoints(self, condition: str, seed: int | str) -> Path:
        """Unfinished training; the run's own folder only holds what is finished."""
        return self.folder / "checkpoints" / f"{condition}-{seed}"

    def log(self, stage: str, name: str) -> Path:
        return self.folder / "logs" / stage / f"{name}.log"

    @property
    def environment(self) -> Mapping[str, str]:
        """What stages read from the environment: it is nobody's parameter, so that changing it
        re-runs nothing. What a source holds is named by its checksum, not by its address.

        Passwords and tokens are in it, and nowhere else: other users of a machine see command
        lines, but not the environment of a process.
        """
        uri, name = self._tracking
        overrides = {name: each.model_dump() for name, each in self.sources.items()}
        return {
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_EXPERIMENT_NAME": name,
            "KFORMER_CONFIG": str(self.config.resolve()),
            "KFORMER_SOURCES": json.dumps(overrides, default=SecretAddress.get_secret_value),
            JOBS_LOCK_VARIABLE: str(paths.JOBS_LOCK.resolve()),
        }

    @cached_property
    def _tracking(self) -> tuple[str, str]:
        """Address of the store and name of the MLflow experiment.

        Where the config gives no address, those of the shell count, as for any use of MLflow.
        """
        if given := self.experiment.tracking.uri:
            return given.get_secret_value(), self.experiment.experiment
        # Where it is a link, `kformer.tracking` follows it.
        store = paths.TRACKING_STORE.parent.resolve() / paths.TRACKING_STORE.name
        # The address of a database cannot have a "?" in its path.
        default = f"sqlite:///{paths.TRACKING_STORE if '?' in str(store) else store}"
        return (
            os.environ.get("MLFLOW_TRACKING_URI") or default,
            os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.experiment.experiment,
        )

    # What it shares with others

    @cached_property
    def question_files(self) -> SourceFiles:
        return self._files(self.experiment.questions)

    @cached_property
    def questions_key(self) -> str:
        reader = self.experiment.questions
        return f"{reader.dataset}-{key_of('questions', reader, self.question_files.key)}"

    @property
    def questions(self) -> Path:
        return paths.questions_table(self.questions_key)

    @cached_property
    def retrieval_of(self) -> Mapping[str, RetrievalFiles]:
        """The retrieval of each condition that uses facts, by the condition's name."""
        return {
            name: self._retrieval(condition)
            for name, condition in self.conditions.items()
            if condition.uses_facts
        }

    @cached_property
    def retrievals(self) -> Mapping[str, RetrievalFiles]:
        """The retrievals by key."""
        return {each.key: each for each in self.retrieval_of.values()}

    @cached_property
    def facts(self) -> Mapping[str, FactsFiles]:
        """The facts tables by key."""
        return {each.facts.key: each.facts for each in self.retrievals.values()}

    @cached_property
    def indexes(self) -> Mapping[str, IndexFiles]:
        """The indexes by key."""
        searched = chain.from_iterable(each.indexes for each in self.retrievals.values())
        return {index.key: index for index in searched}

    @cached_property
    def tokens_of(self) -> Mapping[str, Mapping[str, TokenFiles]]:
        """The tables of tokens that each trained condition reads, as options of its training."""
        return {
            name: self._tokens(name, condition)
            for name, condition in self.conditions.items()
            if condition.answer_by == "model"
        }

    @cached_property
    def tokens(self) -> Mapping[str, TokenFiles]:
        """The tables of tokens by key."""
        tables = chain.from_iterable(each.values() for each in self.tokens_of.values())
        return {table.key: table for table in tables}

    @cached_property
    def states_of(self) -> Mapping[str, StatesFiles]:
        """The kept states of each condition that reads some, by the condition's name."""
        return {
            name: StatesFiles.of(condition.train_settings, self._tables(name), self.encoder(name))
            for name, condition in self.conditions.items()
            if condition.answer_by == "model" and condition.training.keep_states
        }

    @cached_property
    def states(self) -> Mapping[str, StatesFiles]:
        """The kept states by key."""
        return {each.key: each for each in self.states_of.values()}

    @cached_property
    def runs(self) -> Sequence[RunFolder]:
        """All runs, condition by condition; without a seed where nothing is trained."""
        return [
            self.run(name, seed)
            for name, condition in self.conditions.items()
            for seed in (self.experiment.seeds if condition.answer_by == "model" else [None])
        ]

    def outputs(self, run: RunFolder) -> Sequence[Path]:
        """What a finished run consists of."""
        trained = [run.model, run.summary] if run.seed is not None else []
        return [*trained, run.predictions, *self.use_of_facts(run)]

    def use_of_facts(self, run: RunFolder) -> Sequence[Path]:
        """The table of what facts do to its answers, if it reads any and the study asks for it."""
        is_asked = self.experiment.evaluation.use_of_facts_questions > 0
        reads_facts = self.conditions[run.condition].reads_facts
        return [run.use_of_facts] if is_asked and reads_facts else []

    def tables_of_facts(self, condition: str) -> Mapping[str, Path]:
        """The facts and the retrieval table that a condition reads; none if it uses no facts."""
        if condition not in self.retrieval_of:
            return {}
        found = self.retrieval_of[condition]
        table = paths.retrieval_table(found.key)
        if control := self.conditions[condition].retrieval.control:
            table = paths.control_table(found.key, control)
        return {"facts": paths.facts_table(found.facts.key), "retrieval": table}

    def tables_of_training(self, condition: str) -> Mapping[str, Path]:
        """The tables and states that a trained condition reads, by the names of their options."""
        states = self.states_of.get(condition)
        kept = {"states": paths.states_folder(states.key)} if states else {}
        return {**self._tables(condition), **kept}

    def _tables(self, condition: str) -> Mapping[str, Path]:
        tokens = self.tokens_of[condition]
        tables = {name: paths.token_table(files.key) for name, files in tokens.items()}
        if facts := self.tables_of_facts(condition):
            tables["retrieval"] = facts["retrieval"]
        return tables

    def plan(self, name: str) -> Path:
        """What a run, "<condition>-<seed>", or a stage depends on: a file that changes with it."""
        return paths.plan_file(self.folder, name)

    def train_settings(self, condition: str) -> Mapping[str, Any]:
        """What training depends on."""
        return self.conditions[condition].train_settings.relevant_settings()

    def train_options(self, condition: str) -> Mapping[str, Any]:
        """The settings that training is started with: also those that no result depends on."""
        training = self.conditions[condition].training.model_dump(mode="json")
        return {**self.train_settings(condition), "training": training}

    def train_version(self, condition: str) -> str:
        """The version of training a condition, see `kformer.study.stage_versions.train_version`."""
        return train_version(self.conditions[condition].model.injection)

    def encoder(self, condition: str) -> str | None:
        """What stands for the content of a condition's encoder; None = a hub has it."""
        return self.content_of_encoder(self.conditions[condition].model.encoder)

    def content_of_encoder(self, name: str) -> str | None:
        """The same of any encoder, by its name."""
        folder = Path(locate_encoder(name))
        return self._contents.checksum(folder) if folder.is_dir() else None

    def _files(self, reader: Any) -> SourceFiles:
        if reader.archive is None:
            path = reader.place
            return SourceFiles(self._contents.checksum(path), path, in_place=True)
        if reader.is_generated:
            key = f"demo-{key_of('demo_world', self.experiment.demo_world)}"
        else:
            key = f"{reader.archive}-{self.source(reader.archive).key}"
        return SourceFiles(key, paths.source_folder(key), in_place=False)

    def _facts(self, readers: Sequence[Any]) -> FactsFiles:
        sources = [self._files(reader) for reader in readers]
        labels = "+".join(reader.label for reader in readers)
        key = f"{labels}-{key_of('facts', readers, [files.key for files in sources])}"
        return FactsFiles(key, readers, sources)

    def _tokens(self, name: str, condition: Condition) -> Mapping[str, TokenFiles]:
        encoder = condition.model.encoder
        tokens = partial(TokenFiles.of, encoder, self.content_of_encoder(encoder))
        found = {"question_tokens": tokens("questions", self.questions_key, self.questions)}
        if name in self.retrieval_of:
            facts = self.retrieval_of[name].facts.key
            found["fact_tokens"] = tokens("facts", facts, paths.facts_table(facts))
        return found

    def _index(self, kind: IndexKind, settings: Retrieval, facts: FactsFiles) -> IndexFiles:
        stage: StageName = "index_words" if kind == "words" else "index_embeddings"
        read = settings.index_settings(kind)
        documents = (paths.events_table if settings.events else paths.facts_table)(facts.key)
        events = key_of("events") if settings.events else None
        encoder = self.content_of_encoder(settings.encoder) if kind == "embeddings" else None
        key = key_of(stage, read, facts.key, events, *filter(None, [encoder]))
        return IndexFiles(f"{kind}-{key}", read, documents, encoder)

    def _retrieval(self, condition: Condition) -> RetrievalFiles:
        # A control is made from what lies under the same key.
        settings = condition.retrieval.model_copy(update={"control": None})
        facts = self._facts(condition.knowledge)
        indexes = [self._index(kind, settings, facts) for kind in settings.index_kinds]
        key = key_of(
            "retrieve",
            settings.relevant_settings(),
            self.questions_key,
            facts.key,
            [index.key for index in indexes],
        )
        return RetrievalFiles(f"{settings.method}-{key}", settings, facts, indexes)
