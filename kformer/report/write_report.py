"""The report of an experiment: one page that opens anywhere, and its tables as files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kformer.errors import KformerError, listed
from kformer.evaluation.compare import read_comparison
from kformer.evaluation.condition_report import HOW_TO_READ
from kformer.evaluation.ladder import have_steps
from kformer.evaluation.ladder_report import HOW_TO_READ_LADDERS
from kformer.evaluation.results import Comparison
from kformer.evaluation.use_of_facts_report import HOW_TO_READ_USE
from kformer.io.file_writing import replacing
from kformer.io.formatting import on_one_line, percent
from kformer.io.output_names import RunFolder
from kformer.io.pages import page_template
from kformer.io.training_summary import TrainingSummary
from kformer.report.cases import Case, cases_of
from kformer.report.charts import Curves, charts_of
from kformer.report.headline import best_method, headline
from kformer.report.provenance_tables import provenance_tables
from kformer.report.published import PUBLISHED
from kformer.report.settings import About, Found
from kformer.report.tables import Table, tables_of, write_tables

_RETRIEVAL = {
    "facts a query": ("facts_per_query", "{:.1f}"),
    "queries without facts %": ("queries_without_facts_share", "{:.1%}"),
    "gold facts first %": ("gold_recall_at_1", "{:.1%}"),
    "among the first 5 %": ("gold_recall_at_5", "{:.1%}"),
    "found at all %": ("gold_recall", "{:.1%}"),
    "answer words, right %": ("answer_words_right_at_5", "{:.1%}"),
    "wrong %": ("answer_words_wrong_at_5", "{:.1%}"),
}


def write_report(
    comparison: Path,
    runs: Sequence[Path],
    questions: Path,
    about: About,
    out: Path,
    tables: Path,
    provenance: Path | None = None,
) -> None:
    """Writes the page, and all its tables into a folder.

    Args:
        comparison: the ``comparison.json`` of these runs.
        runs: the folders of the runs, see `RunFolder`.
        questions: the table of the questions.
        about: what else is known of the study.
        out: the page to write; it needs no other file and no network.
        tables: the folder to write.
        provenance: JSON of where the numbers come from; None = the page does not say.

    Raises:
        KformerError: a file is missing or damaged.
    """
    results = read_comparison(comparison)
    folders = [RunFolder(run) for run in runs]
    of_splits = {split.split: tables_of(split, results.baseline) for split in results.splits}
    more = [*_of_retrieval(about.retrievals), *_of_published(about.dataset)]
    _check_conditions(results, folders, about)
    made_from = _read_json(provenance) if provenance else None
    of_provenance = _tables_of_provenance(provenance, made_from) if provenance else []
    template = page_template("kformer.report", "report.html", percent=percent, line=on_one_line)
    page = template.render(
        comparison=results,
        headline=headline(results),
        of_splits=of_splits,
        more=more,
        charts=charts_of(results, _curves(folders), about.varied),
        cases=_cases(results, folders, questions, about),
        how_to_read=_how_to_read(results),
        provenance=made_from,
        of_provenance=of_provenance,
    )
    with replacing(out) as partial:
        partial.write_text(page, "utf-8")
    named = [
        Table(f"{split}_{each.name}", each.title, each.header, each.rows)
        for split, some in of_splits.items()
        for each in some
    ]
    write_tables([*named, *more, *of_provenance], tables)


def _check_conditions(results: Comparison, runs: Sequence[RunFolder], about: About) -> None:
    """Raises KformerError where these are not the runs that were compared."""
    compared, given = set(results.names), {run.condition for run in runs}
    if differing := sorted(compared ^ given):
        raise KformerError(
            f"{listed(differing)}: not both in the comparison and among the runs; give all runs "
            "that were compared, and no others"
        )
    named = {name for each in about.varied for name in each.values}
    if unknown := sorted(named - compared):
        raise KformerError(f"--about: varied: {listed(unknown)}: none of the conditions")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise KformerError(f"{path}: not JSON in UTF-8: {error}") from None
    if not isinstance(content, dict):
        raise KformerError(f"{path}: this is no JSON object; name another file")
    return content


def _tables_of_provenance(path: Path | None, content: Any) -> list[Table]:
    try:
        return provenance_tables(content)
    except (KeyError, TypeError, AttributeError):
        raise KformerError(
            f"{path}: this is no provenance.json, or one of another version of kformer"
        ) from None


def _curves(runs: Sequence[RunFolder]) -> Curves:
    found: dict[str, list[Any]] = {}
    for run in runs:
        if run.seed is not None:
            found.setdefault(run.condition, []).append(TrainingSummary.read(run.summary).curve)
    return found


def _cases(
    results: Comparison, runs: Sequence[RunFolder], questions: Path, about: About
) -> list[Case]:
    """Of the best method and the baseline, each with its first seed."""
    best = best_method(results)
    first = {run.condition: run for run in reversed(runs)}
    if best is None or not best.seeds:
        return []
    name = best.condition
    return cases_of(first[name], first[results.baseline], questions, about.facts.get(name))


def _of_retrieval(retrievals: Sequence[Found]) -> Iterator[Table]:
    numbers = [_read_json(each.numbers) for each in retrievals]
    shown = {
        title: (key, form)
        for title, (key, form) in _RETRIEVAL.items()
        if any(each.get(key) is not None for each in numbers)
    }
    if shown:
        yield Table(
            "retrieval",
            "What retrieval found: how often gold facts, and how many of the words that tell the "
            "choices apart are in the five best facts, for the right choice and for wrong ones.",
            ["conditions", *shown],
            [
                [
                    ", ".join(found.conditions),
                    *(_shown(each.get(key), form) for key, form in shown.values()),
                ]
                for found, each in zip(retrievals, numbers, strict=True)
            ],
        )


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value).removesuffix("%")


def _of_published(dataset: str) -> Iterator[Table]:
    if published := PUBLISHED.get(dataset):
        yield Table(
            "published",
            "What others have published for this data set, with other models, more training or "
            "other splits; as the sources say it.",
            ["system", "split", "accuracy %", "source"],
            [[each.system, each.split, each.accuracy, each.source] for each in published],
        )


def _how_to_read(results: Comparison) -> list[str]:
    """What the Markdown page says, too."""
    text = HOW_TO_READ + ("\n" + HOW_TO_READ_LADDERS) * have_steps(results.ladders)
    text += ("\n" + HOW_TO_READ_USE) * bool(results.use_of_facts)
    text = text.format(baseline=results.baseline).replace("\n  ", " ")
    return [line.removeprefix("- ").replace("**", "").replace("`", "") for line in text.split("\n")]
