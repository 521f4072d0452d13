"""What a report is told of the study, besides its results."""

from pathlib import Path

from pydantic import Field

from kformer.config_section import Section


class Found(Section):
    """What was retrieved for some conditions."""

    conditions: list[str]
    numbers: Path
    """The `retrieval.json` that describes it."""


class Varied(Section):
    """A number in which some conditions differ alone."""

    setting: str
    values: dict[str, float]
    """Its value in each condition."""


class About(Section):
    """What is known of an experiment, besides its results."""

    dataset: str = ""
    """The data set's name, to show what others have published."""
    facts: dict[str, Path] = Field(default_factory=dict)
    """The facts table that each condition reads, if it reads one."""
    retrievals: list[Found] = Field(default_factory=list)
    varied: list[Varied] = Field(default_factory=list)
