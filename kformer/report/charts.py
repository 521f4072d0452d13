"""The figures of a report, as SVG that takes its colours from the page around it."""

import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from itertools import cycle, islice
from typing import NamedTuple, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kformer.evaluation.figure import BLUE, GREY, ORANGE, draw_accuracies, figure_to_save
from kformer.evaluation.ladder import have_steps
from kformer.evaluation.ladder_figure import draw_ladders
from kformer.evaluation.results import Comparison, ConditionResult
from kformer.io.training_summary import CurvePoint
from kformer.report.settings import Varied
from kformer.report.tables import by_accuracy

Curves = Mapping[str, Sequence[Sequence[CurvePoint]]]
"""Of each condition, those of its seeds."""
What = TypeVar("What")

# Of the palette of Okabe and Ito; the lines of conditions beyond it are dashed.
_COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
_STYLES = ("-", "--", ":")
# Colours of a white page, and what they are on one that may be dark.
_OF_PAGE = {
    "#ffffff": "var(--card)",
    "#000000": "currentColor",
    "#e5e5e5": "var(--line)",
    "#d9d9d9": "var(--line)",
    GREY: "var(--quiet)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
}


class Chart(NamedTuple):
    """A figure of a report."""

    title: str
    svg: str


def charts_of(comparison: Comparison, curves: Curves, varied: Sequence[Varied]) -> list[Chart]:
    """The figures that the results of an experiment give.

    Args:
        curves: of trainings; conditions without any are left out.
        varied: settings in which conditions differ alone.
    """
    best_first = by_accuracy(comparison)
    charts = [
        Chart(
            "Accuracy of each condition, with its 95 % interval over questions and seeds.",
            _svg_of(lambda file: draw_accuracies(best_first, file, "svg")),
        )
    ]
    if have_steps(comparison.ladders):
        charts.append(
            Chart(
                "Accuracy of each method by the facts that it reads.",
                _svg_of(lambda file: draw_ladders(comparison, file, "svg")),
            )
        )
    if any(each.relative_cost for each in comparison.conditions):
        charts.append(
            Chart(
                "What accuracy costs: training, relative to the baseline.",
                _drawn(_draw_costs, comparison, 5.0),
            )
        )
    if any(curve for of_condition in curves.values() for curve in of_condition):
        charts.append(
            Chart(
                "Training: the loss and the validation accuracy, each seed.",
                _drawn(_draw_curves, curves, 4.2),
            )
        )
    charts += [
        Chart(
            f"Accuracy by {each.setting}, all else being equal.",
            _drawn(_draw_ablation, (each, comparison), 3.2),
        )
        for each in varied
    ]
    calibrated = [each for each in best_first.conditions if each.calibration]
    if calibrated:
        rows = -(-len(calibrated) // _PANELS)
        charts.append(
            Chart(
                "Are answers right as often as the model is confident of them? On the line they "
                "are; above it they are right more often.",
                _drawn(_draw_reliability, calibrated, 0.6 + 2.0 * rows),
            )
        )
    return charts


def _svg_of(draw: Callable[[BytesIO], None]) -> str:
    """What is drawn, as an element of a page."""
    file = BytesIO()
    draw(file)
    svg = file.getvalue().decode("utf-8")
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    for colour, of_page in _OF_PAGE.items():
        svg = re.sub(re.escape(colour), of_page, svg, flags=re.IGNORECASE)
    return svg


def _drawn(draw: Callable[[Figure, What], None], what: What, height: float) -> str:
    """A figure of the width of the page.

    Args:
        height: inches.
    """

    def save(file: BytesIO) -> None:
        with figure_to_save(file, "svg") as figure:
            figure.set_size_inches(8, height)
            draw(figure, what)

    return _svg_of(save)


def _draw_costs(figure: Figure, comparison: Comparison) -> None:
    axes = figure.add_subplot()
    costly = [each for each in comparison.conditions if each.relative_cost]
    for each, (colour, _) in zip(costly, _looks(len(costly)), strict=True):
        assert each.relative_cost is not None
        accuracy = 100 * each.accuracy_mean
        low, high = (100 * end for end in each.ci95_with_seeds)
        axes.plot([each.relative_cost] * 2, [low, high], color=colour, linewidth=1.5)
        axes.plot(each.relative_cost, accuracy, "o", color=colour, label=each.condition)
    axes.set_xlabel(f"cost of training, relative to {comparison.baseline}")
    axes.set_ylabel("accuracy in %")
    _tidy(axes)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)


