"""The typed config of an experiment.

An experiment is a set of named conditions; a condition is a small override of the experiment's
own ``knowledge``, ``retrieval``, ``model`` and ``training``. One condition with one seed is one
training run. ``workflow/schemas/config.schema.json`` is generated from these classes by
``kformer schema``, for editors that check YAML while one types.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from kformer.config_section import (
    Name,
    SecretAddress,
    Section,
    in_one_line,
    merged,
    or_its_text,
    validated,
)
from kformer.demo_world import DemoWorld
from kformer.encoder_lookup import encoder_config, encoder_depth
from kformer.errors import KformerError
from kformer.evaluation.settings import Evaluation
from kformer.knowledge import KnowledgeSource
from kformer.modeling.encoder_families import check_family
from kformer.modeling.settings import Model
from kformer.questions import QuestionSource
from kformer.retrieval.settings import Retrieval, RetrievalChange
from kformer.sources.catalogue import CATALOGUE, SourceOverride, resolve
from kformer.sources.user_data import UserData
from kformer.training.settings import Training, TrainSettings

Seed = Annotated[
    int,
    Field(strict=True, ge=0, lt=2**32),
    or_its_text(Annotated[int, Field(ge=0, lt=2**32)]),
]
_RESERVED = ("shared", "logs", "mlflow.db")  # other things that lie in results/


class ConditionOverride(Section):
    """What one condition changes; what it leaves out is the experiment's."""

    answer_by: Literal["model", "retrieval"] = "model"
    """`retrieval`: no training, the choice whose query has the best retrieval score."""
    knowledge: Annotated[list[KnowledgeSource], Field(min_length=1)] | None = None
    retrieval: RetrievalChange | None = None
    model: Model | None = None
    training: Training | None = None


class Condition(Section):
    """A condition with all its settings."""

    answer_by: Literal["model", "retrieval"]
    knowledge: list[KnowledgeSource]
    retrieval: Retrieval
    model: Model
    training: Training

    @property
    def uses_facts(self) -> bool:
        return self.answer_by == "retrieval" or self.model.method.fact_input != "none"

    @property
    def reads_facts(self) -> bool:
        """Whether a model is trained that reads facts."""
        return self.answer_by == "model" and self.uses_facts

    @property
    def train_settings(self) -> TrainSettings:
        return TrainSettings(model=self.model, training=self.training)

    @property
    def embeds_facts(self) -> bool:
        """Whether facts are found with the sentence encoder `retrieval.encoder`."""
        return self.uses_facts and "embeddings" in self.retrieval.index_kinds

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.uses_facts and not self.knowledge:
            raise ValueError("knowledge: no source is given, but the condition uses facts; add one")
        labels = [reader.label for reader in self.knowledge]
        if len(set(labels)) != len(labels):
            raise ValueError(
                f"knowledge: a source is given twice in {', '.join(labels)}; name each of your own"
            )
        for reader in self.knowledge:
            if isinstance(reader, UserData) and reader.label in CATALOGUE:
                raise ValueError(f"knowledge: name: {reader.label} is taken; choose another one")
        if self.answer_by == "retrieval" and self.retrieval.query != "choice":
            raise ValueError("answer_by: retrieval needs retrieval.query: choice")
        if self.answer_by == "retrieval" and self.retrieval.method == "gold":
            raise ValueError(
                "answer_by: retrieval: gold facts are the same for every choice; take another "
                "retrieval.method"
            )
        self.training.check_combination()
        if self.answer_by == "model":
            self.model.check_combination()
        if self.reads_facts and self.model.facts > self.retrieval.top_k:
            raise ValueError(
                f"model.facts: {self.model.facts} is more than retrieval.top_k: "
                f"{self.retrieval.top_k}"
            )
        return self

    def check_encoders(self) -> None:
        """Raises KformerError for an encoder that cannot be used, as its config.json tells.

        Of one that has yet to be downloaded nothing is known.
        """
        if self.embeds_facts:
            encoder_config(self.retrieval.encoder, "retrieval.encoder")
            if self.retrieval.nearest == "faiss" and find_spec("faiss") is None:
                raise KformerError(
                    "retrieval.nearest: faiss is not installed; run: pip install -c "
                    "constraints.txt -e '.[faiss]'"
                )
        if self.answer_by == "model":
            config = encoder_config(self.model.encoder)
            if config is not None:
                check_family(config.get("model_type"))
            depth = encoder_depth(self.model.encoder)
            if depth is not None:
                self.train_settings.check_depth(depth)


class Tracking(Section):
    """Where MLflow keeps the runs."""

    uri: SecretAddress | None = None
    """Address of a tracking server or store; null = that of `MLFLOW_TRACKING_URI`, with the
    experiment of `MLFLOW_EXPERIMENT_NAME`, where the shell has these, else results/mlflow.db, one
    file on this machine. Name and password belong into `MLFLOW_TRACKING_USERNAME` and
    `MLFLOW_TRACKING_PASSWORD`, a token into `MLFLOW_TRACKING_TOKEN`; an address that has them is
    shown without."""


def _without_null(conditions: Any) -> Any:
    if isinstance(conditions, dict):
        return {name: value for name, value in conditions.items() if value is not None}
    return conditions


