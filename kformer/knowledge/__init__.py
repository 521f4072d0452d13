"""Readers of knowledge sources: one class a source, chosen in the config by name.

A reader is its own settings, see `kformer.knowledge.reader`. A new source is one file here and two
lines below. In a config, a bare name stands for that source with its default settings.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field
from typing_extensions import TypeAliasType

from kformer.knowledge.atomic import Atomic
from kformer.knowledge.atomic2020 import Atomic2020
from kformer.knowledge.conceptnet import ConceptNet
from kformer.knowledge.demo import DemoFacts
from kformer.knowledge.medquad import MedQuad
from kformer.knowledge.open_book import OpenBook
from kformer.knowledge.qasc_facts import QascFacts
from kformer.knowledge.textbooks import Textbooks
from kformer.knowledge.user_files import CsvFacts, JsonlFacts, ParquetFacts, TsvFacts, TxtFacts

_Reader = Annotated[
    Atomic
    | Atomic2020
    | ConceptNet
    | CsvFacts
    | DemoFacts
    | JsonlFacts
    | MedQuad
    | OpenBook
    | ParquetFacts
    | QascFacts
    | Textbooks
    | TsvFacts
    | TxtFacts,
    Field(discriminator="source"),
]
_NAMES: Any = Literal[
    tuple(reader.model_fields["source"].default for reader in get_args(get_args(_Reader)[0]))
]


def _from_name(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


# A named type stands once in the JSON schema.
KnowledgeSource = TypeAliasType(
    "KnowledgeSource",
    Annotated[_Reader, BeforeValidator(_from_name, json_schema_input_type=_Reader | _NAMES)],
)