def _draw_curves(figure: Figure, curves: Curves) -> None:
    losses, accuracies = figure.subplots(1, 2)
    shown = {name: seeds for name, seeds in curves.items() if any(seeds)}
    for (name, seeds), (colour, style) in zip(shown.items(), _looks(len(shown)), strict=True):
        look = {"color": colour, "linestyle": style, "linewidth": 1.2}
        for number, curve in enumerate(seeds):
            label = name if number == 0 else None
            steps = [each.step for each in curve if each.loss is not None]
            losses.plot(steps, [each.loss for each in curve if each.loss is not None], **look)
            found = [each for each in curve if each.validation_accuracy is not None]
            accuracies.plot(
                [each.step for each in found],
                [100 * (each.validation_accuracy or 0) for each in found],
                **look,
                marker="o",
                markersize=3,
                label=label,
            )
    for axes, what in ((losses, "loss of training"), (accuracies, "validation accuracy in %")):
        axes.set_xlabel("step")
        axes.set_ylabel(what)
        _tidy(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)


def _draw_ablation(figure: Figure, varied: tuple[Varied, Comparison]) -> None:
    setting, comparison = varied
    axes = figure.add_subplot()
    found = {name: comparison.condition(name) for name in setting.values}
    order = sorted(found, key=lambda name: setting.values[name])
    values = [setting.values[name] for name in order]
    axes.plot(values, [100 * found[name].accuracy_mean for name in order], "o-", color=BLUE)
    for name in order:
        low, high = (100 * end for end in found[name].ci95_with_seeds)
        axes.plot([setting.values[name]] * 2, [low, high], color=BLUE, linewidth=1.5)
    axes.set_xticks(values)
    axes.set_xlabel(f"{setting.setting} ({', '.join(order)})", fontsize=9)
    axes.set_ylabel("accuracy in %")
    _tidy(axes)


_PANELS = 4  # in a row


def _draw_reliability(figure: Figure, calibrated: Sequence[ConditionResult]) -> None:
    rows = -(-len(calibrated) // _PANELS)
    panels = figure.subplots(rows, _PANELS, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(calibrated) :]:
        axes.set_visible(False)
    for axes, each in zip(panels.flat, calibrated, strict=False):
        assert each.calibration is not None
        axes.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle="--")
        axes.plot(
            [100 * one.confidence for one in each.calibration.bins],
            [100 * one.accuracy for one in each.calibration.bins],
            color=BLUE,
            marker="o",
            markersize=3,
        )
        answers = sum(one.answers for one in each.calibration.bins)
        heights = [100 * one.answers / answers for one in each.calibration.bins]
        axes.bar(
            [100 * one.confidence for one in each.calibration.bins],
            heights,
            width=4,
            color=ORANGE,
            alpha=0.35,
        )
        axes.set_title(each.condition, fontsize=8)
        axes.tick_params(labelsize=8)
        _tidy(axes)
    figure.supxlabel("confidence in %; bars: share of the answers", fontsize=9)
    figure.supylabel("right in %", fontsize=9)


def _looks(number: int) -> list[tuple[str, str]]:
    """A colour and a style of line for each of some conditions."""
    styles = [style for style in _STYLES for _ in _COLOURS]
    looks = zip(cycle(_COLOURS), cycle(styles), strict=False)
    return list(islice(looks, number))


def _tidy(axes: Axes) -> None:
    axes.grid(color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
