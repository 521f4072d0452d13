"""The figure of ladders: how accurate each method is on gold facts, on retrieved ones, on none."""

import math
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes

from kformer.evaluation.figure import BLUE, GREY, ORANGE, figure_to_save, write_accuracy
from kformer.evaluation.ladder import FACTS
from kformer.evaluation.ladder_report import facts_in
from kformer.evaluation.results import Comparison, ConditionResult, LadderResult
from kformer.io.formatting import percent

_WIDTH = 9.0  # inches, of the figure
_STEP_INCHES = 0.62  # from one kind of facts to the next
_PANEL_HEIGHT = 2.7  # inches
_BESIDE = 0.22  # steps to the right of the facts whose control it is
_PALE = "#d9d9d9"


def draw_ladders(comparison: Comparison, path: Path | BytesIO, kind: str) -> None:
    """Draws the ladders of the first split, each in a panel of its own with the others in grey.

    Args:
        kind: ``svg`` or ``png``.
    """
    kinds = [*facts_in(comparison.ladders), comparison.baseline]
    ladders = comparison.ladders
    columns = min(len(ladders), max(1, int(_WIDTH / (_STEP_INCHES * len(kinds) + 0.3))))
    rows = math.ceil(len(ladders) / columns)
    with figure_to_save(path, kind) as figure:
        width = max(columns * (_STEP_INCHES * len(kinds) + 0.3) + 0.5, 6)
        figure.set_size_inches(width, 1.3 + _PANEL_HEIGHT * rows)
        figure.suptitle(
            f"{comparison.experiment}: accuracy on {comparison.questions:,} {comparison.split} "
            "questions,\nby the facts that a method reads",
            x=0.01,
            ha="left",
            fontsize=11,
            fontweight="bold",
        )
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, ladder in zip(panels.flat, ladders, strict=False):
            _draw_panel(axes, ladder, comparison, kinds)
        for axes in panels.flat[len(ladders) :]:
            axes.set_visible(False)
        for axes in panels.flat[: len(ladders)][-columns:]:
            axes.tick_params(labelbottom=True)  # also where the last row has a gap below
        figure.supylabel("accuracy in %, with 95 % interval", fontsize=10)
        figure.supxlabel(_legend(comparison), fontsize=9, color=GREY, x=0.99, ha="right")


def _draw_panel(axes: Axes, ladder: LadderResult, comparison: Comparison, kinds: list[str]) -> None:
    for other in comparison.ladders:
        if other is not ladder:
            axes.plot(*_line(other, comparison, kinds), color=_PALE, linewidth=1.2, zorder=1)
    baseline = comparison.condition(comparison.baseline)
    axes.axhline(100 * baseline.accuracy_mean, color=GREY, linewidth=1, linestyle=":", zorder=1)
    guessing = 100 * comparison.guessing.evenly
    axes.axhline(guessing, color=_PALE, linewidth=1, linestyle="--", zorder=1)
    axes.plot(*_line(ladder, comparison, kinds), color=BLUE, linewidth=1.5, alpha=0.4, zorder=2)
    controls = {control.control for control in ladder.main.controls}
    for facts, names in ladder.conditions.items():
        for name in names:
            colour = ORANGE if facts in controls else BLUE
            _draw_point(axes, kinds.index(facts), comparison.condition(name), colour)
    for rung in ladder.rungs:
        if rung is not ladder.main:
            for control in rung.controls:
                height = 100 * comparison.condition(control.condition).accuracy_mean
                beside = kinds.index(rung.kind) + _BESIDE
                axes.plot(beside, height, "D", color=ORANGE, markerfacecolor="white", markersize=5)
    _draw_point(axes, len(kinds) - 1, baseline, GREY)
    axes.set_title(ladder.name, loc="left", fontsize=10, color=BLUE)
    axes.set_xticks(range(len(kinds)), [FACTS.get(each, each).replace(" ", "\n") for each in kinds])
    axes.set_xlim(-0.5, len(kinds) - 0.5)
    axes.margins(y=0.12)
    axes.tick_params(axis="both", length=0, labelsize=9)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_PALE)


def _draw_point(axes: Axes, position: int, result: ConditionResult, colour: str) -> None:
    low, high = (100 * end for end in result.ci95_with_seeds)
    axes.plot([position] * 2, [low, high], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot(position, 100 * result.accuracy_mean, "o", color=colour, markersize=4.5)
    write_accuracy(axes, result, (position, high), above=5, pad=0.6, fontsize=9, color=colour)


def _line(
    ladder: LadderResult, comparison: Comparison, kinds: list[str]
) -> tuple[list[int], list[float]]:
    """Where the conditions of a ladder are, down to its controls."""
    points = [
        (kinds.index(facts), 100 * comparison.condition(name).accuracy_mean)
        for facts, names in ladder.conditions.items()
        for name in names
    ]
    positions, accuracies = zip(*sorted(points), strict=True)
    return list(positions), list(accuracies)


def _legend(comparison: Comparison) -> str:
    guessing = percent(comparison.guessing.evenly)
    parts = [f"dotted: {comparison.baseline}; dashed: guessing ({guessing})"]
    if len(comparison.ladders) > 1:
        parts.append("; grey lines: the other methods")
    ladders = comparison.ladders
    if any(rung.controls for each in ladders for rung in each.rungs if rung is not each.main):
        parts.append("\ndiamonds: the control of the facts beside them")
    return "".join(parts)
