"""What a table of the use of facts says in numbers."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from kformer.io.tables import Row

Measure = Callable[[Row], float | None]


def changed_without_facts(row: Row) -> float:
    """Whether the answer is another one without facts."""
    return float(row["prediction_without_facts"] != row["prediction"])


def changed_with_other_facts(row: Row) -> float:
    """Whether the answer is another one with another question's facts."""
    return float(row["prediction_with_other_facts"] != row["prediction"])


def margin_gain(row: Row) -> float:
    """What all facts together add to the margin of the right choice."""
    gain: float = row["margin"] - row["margin_without_facts"]
    return gain


def gold_mattered_most(row: Row) -> float | None:
    """Whether the fact that adds most to the margin is a gold one.

    None where no gold fact was read, or no fact adds anything.
    """
    if gold_by_chance(row) is None:
        return None
    return float(max(row["facts"], key=_gain)["is_gold"])


def gold_by_chance(row: Row) -> float | None:
    """How often a fact that is drawn is a gold one; None where `gold_mattered_most` is."""
    gold = [fact["is_gold"] for fact in row["facts"]]
    has_gain = max(map(_gain, row["facts"]), default=0.0) > 0
    return sum(gold) / len(gold) if any(gold) and has_gain else None


def _gain(fact: Row) -> float:
    """What one fact adds to the margin of the right choice."""
    gain: float = fact["margin_gain"]
    return gain


def measures_of_run(rows: Sequence[Row], first_layer: int) -> dict[str, float]:
    """The questions, and over these the means of all measures that are known.

    Args:
        rows: of the table, at least one.
        first_layer: the number of the first injected layer.
    """
    measures: dict[str, Measure] = {
        "facts_read_per_choice": lambda row: float(np.mean([len(ids) for ids in row["fact_ids"]])),
        "changed_without_facts": changed_without_facts,
        "changed_with_other_facts": changed_with_other_facts,
        "margin_gain_of_facts": margin_gain,
        "gold_fact_mattered_most": gold_mattered_most,
        "gold_fact_by_chance": gold_by_chance,
    }
    means = {name: known_mean(map(measure, rows)) for name, measure in measures.items()}
    return {
        "use_of_facts_questions": len(rows),
        **{name: mean for name, mean in means.items() if mean is not None},
        **dict(_activations(rows, first_layer)),
    }


def known_mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _activations(rows: Sequence[Row], first_layer: int) -> Iterator[tuple[str, float]]:
    """How strongly facts fired in each layer, the mean over all facts of all questions."""
    fired = [fact["activations"] for row in rows for fact in row["facts"] if fact["activations"]]
    if fired:
        for layer, mean in enumerate(np.mean(fired, axis=0).tolist(), first_layer):
            yield f"fact_activation_in_layer_{layer}", mean
