"""Which conditions belong together: the ladder of a method, from gold facts down to a control."""

from typing import Literal

from kformer.config_section import Name, Section

RungKind = Literal["gold", "gold_among_others", "retrieved"]


class Rung(Section):
    """A condition of a ladder, and its controls."""

    kind: RungKind
    """Which facts it reads."""
    condition: Name
    controls: dict[str, Name] = {}
    """The conditions that differ from it in `retrieval.control` alone, by that setting."""


class Ladder(Section):
    """Conditions that use facts by one method and differ in the facts alone."""

    name: str
    rungs: list[Rung]
    """From gold facts down: `gold`, `gold_among_others`, then one that is `retrieved`."""

    @property
    def main(self) -> Rung:
        """The rung that the ladder is named after: retrieved facts, if any condition has them."""
        return next(rung for rung in self.rungs if rung.condition == self.name)

    @property
    def has_steps(self) -> bool:
        """Whether there is more than one condition, so that the ladder shows more than a gain."""
        return len(self.rungs) > 1 or any(rung.controls for rung in self.rungs)
