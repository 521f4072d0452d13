"""The last stage of an experiment: from every run's predictions to one comparison."""

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from kformer.errors import KformerError
from kformer.evaluation.breakdowns import read_properties
from kformer.evaluation.comparison import compare_conditions
from kformer.evaluation.figure import draw_accuracies
from kformer.evaluation.ladder import Ladder, have_steps
from kformer.evaluation.ladder_figure import draw_ladders
from kformer.evaluation.read_runs import read_runs
from kformer.evaluation.report import render_markdown
from kformer.evaluation.results import Comparison, SplitComparison
from kformer.evaluation.use_of_facts_results import read_use_of_facts
from kformer.io.file_writing import replacing, write_json
from kformer.io.output_names import ComparisonReport, RunFolder

_PACKAGES = ("kformer", "torch", "transformers")


def compare(
    experiment: str,
    runs: Sequence[Path],
    baseline: str,
    out: Path,
    ladders: Sequence[Ladder] = (),
    questions: Path | None = None,
    use_of_facts: bool = True,
) -> dict[str, float]:
    """Compares all conditions of an experiment with its baseline, question by question.

    Each of ``runs`` is a `RunFolder` with predictions and, if something was trained, the summary
    of its training and, where it was measured, the table of its use of facts. The conditions keep
    the order in which they first appear. Writes a `ComparisonReport` into the folder ``out``.

    Args:
        ladders: which conditions are one method on other facts. The figure of ladders is only
            drawn where one of them has several conditions.
        questions: the table of the questions, to compare groups of them, too; None = no groups.
        use_of_facts: whether to read the tables of it.

    Returns:
        ``<condition>/accuracy`` and ``<condition>/delta`` as fractions and
        ``<condition>/p_holm`` for tracking; ``<condition>/due_to_knowledge`` where it has a
        control, ``<condition>/changed_without_facts`` where that was measured. Of other splits than
        the first their name is a part of each name.

    Raises:
        KformerError: the baseline or a condition of a ladder is not among the runs, or as
            `read_runs` and `read_use_of_facts` raise it.
    """
    folders = [RunFolder(folder) for folder in runs]
    found = {folder.condition for folder in folders}
    _check_known("baseline", [baseline], found)
    for ladder in ladders:
        for rung in ladder.rungs:
            _check_known("ladders", [rung.condition, *rung.controls.values()], found)
    properties = read_properties(questions) if questions else {}
    first, *others = (
        compare_conditions(answered, answers, baseline, ladders, properties)
        for answered, answers in read_runs(folders)
    )
    used = read_use_of_facts(folders, first.split) if use_of_facts else []
    comparison = Comparison(
        **dict(first.model_copy(update={"use_of_facts": used})),
        experiment=experiment,
        baseline=baseline,
        versions=versions_in_use(),
        other_splits=others,
    )

    report = ComparisonReport(out)
    write_json(report.numbers, comparison.model_dump(mode="json"))
    figures = dict.fromkeys((report.svg, report.png), draw_accuracies)
    if have_steps(ladders):
        figures |= dict.fromkeys((report.ladder_svg, report.ladder_png), draw_ladders)
    else:
        for former in (report.ladder_svg, report.ladder_png):
            former.unlink(missing_ok=True)
    with replacing(report.page) as partial:
        page = render_markdown(comparison, report.png.name, report.ladder_png.name)
        partial.write_text(page, "utf-8")
    for file, draw in figures.items():
        with replacing(file) as partial:
            draw(comparison, partial, file.suffix.removeprefix("."))
    return dict(_metrics(comparison))


def versions_in_use() -> dict[str, str]:
    """Of the packages that results depend on most, and of Python."""
    return {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()}


def read_comparison(path: Path) -> Comparison:
    """Reads a ``comparison.json``; raises KformerError where there is none."""
    try:
        return Comparison.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise KformerError(f"{path}: there is no such file; run the experiment first") from None
    except ValueError:
        raise KformerError(
            f"{path}: this is no comparison.json, or one of another version of kformer"
        ) from None


def _check_known(given_by: str, names: Sequence[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise KformerError(
                f"{given_by}: {name} is none of the conditions: {', '.join(sorted(known))}"
            )


def _metrics(comparison: Comparison) -> Iterator[tuple[str, float]]:
    yield from _metrics_of(comparison, "")
    for split in comparison.other_splits:
        yield from _metrics_of(split, f"{split.split}/")


def _metrics_of(split: SplitComparison, prefix: str) -> Iterator[tuple[str, float]]:
    for result in split.conditions:
        name = f"{prefix}{result.condition}"
        yield f"{name}/accuracy", result.accuracy_mean
        yield f"{name}/delta", result.delta
        if result.p_holm is not None:
            yield f"{name}/p_holm", result.p_holm
    for use in split.use_of_facts:
        yield f"{prefix}{use.condition}/changed_without_facts", use.changed_without_facts.value
    for ladder in split.ladders:
        for rung in ladder.rungs:
            for control in rung.controls[:1]:
                yield f"{prefix}{rung.condition}/due_to_knowledge", control.due_to_knowledge.delta
