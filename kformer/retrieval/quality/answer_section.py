"""The page's first question: do the facts favour the right answer?"""

from collections.abc import Iterator, Mapping

from kformer.io.formatting import markdown_table, percent
from kformer.retrieval.quality.markdown_text import bullets, points_with_margin, wrapped
from kformer.retrieval.quality.measures import BEST, LEAST_COUNT, AnswerOverlap, Mean, Quality
from kformer.retrieval.settings import Retrieval


def verdict(quality: Quality) -> str:
    """The answer in a sentence, with the numbers that it is based on."""
    overlap = quality.all_splits.overlap
    if not overlap.gain.count:
        return wrapped(
            "**Whether the facts favour the right answer cannot be measured**: no question has a "
            "known answer and choices with words that are not in the question itself."
        )
    numbers = (
        f"they contain {percent(overlap.right.value)} % of the words of a right choice and "
        f"{percent(overlap.wrong.value)} % of those of a wrong one, a gain of "
        f"{points_with_margin(overlap.gain)} points"
    )
    if overlap.surplus.count:
        crossed = ", for words that the query lacks" if quality.per_choice else ""
        numbers += (
            f"; the surplus over the facts of another question{crossed}: "
            f"{points_with_margin(overlap.surplus)} points"
        )
    note = " (mean ± 95 % interval)" if overlap.gain.margin is not None else ""
    return wrapped(f"**{_finding(overlap.surplus)}**: {numbers}{note}.")


def _finding(surplus: Mean) -> str:
    if surplus.count < LEAST_COUNT:
        return "Too few questions to say whether the facts favour the right answer"
    if abs(surplus.value) <= (surplus.margin or 0):
        return "No evidence that the facts favour the right answer"
    return f"The facts favour the {'right' if surplus.value > 0 else 'wrong'} answer"


def answer_section(settings: Retrieval, quality: Quality) -> Iterator[str]:
    """Tables of the words of choices that the facts contain, and what the columns mean."""
    if not quality.all_splits.overlap.gain.count:
        return
    splits = quality.named_splits
    yield "## Do the facts favour the right answer?"
    yield wrapped(
        "A choice's own words are those that are neither in the context or question nor stop words "
        "(such as *the*). The tables say how many of them occur in the facts."
    )
    if settings.top_k > BEST:
        yield f"By the best {BEST} facts:"
        yield _table({name: split.overlap_at_5 for name, split in splits.items()}, quality)
        yield "By all facts:"
    yield _table({name: split.overlap for name, split in splits.items()}, quality)
    yield _legend(quality)


def _table(rows: Mapping[str, AnswerOverlap], quality: Quality) -> str:
    header = ["split", "questions", "right %", "wrong %", "gain", "gain elsewhere"]
    header += ["crossed gain", "surplus"] if quality.per_choice else ["surplus"]
    cells = []
    for name, overlap in rows.items():
        row = [name, f"{overlap.gain.count:,}"]
        row += [percent(overlap.right.value), percent(overlap.wrong.value)]
        row += [points_with_margin(overlap.gain), points_with_margin(overlap.gain_elsewhere)]
        if quality.per_choice:
            row.append(points_with_margin(overlap.gain_crossed))
        cells.append([*row, points_with_margin(overlap.surplus)])
    return markdown_table(header, cells)


def _legend(quality: Quality) -> str:
    facts = "the facts of that choice" if quality.per_choice else "the question's facts"
    items = [
        "**questions**: those with a known answer where the right choice and a wrong one have own "
        "words; the others are left out.",
        f"**right %**: the share of the right choice's own words that occur in {facts}.",
        f"**wrong %**: the share of a wrong choice's own words that occur in {facts}; the mean "
        "over the wrong choices.",
        "**gain**: right minus wrong in percentage points, the mean over questions, ± half its 95 "
        f"% interval, from {LEAST_COUNT} questions on. If the interval contains 0, these questions "
        "do not show that the facts favour the right answer. Questions that share a context make "
        "the interval a little too narrow.",
        "**gain elsewhere**: the gain by the facts of another question of the split. If it is not "
        "near 0, the words of right answers are more or less frequent in the facts than those of "
        "wrong ones, whatever the question.",
    ]
    if quality.per_choice:
        items.append(
            "**crossed gain**: the gain by the facts of the *other* choices, and by the own words "
            "that the other choice lacks, so that its query did not contain them. Each query "
            "contains its choice's words, so the *gain* is also large if the facts merely contain "
            "the words of right choices."
        )
    gain = "crossed gain" if quality.per_choice else "gain"
    items.append(
        f"**surplus**: the {gain} minus the same by the facts of another question. So it does not "
        "count what any facts would give, and decides whether these facts favour the right answer."
    )
    return bullets(items)
