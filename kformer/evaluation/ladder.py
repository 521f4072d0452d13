"""Which conditions belong together: the ladder of a method, from gold facts down to a control."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from kformer.config_section import Name, Section

RungKind = Literal["gold", "gold_among_others", "retrieved"]

FACTS = {
    "gold": "gold",
    "gold_among_others": "gold among others",
    "retrieved": "retrieved",
    "shuffle": "shuffled",
    "random": "random",
}
"""What rungs and controls are called, from the best facts down to the worst."""


class Rung(Section):
    """A condition of a ladder, and its controls."""

    kind: RungKind
    """Which facts it reads."""
    condition: Name
    controls: dict[str, Name] = Field(default_factory=dict)
    """The conditions that differ from it in `retrieval.control` alone, by that setting."""


class Ladder(Section):
    """Conditions that use facts by one method and differ in the facts alone."""

    name: str
    rungs: list[Rung]
    """From gold facts down: `gold`, `gold_among_others`, then one that is `retrieved`."""

    @property
    def gold(self) -> str | None:
        """The condition with gold facts and nothing else; None where there is none."""
        first = self.rungs[0]
        return first.condition if first.kind == "gold" else None


def have_steps(ladders: Iterable[Any]) -> bool:
    """Whether one of the ladders, planned or compared, has more than one condition.

    Where none has, they show no more than the gains of the conditions.
    """
    return any(len(ladder.rungs) > 1 or ladder.rungs[0].controls for ladder in ladders)
