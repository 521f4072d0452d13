"""How the conditions of an experiment use their facts, from the tables of their runs."""

from collections.abc import Mapping, Sequence

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from kformer.errors import KformerError
from kformer.evaluation.results import Proportion, UseOfFacts
from kformer.evaluation.use_of_facts_measures import (
    Measure,
    changed_with_other_facts,
    changed_without_facts,
    gold_by_chance,
    gold_mattered_most,
    known_mean,
    margin_gain,
)
from kformer.io.output_names import RunFolder
from kformer.io.tables import Row, provenance, read_table
from kformer.io.training_summary import TrainingSummary

_Rows = Mapping[str, Row]  # by the ids of the questions


def read_use_of_facts(folders: Sequence[RunFolder], split: str) -> list[UseOfFacts]:
    """The use of facts on the questions of a split, for each condition whose runs measured it.

    Raises:
        KformerError: a table is damaged, of another model than that of its run, or about other
            questions than the first one.
    """
    tables: dict[str, dict[int, _Rows]] = {}
    first: tuple[RunFolder, _Rows] | None = None
    for folder in folders:
        if folder.seed is None or not folder.use_of_facts.exists():
            continue
        rows = _read(folder, split)
        first = first or (folder, rows)
        if rows.keys() != first[1].keys():
            raise KformerError(
                f"{folder.use_of_facts}: about other questions than {first[0].use_of_facts}; "
                "measure both again"
            )
        if rows:
            tables.setdefault(folder.condition, {})[folder.seed] = rows
    return [_summed_up(condition, of_seeds) for condition, of_seeds in tables.items()]


def _read(folder: RunFolder, split: str) -> _Rows:
    path = folder.use_of_facts
    rows = read_table(path, "use_of_facts").to_pylist()
    training = TrainingSummary.read(folder.summary)
    if provenance(path, "use_of_facts").get("model_checksums") != training.model_checksums:
        raise KformerError(
            f"{path}: made by another model than that of {folder.summary}; measure it again, or "
            "delete the file"
        )
    return {row["question_id"]: row for row in rows if row["split"] == split}


def _summed_up(condition: str, of_seeds: Mapping[int, _Rows]) -> UseOfFacts:
    tables = list(of_seeds.values())
    without_facts = _proportion(changed_without_facts, tables)
    with_others = _proportion(changed_with_other_facts, tables)
    assert without_facts is not None and with_others is not None  # known of every question
    return UseOfFacts(
        condition=condition,
        seeds=list(of_seeds),
        changed_without_facts=without_facts,
        changed_with_other_facts=with_others,
        margin_gain=float(np.mean(_of_questions(margin_gain, tables))),
        gold_mattered_most=_proportion(gold_mattered_most, tables),
        gold_by_chance=known_mean(_of_questions(gold_by_chance, tables)),
    )


def _proportion(measure: Measure, tables: Sequence[_Rows]) -> Proportion | None:
    """The share of the questions of which something is known; None where there is none.

    The interval is Wilson's (1927). Seeds answer the same questions, so their mean counts once a
    question, and more seeds make it no narrower.
    """
    values = _of_questions(measure, tables)
    if not values:
        return None
    low, high = proportion_confint(sum(values), len(values), method="wilson")
    return Proportion(
        value=float(np.mean(values)), ci95=(float(low), float(high)), questions=len(values)
    )


def _of_questions(measure: Measure, tables: Sequence[_Rows]) -> list[float]:
    """The mean over seeds for each question of which something is known."""
    means = (known_mean(measure(rows[name]) for rows in tables) for name in tables[0])
    return [mean for mean in means if mean is not None]