class Experiment(Section):
    """A whole study: data, knowledge, conditions, seeds."""

    experiment: Name
    """Name of the study: its folder under results/ and its MLflow experiment (see `tracking`)."""
    questions: QuestionSource
    """The data set and how it is read."""
    knowledge: list[KnowledgeSource]
    """The knowledge sources; duplicate facts across them are dropped. `[]` = none, where no
    condition uses facts."""
    demo_world: DemoWorld = DemoWorld()
    """The generated world, for `questions: {dataset: demo}` and `knowledge: [demo]`."""
    sources: dict[str, SourceOverride] = Field(default_factory=dict)
    """Other addresses and checksums for named sources."""
    retrieval: Retrieval = Retrieval()
    """How facts are found for a question."""
    model: Model = Model()
    """The encoder, and what is injected where."""
    training: Training = Training()
    """How a model is trained; defaults are those of the released Social IQA run."""
    evaluation: Evaluation = Evaluation()
    """What is measured of a trained model beside its answers."""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    """One training run per condition and seed."""
    baseline: Name
    """The condition with which all others are compared."""
    conditions: Annotated[
        dict[Name, ConditionOverride],
        BeforeValidator(_without_null, json_schema_input_type=dict[Name, ConditionOverride | None]),
        Field(min_length=1),
    ]
    """The conditions by name; `{}` is the experiment's own settings, null leaves one out that
    another config file has."""
    tracking: Tracking = Tracking()
    """Where MLflow keeps the runs."""
    keep: Name | None = None
    """Where finished runs would be made again, their results are first kept under this name, a
    folder under results/; usually given as `--config keep=NAME`. null = they are replaced."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.baseline not in self.conditions:
            known = ", ".join(self.conditions)
            raise ValueError(f"baseline: {self.baseline!r} is not a condition; there are {known}")
        if self.experiment in _RESERVED:
            raise ValueError(f"experiment: {self.experiment!r} is taken; choose another name")
        if self.keep in (*_RESERVED, self.experiment):
            raise ValueError(f"keep: {self.keep!r} is taken; choose another name")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: the same seed is given twice")
        _ = self.needed_sources  # which checks every condition
        return self

    @property
    def needed_sources(self) -> dict[str, SourceOverride]:
        """What has to be fetched for the experiment, by name, as `resolve` takes it."""
        readers: list[Any] = [self.questions]
        for name in self.conditions:
            condition = self.condition(name)
            if condition.uses_facts:
                readers += condition.knowledge
        needed: dict[str, SourceOverride] = {}
        for reader in readers:
            if reader.archive is None or reader.is_generated:
                continue
            is_users = isinstance(reader, UserData)
            override = reader.override if is_users else self.sources.get(reader.archive)
            override = override or SourceOverride()
            if needed.setdefault(reader.archive, override) != override:
                raise ValueError(f"knowledge: two sources are called {reader.archive}; name one")
        return needed

    @property
    def encoders(self) -> dict[str, list[str]]:
        """All encoders that are loaded, by the option of `kformer check-encoders` for them."""
        conditions = [self.condition(name) for name in self.conditions]
        trained = {each.model.encoder for each in conditions if each.answer_by == "model"}
        embedding = {each.retrieval.encoder for each in conditions if each.embeds_facts}
        return {"model": sorted(trained), "retrieval": sorted(embedding)}

    def check_encoders(self) -> None:
        """Raises KformerError as `Condition.check_encoders` does, naming the condition."""
        for name in self.conditions:
            try:
                self.condition(name).check_encoders()
            except KformerError as error:
                raise KformerError(f"conditions.{name}: {error}") from None

    def check_paths(self) -> None:
        """Raises KformerError for the user's data that is not where the config says."""
        readers: list[tuple[str, Any]] = [("questions", self.questions)]
        for name in self.conditions:
            readers += [
                (f"conditions.{name}.knowledge", each) for each in self.condition(name).knowledge
            ]
        for key, reader in readers:
            if isinstance(reader, UserData) and reader.path and not reader.place.exists():
                raise KformerError(
                    f"{key}: path: there is nothing at {reader.path}; correct it, or put a file "
                    "or a folder there"
                )

    def condition(self, name: str) -> Condition:
        """One condition, resolved against the experiment's own settings."""
        override = self.conditions[name]
        sections: dict[str, Any] = {
            key: getattr(self, key).model_dump() for key in ("retrieval", "model", "training")
        }
        for key, values in override.model_dump(exclude_unset=True).items():
            if key in sections and values is not None:
                sections[key] = merged(sections[key], values)
        try:
            return Condition(
                answer_by=override.answer_by,
                knowledge=override.knowledge or self.knowledge,
                **sections,
            )
        except ValidationError as error:
            raise ValueError(f"conditions.{name}: {in_one_line(error)}") from None


def load_experiment(config: Mapping[str, Any], origin: str = "config") -> Experiment:
    """Reads and checks the config of an experiment.

    Args:
        config: the parsed YAML.
        origin: what to call the config in messages, its file names.

    Raises:
        KformerError: with every problem's path and what is allowed there.
    """
    experiment: Experiment = validated(Experiment, config, origin)
    try:
        for name in experiment.sources:
            if name not in CATALOGUE:
                resolve(name, {})  # which lists the known ones
        for name in experiment.needed_sources:
            resolve(name, experiment.needed_sources)
        experiment.check_encoders()
        experiment.check_paths()
    except KformerError as error:
        raise KformerError(f"{origin}: {error}") from None
    return experiment
