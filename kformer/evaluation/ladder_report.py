"""What the report says of ladders: a table with one row a method, and sentences."""

from collections.abc import Iterator, Sequence

from kformer.evaluation.condition_report import between, describe_difference, is_detected
from kformer.evaluation.ladder import FACTS
from kformer.evaluation.results import (
    ControlResult,
    Difference,
    Interval,
    LadderResult,
    RungResult,
    Share,
    SplitComparison,
)
from kformer.io.formatting import percent, points

HOW_TO_READ_LADDERS = """\
- **gold**: the facts that the data set names for each question. **among others**: these, shuffled
  among facts that do not help. **retrieved**: what the retriever finds. **shuffled**, **random**:
  controls, the facts of another question or any facts. Steps may read different numbers of facts.
- **gain**: Δ of the condition that the row is named after.
- **due to knowledge**: that condition above its control, on the same questions, with its 95 % CI
  over questions and seeds; p-values are corrected by Holm's method for all controls. What the
  control gains, too, needs no knowledge.
- **of gold**: the gain by that of gold facts, with its 95 % CI over questions and seeds;
  **control's**: the same for the control. Where gold facts give no certain gain it is unknown."""

# Short enough for all of them to fit a terminal.
_HEADERS = {
    **FACTS,
    "gold_among_others": "gold\namong\nothers",
    "retrieved": "re-\ntrieved",
    "shuffle": "shuf-\nfled",
}


def facts_in(ladders: Sequence[LadderResult]) -> list[str]:
    """The kinds of facts that the conditions of some ladders read, the best first."""
    found = {kind for ladder in ladders for kind in ladder.conditions}
    return [kind for kind in FACTS if kind in found] + sorted(found - FACTS.keys())


def ladder_header(split: SplitComparison) -> list[str]:
    """The columns of the table of ladders; a line end is where one may break."""
    accuracies = [_HEADERS.get(kind, kind) for kind in facts_in(split.ladders)]
    header = ["method", *accuracies, "gain", "due to\nknowledge"]
    return [*header, "of gold\n%", "con-\ntrol's\n%"] if _have_gold(split) else header


def ladder_cells(ladder: LadderResult, split: SplitComparison) -> list[list[str]]:
    """A row of that table: in each cell a value, and what there is to say about it."""
    main, conditions = ladder.main, ladder.conditions
    accuracies = [
        "/".join(percent(split.condition(name).accuracy_mean) for name in conditions.get(kind, []))
        for kind in facts_in(split.ladders)
    ]
    control = main.controls[0] if main.controls else None
    cells = [
        [ladder.name],
        *([accuracy] for accuracy in accuracies),
        [points(main.gain.delta)] if main.gain else [],
        _knowledge(control.due_to_knowledge) if control else [],
    ]
    if not _have_gold(split):
        return cells
    return [
        *cells,
        _share(main.share_of_gold),
        _share(control.share_of_gold) if control else [],
    ]


def ladder_texts(split: SplitComparison) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of that table, each cell in one line."""
    header = [name.replace("\n", " ").replace("- ", "") for name in ladder_header(split)]
    rows = [[in_one_line(cell) for cell in ladder_cells(ladder, split)] for ladder in split.ladders]
    return header, rows


def in_one_line(cell: Sequence[str]) -> str:
    """A value, and in brackets what there is to say about it."""
    more = ", ".join(cell[1:])
    return f"{cell[0]} ({more})" if more else "".join(cell)


def _have_gold(split: SplitComparison) -> bool:
    return "gold" in facts_in(split.ladders)


def ladder_findings(split: SplitComparison, baseline: str) -> Iterator[str]:
    """One line on every condition of a ladder but the controls, which are in these lines."""
    told: set[str] = set()  # several ladders may share gold facts
    for ladder in split.ladders:
        for rung in ladder.rungs:
            if rung.condition not in told:
                told.add(rung.condition)
                yield f"`{rung.condition}`: {'; '.join(_finding(rung, baseline))}."


def _finding(rung: RungResult, baseline: str) -> Iterator[str]:
    if rung.gain:
        yield f"{points(rung.gain.delta)} points over `{baseline}`"
    for control in rung.controls:
        yield f"due to knowledge: {_against_control(control)}"
    if not rung.controls:
        yield "it has no control, so how much of that is due to knowledge is not known"
    shares = [(f"`{each.condition}`", each.share_of_gold) for each in rung.controls]
    for name, share in [("it", rung.share_of_gold), *shares]:
        if share:
            yield _finding_on_share(name, share)


def _against_control(control: ControlResult) -> str:
    return describe_difference(control.due_to_knowledge, f"its control `{control.condition}`")


def _finding_on_share(name: str, share: Share) -> str:
    if share.value is None or share.ci95 is None:
        return f"how much {name} gets of what gold facts give is unknown: {share.unknown_because}"
    return (
        f"{name} gets {_whole_percent(share.value)} % of what gold facts give "
        f"(95 % CI {_whole_range(share.ci95)} %)"
    )


def _knowledge(difference: Difference) -> list[str]:
    lines = [points(difference.delta), between(difference.ci95_with_seeds)]
    if not is_detected(difference) and difference.detectable_with_seeds is not None:
        lines.append(f"seen from {percent(difference.detectable_with_seeds)}")
    return lines


def _share(share: Share | None) -> list[str]:
    if share is None:
        return []
    if share.value is None or share.ci95 is None:
        return ["unknown"]
    return [_whole_percent(share.value), _whole_range(share.ci95)]


def _whole_percent(fraction: float) -> str:
    return f"{100 * fraction:z.0f}"


def _whole_range(interval: Interval) -> str:
    low, high = map(_whole_percent, interval)
    return f"{low} to {high}"
