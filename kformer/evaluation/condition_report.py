"""What the report says of single conditions: the columns of their table, and sentences."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kformer.evaluation.results import ConditionResult, Difference, Interval
from kformer.io.formatting import giga, p_value, percent, points, seconds, times

_SIGNIFICANT = 0.05

HOW_TO_READ = """\
- **accuracy**: the mean over seeds ± the standard deviation between them. A deviation of two or
  three seeds is itself rough.
- **95 % CI**: how far the accuracy might be elsewhere had other questions of the same kind been
  asked (bootstrap over questions).
- **with seeds**: the same had other seeds been drawn, too (crossed bootstrap over questions and
  seeds, stretched by Student's t for as few seeds as there are). One seed cannot tell how far
  others would be: there it is the interval over questions alone, and what differs may be the seed.
- **Δ points**: percentage points above or below `{baseline}`, on the same questions.
- **seen from**: the smallest difference from `{baseline}` that would have been seen in 4 of 5 such
  studies (power 80 %, two-sided at 0.05, before Holm's correction), from the variance of these runs
  over questions and, where there are several, over seeds. A smaller difference may well be there
  without being detected.
- **p (Holm)**: how often a difference at least this large would arise between two trainings of one
  method, with other questions and other seeds, two-sided, corrected by Holm's method for comparing
  several conditions at once. It is the larger p-value of two tests: paired sign flips over
  questions, and Student's t with the variance between seeds, where there are several. Overlapping
  intervals are no such test.
- **p vs guess**: how often guessing gets so many right: guessing with the same preferences for
  first, second, … choices (right answers permuted among questions), and always the choice that is
  right most often, of which the larger p-value counts (one-sided, uncorrected).
- **s/step**: seconds per training step. **cost**: how many times the CPU seconds of all training
  steps of `{baseline}`; on a GPU, or where they were not measured, how many times the seconds. A
  training that needs much memory may have had more threads than others (`training.json`), which
  makes its cost look up to a quarter larger.
- **GFLOP a question**: the floating-point operations of the matrix products by which a trained
  model answers one question, in thousands of millions, counted; they hang on no machine.
- A control, such as a condition on shuffled facts, has a method's parameters but not its
  knowledge. A gain that the control shares does not come from knowledge."""


class Column(NamedTuple):
    """A column of the table of conditions."""

    header: str
    cell: Callable[[ConditionResult], str]
    on_terminal: bool = True


def _accuracy(result: ConditionResult) -> str:
    spread = "" if result.accuracy_std is None else f" ±{percent(result.accuracy_std)}"
    return percent(result.accuracy_mean) + spread


def _range(interval: Interval) -> str:
    return "-".join(map(percent, interval))


COLUMNS = (
    Column("condition", lambda result: result.condition),
    Column("accuracy\n%", _accuracy),
    Column("95 % CI", lambda result: _range(result.ci95), on_terminal=False),
    Column("95 % CI\nwith seeds", lambda result: _range(result.ci95_with_seeds)),
    Column("Δ\npoints", lambda result: points(result.delta) if result.gain else ""),
    Column("seen\nfrom", lambda result: _seen_from(result)),
    Column("p\n(Holm)", lambda result: p_value(result.p_holm)),
    Column("p vs\nguess", lambda result: p_value(result.p_guessing)),
    Column("s/step", lambda result: seconds(result.seconds_per_step), on_terminal=False),
    Column("cost", lambda result: times(result.relative_cost)),
    Column("GFLOP a\nquestion", lambda result: giga(result.flops_per_question), on_terminal=False),
)


def finding(result: ConditionResult, baseline: str) -> str:
    """One sentence on one condition."""
    if result.gain is None:
        found = f"the baseline, {percent(result.accuracy_mean)} % right"
    else:
        found = describe_difference(result.gain, f"`{baseline}`")
    return f"`{result.condition}`: {found}{_finding_guessing(result)}{_finding_ties(result)}."


def describe_difference(difference: Difference, other: str) -> str:
    """How something differs from another condition, in words.

    Where no difference is detected, it is said which one would have been.
    """
    intervals = f"95 % CI {between(difference.ci95)}"
    if difference.ci95_with_seeds != difference.ci95:
        intervals += f", with seeds {between(difference.ci95_with_seeds)}"
    evidence = f"{intervals}, p (Holm) {p_value(difference.p_holm)}"
    if is_detected(difference):
        side = "above" if difference.delta > 0 else "below"
        return f"{percent(abs(difference.delta))} points {side} {other} ({evidence})"
    return (
        f"no difference from {other} detected ({points(difference.delta)} points, {evidence}); "
        f"{_power(difference)}"
    )


def is_detected(difference: Difference) -> bool:
    """Whether the test calls a difference significant."""
    return is_significant(difference.p_holm)


def is_significant(p: float) -> bool:
    """Whether a p-value is small enough to speak of a finding."""
    return p < _SIGNIFICANT


def _power(difference: Difference) -> str:
    smallest = difference.detectable_with_seeds
    if smallest is None:
        return "so few questions or seeds could not have shown any"
    return (
        f"a difference of {percent(smallest)} points or more would have been seen in 4 of 5 such "
        "studies"
    )


def _seen_from(result: ConditionResult) -> str:
    smallest = result.detectable_with_seeds
    return "" if smallest is None else percent(smallest)


def between(interval: Interval) -> str:
    """An interval of differences, in points."""
    return " to ".join(map(points, interval))


def on_single_seeds(results: Sequence[ConditionResult]) -> str:
    """Which conditions were trained once, which says nothing about a method; empty for none."""
    trained = [each for each in results if each.seeds]
    single = [each.condition for each in trained if len(each.seeds) == 1]
    if not single:
        return ""
    if len(single) == len(trained):
        return "One seed: not a statement about a method, only about one model of it."
    return f"One seed of {', '.join(single)}: of these, no statement about a method."


def _finding_guessing(result: ConditionResult) -> str:
    return "; not shown to be better than guessing" if not is_significant(result.p_guessing) else ""


def _finding_ties(result: ConditionResult) -> str:
    if not result.tied:
        return ""
    return (
        f"; for {percent(result.tied)} % of the questions several choices share the best score, "
        "and each counts in part"
    )
