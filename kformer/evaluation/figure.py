"""The main figure of a comparison: each condition's accuracy with its uncertainty and its cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kformer.evaluation.results import Comparison, ConditionResult
from kformer.io.formatting import percent, seconds

# Of the palette of Okabe and Ito, which people of all colour vision can tell apart.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREY = "#595959"

_ROW_INCHES = 0.55
_SEEDS_BELOW = 0.24  # rows between a condition's interval and the dots of its seeds


def draw_accuracies(comparison: Comparison, path: Path | BytesIO, kind: str) -> None:
    """Draws the accuracies into a file; the same comparison gives the same bytes.

    Args:
        kind: ``svg`` or ``png``.
    """
    with figure_to_save(path, kind) as figure:
        figure.set_size_inches(8, 1.5 + _ROW_INCHES * len(comparison.conditions))
        _draw(figure.add_subplot(), comparison)


@contextmanager
def figure_to_save(path: Path | BytesIO, kind: str) -> Iterator[Figure]:
    """An empty figure, which is saved at the end; what is drawn alike gives the same bytes."""
    with mpl.rc_context(
        {
            "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters everywhere
            "font.size": 10,
            "svg.hashsalt": "kformer",  # and no date below: the same bytes on every run
        }
    ):
        figure = Figure(layout="constrained")
        yield figure
        figure.savefig(path, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else {})


def _draw(axes: Axes, comparison: Comparison) -> None:
    for row, result in enumerate(comparison.conditions):
        _draw_condition(axes, row, result, is_baseline=result.condition == comparison.baseline)
    _draw_guessing(axes, comparison.guessing.evenly)
    _label_rows(axes, comparison)
    axes.set_title(
        f"{comparison.experiment}: accuracy on {comparison.questions:,} "
        f"{comparison.split} questions",
        loc="left",
        pad=22,
        fontweight="bold",
    )
    axes.set_xlabel(
        "accuracy in % with 95 % interval over questions and seeds; small dots: single seeds"
    )
    axes.set_ylim(len(comparison.conditions) - 0.4, -0.6)
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_condition(axes: Axes, row: int, result: ConditionResult, is_baseline: bool) -> None:
    accuracy = 100 * result.accuracy_mean
    low, high = (100 * end for end in result.ci95_with_seeds)
    axes.plot([low, high], [row, row], color=BLUE, linewidth=2, solid_capstyle="butt")
    face = "white" if is_baseline else BLUE
    axes.plot(accuracy, row, "o", markersize=8, color=BLUE, markerfacecolor=face, markeredgewidth=2)
    write_accuracy(axes, result, (accuracy, row), above=8, pad=0.8)
    seeds = [100 * seed for seed in result.seed_accuracies]
    axes.plot(seeds, [row + _SEEDS_BELOW] * len(seeds), "o", markersize=3.5, color=ORANGE)


def write_accuracy(
    axes: Axes,
    result: ConditionResult,
    point: tuple[float, float],
    above: float,
    pad: float,
    **text: Any,
) -> None:
    """Writes an accuracy over a point, in a white box, so that no line runs through it.

    Args:
        above: how far, in points as of type.
        pad: the margin of the box.
        text: further arguments of matplotlib's `Text`.
    """
    axes.annotate(
        percent(result.accuracy_mean),
        point,
        (0, above),
        textcoords="offset points",
        ha="center",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": pad},
        **text,
    )


def _draw_guessing(axes: Axes, accuracy: float) -> None:
    axes.axvline(100 * accuracy, color=GREY, linestyle="--", linewidth=1.2, zorder=1)
    axes.annotate(
        f"guessing {percent(accuracy)}",
        (100 * accuracy, 1),
        (0, 4),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="center",
        color=GREY,
    )


def _label_rows(axes: Axes, comparison: Comparison) -> None:
    """Names the conditions on the left and what each costs on the right."""
    names = [
        f"{result.condition}\n(baseline)"
        if result.condition == comparison.baseline
        else result.condition
        for result in comparison.conditions
    ]
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    for row, result in enumerate(comparison.conditions):
        axes.annotate(
            _cost(result),
            (1.02, row),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            color=GREY,
        )


def _cost(result: ConditionResult) -> str:
    if not result.seeds:
        return "untrained"
    if result.seconds_per_step is None:
        return ""
    return f"{seconds(result.seconds_per_step)} s/step"
