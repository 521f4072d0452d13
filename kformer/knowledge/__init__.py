"""Readers of knowledge sources: one class a source, chosen in the config by name.

A reader is its own settings: a `Section` with ``source`` as discriminator and ``read(folder)``,
which yields rows of the facts table without their ids. A new source is one file here and one line
below. In a config, a bare name stands for that source with its default settings.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from kformer.knowledge.atomic import Atomic
from kformer.knowledge.demo import Demo


def _from_name(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


KnowledgeSource = Annotated[
    Annotated[Atomic | Demo, Field(discriminator="source")], BeforeValidator(_from_name)
]
