"""The comparison as a Markdown page and as a table for the terminal."""

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text

from kformer.evaluation.statistics import Comparison, ConditionResult
from kformer.io.formatting import markdown_table, p_value, percent, points, seconds, times

_SIGNIFICANT = 0.05
_HEADER = (
    "condition",
    "accuracy\n%",
    "95 % CI",
    "Δ\npoints",
    "p\n(Holm)",
    "p vs\nchance",
    "s/step",
    "cost",
)

_HOW_TO_READ = """\
- **accuracy**: the mean over seeds ± the standard deviation between them. A deviation of two or
  three seeds is itself rough.
- **95 % CI**: how far the accuracy might be elsewhere had other questions of the same kind been
  asked (bootstrap over questions). It does not cover other seeds.
- **Δ points**: percentage points above or below `{baseline}`, on the same questions.
- **p (Holm)**: how often a difference at least this large would arise if `{baseline}` and the
  condition were interchangeable (paired sign-flip test over questions, two-sided), corrected by
  Holm's method for comparing several conditions at once. Overlapping intervals are no such test.
  It holds for the seeds that were run: a Δ no larger than the ± may change sign with others.
- **p vs chance**: the same for an accuracy this far from guessing, were the answer key random;
  uncorrected.
- **s/step**, **cost**: seconds per training step, and how many times those of `{baseline}`.
- A control, such as a condition on shuffled facts, has a method's parameters but not its
  knowledge. A gain that the control shares does not come from knowledge. To test one condition
  against its control, make the control the `baseline`."""


def render_table(comparison: Comparison, plain: bool = False) -> Table:
    """The comparison as a table that fits a terminal of 80 columns.

    Args:
        plain: whether the terminal shows ASCII alone.
    """
    delta = "delta" if plain else "Δ"
    table = Table(
        title=f"{comparison.experiment}: {_statement(comparison).replace('Δ', delta)}",
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    name, *numbers = (each.replace("Δ", delta) for each in _HEADER)
    table.add_column(name, overflow="fold", vertical="bottom")
    for header in numbers:
        table.add_column(Text(header, justify="right"), justify="right", no_wrap=True)
    for result in comparison.conditions:
        table.add_row(*(Text(cell) for cell in _cells(result, comparison)))
    return table


def render_markdown(comparison: Comparison, figure: str) -> str:
    """The comparison as a Markdown page, readable as plain text, too.

    Args:
        figure: the address of the figure, as seen from the page.
    """
    header = [name.replace("\n", " ") for name in _HEADER]
    rows = [_cells(result, comparison) for result in comparison.conditions]
    parts = [
        f"# {comparison.experiment}",
        f"{_statement(comparison)} {_seeds(comparison.conditions)}",
        markdown_table(header, rows),
        f"![The accuracy of each condition with its 95 % interval]({figure})",
        "\n".join(f"- {_finding(result, comparison)}" for result in comparison.conditions),
        "## How to read this",
        _HOW_TO_READ.format(baseline=comparison.baseline),
        ", ".join(f"{name} {version}" for name, version in comparison.versions.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _statement(comparison: Comparison) -> str:
    return (
        f"{len(comparison.conditions)} conditions answered the same {comparison.questions:,} "
        f"{comparison.split} questions; guessing gets {percent(comparison.chance)} % right. "
        f"Δ is the difference from {comparison.baseline}, question by question."
    )


def _seeds(results: Iterable[ConditionResult]) -> str:
    groups: dict[tuple[int, ...], list[str]] = {}
    for result in results:
        groups.setdefault(tuple(result.seeds), []).append(f"`{result.condition}`")
    sentences = [
        f"{_trained_with(seeds)}: {', '.join(conditions)}." for seeds, conditions in groups.items()
    ]
    return " ".join(sentences)


def _trained_with(seeds: tuple[int, ...]) -> str:
    if not seeds:
        return "Untrained"
    return f"Trained with seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _finding(result: ConditionResult, comparison: Comparison) -> str:
    """One sentence on one condition."""
    finding = _finding_against(result, comparison) + _finding_chance(result)
    return f"`{result.condition}`: {finding}{_finding_ties(result)}."


def _finding_against(result: ConditionResult, comparison: Comparison) -> str:
    if result.p_holm is None or result.delta_ci95 is None:
        return f"the baseline, {percent(result.accuracy_mean)} % right"
    low, high = result.delta_ci95
    evidence = f"95 % CI {points(low)} to {points(high)}, p (Holm) {p_value(result.p_holm)}"
    if result.p_holm >= _SIGNIFICANT:
        return (
            f"no difference from `{comparison.baseline}` detected "
            f"({points(result.delta)} points, {evidence})"
        )
    side = "above" if result.delta > 0 else "below"
    distance = f"{percent(abs(result.delta))} points"
    return f"{distance} {side} `{comparison.baseline}` ({evidence})"


def _finding_chance(result: ConditionResult) -> str:
    return "; no difference from chance detected" if result.p_chance >= _SIGNIFICANT else ""


def _finding_ties(result: ConditionResult) -> str:
    if not result.tied:
        return ""
    return (
        f"; for {percent(result.tied)} % of the questions several choices share the best score, "
        "and the id of the question draws one"
    )


def _cells(result: ConditionResult, comparison: Comparison) -> list[str]:
    is_baseline = result.condition == comparison.baseline
    low, high = result.ci95
    spread = "" if result.accuracy_std is None else f" ±{percent(result.accuracy_std)}"
    return [
        result.condition,
        percent(result.accuracy_mean) + spread,
        f"{percent(low)}-{percent(high)}",
        "" if is_baseline else points(result.delta),
        p_value(result.p_holm),
        p_value(result.p_chance),
        seconds(result.seconds_per_step),
        times(result.relative_cost),
    ]
