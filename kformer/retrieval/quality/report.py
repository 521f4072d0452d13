"""The stage that makes retrieval's quality visible: numbers on one page, examples on another."""

import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kformer.io.files import replacing, write_json
from kformer.io.formatting import markdown_table
from kformer.io.tables import check_facts_of, count_rows, read_rows
from kformer.progress import track
from kformer.retrieval.quality.measures import (
    LEAST_COUNT,
    QUANTILES,
    AnswerOverlap,
    Mean,
    OfSplit,
    Quality,
    QualityCounter,
)
from kformer.retrieval.quality.results import BEST, Corpus, QuestionResults, read_results
from kformer.retrieval.quality.sample import asked_for, draw, render_sample, short
from kformer.retrieval.settings import Retrieval, Words
from kformer.retrieval.stages import settings_behind

_SHOWN_CHARACTERS = 64  # of a fact in a table
_NAME_CHARACTERS = 28  # of a name in a table with several
_MOST_ROWS = 20  # of a table by what the data name
# Underscores inside of words mean nothing in Markdown.
_MARKUP = re.compile(r"([\\`*\[\]<>&|~$]|(?<!\w)_|_(?!\w))")


def describe(
    questions: Path, facts: Path, retrieval: Path, out: Path, words: Words | None = None
) -> dict[str, float]:
    """Measures a retrieval, and writes what it found out.

    Into the folder ``out`` go ``retrieval.md``, a page to read; ``retrieval.json``, its numbers;
    and ``sample.html``, some questions with what was found for them.

    Args:
        questions, facts, retrieval: the tables.
        out: the folder.
        words: how text is taken apart; None = as it was for the search.

    Returns:
        What `Quality.metrics` says, for tracking; shares are fractions.

    Raises:
        KformerError: the tables do not belong together.
    """
    settings = settings_behind(retrieval)
    if words:
        settings = settings.model_copy(update={"words": words})
    check_facts_of(retrieval, facts)
    corpus = Corpus(facts, settings.words)
    gold = corpus.ids_of(_gold_texts(questions))
    drawn = draw(questions)
    meter = QualityCounter(settings, corpus, gold)
    sample: list[QuestionResults] = []
    total = count_rows(questions, "questions")
    asked_in_turn = track(read_results(questions, retrieval), "describing", total)
    for place, asked in enumerate(asked_in_turn):
        meter.add(asked)
        if place in drawn:
            sample.append(asked)
    quality = meter.quality()
    with (
        replacing(out / "retrieval.md") as page,
        replacing(out / "sample.html") as sample_page,
    ):
        page.write_text(render_markdown(settings, quality, corpus), "utf-8")
        sample_page.write_text(render_sample(sample, corpus, settings, gold), "utf-8")
    metrics = quality.metrics()
    write_json(out / "retrieval.json", metrics)
    return metrics


def _gold_texts(questions: Path) -> Iterator[str]:
    for question in read_rows(questions, "questions"):
        yield from question["gold_facts"] or []


def render_markdown(settings: Retrieval, quality: Quality, corpus: Corpus) -> str:
    """The measurements as a page that explains each of them, and reads well as plain text, too."""
    parts = [
        "# Retrieval",
        _statement(quality),
        _verdict(quality),
        *_answer_section(settings, quality),
        *_gold_section(quality),
        *_words_section(settings, quality),
        *_scores_section(quality),
        *_types_section(quality),
        *_use_section(quality, corpus),
        *_settings_section(settings),
    ]
    return "\n\n".join(parts) + "\n"


def _statement(quality: Quality) -> str:
    if not quality.queries:
        return "There were no questions."
    each = "one for each of their choices" if quality.per_choice else "one each"
    empty = quality.queries_without_facts
    share = _percent(empty / quality.queries)
    without = f"{empty:,} ({share} %) found none" if empty else "all found some"
    return _wrapped(
        f"For {quality.all_splits.questions:,} questions there were {quality.queries:,} queries, "
        f"{each}. A query found {quality.facts_per_query:.1f} facts on average, of "
        f"{quality.use.facts:,}; {without}. What was found for some of the questions is in "
        "[sample.html](sample.html)."
    )


def _verdict(quality: Quality) -> str:
    telling = quality.all_splits.telling
    if not telling.gain.count:
        return _wrapped(
            "**Whether the facts tell the answer cannot be said**: no question has a known answer "
            "and choices whose words are not in the question itself."
        )
    numbers = (
        f"they contain {_percent(telling.right.value)} % of the words of a right choice and "
        f"{_percent(telling.wrong.value)} % of a wrong one's, a gap of "
        f"{_points_of(telling.gain)} points"
    )
    if telling.surplus.count:
        asked = ", by words that no query asked for" if quality.per_choice else ""
        numbers += f"; beyond another question's facts{asked}, {_points_of(telling.surplus)}"
    note = " (mean ± 95 % interval)" if telling.gain.margin is not None else ""
    return _wrapped(f"**{_finding(telling.surplus)}**: {numbers}{note}.")


def _finding(gap: Mean) -> str:
    if gap.count < LEAST_COUNT:
        return "Too few questions to tell whether the facts speak for the right answer"
    if abs(gap.value) <= (gap.margin or 0):
        return "No sign that the facts tell the answer"
    side = "for" if gap.value > 0 else "against"
    return f"The facts speak {side} the right answer"


def _answer_section(settings: Retrieval, quality: Quality) -> Iterator[str]:
    if not quality.all_splits.telling.gain.count:
        return
    splits = _named_splits(quality)
    yield "## Do the facts tell the answer?"
    yield _wrapped(
        "The words that tell the choices of a question apart are those of a choice that are "
        "neither in the context or question nor stop words (such as *the*). The tables say how "
        "many of them occur in the facts."
    )
    if settings.top_k > BEST:
        yield f"By the best {BEST} facts:"
        yield _answer_table({name: split.telling_best for name, split in splits.items()}, quality)
        yield "By all facts:"
    yield _answer_table({name: split.telling for name, split in splits.items()}, quality)
    yield _answer_legend(quality)


def _answer_table(rows: Mapping[str, AnswerOverlap], quality: Quality) -> str:
    header = ["split", "questions", "right %", "wrong %", "gap", "elsewhere"]
    header += ["crossed gap", "surplus"] if quality.per_choice else ["surplus"]
    cells = []
    for name, telling in rows.items():
        row = [name, f"{telling.gain.count:,}"]
        row += [_percent(telling.right.value), _percent(telling.wrong.value)]
        row += [_points_of(telling.gain), _points_of(telling.gain_elsewhere)]
        if quality.per_choice:
            row.append(_points_of(telling.gain_crossed))
        cells.append([*row, _points_of(telling.surplus)])
    return markdown_table(header, cells)


def _answer_legend(quality: Quality) -> str:
    of_choice = "the facts of that choice" if quality.per_choice else "the question's facts"
    points = [
        "**questions**: those with a known answer where the right choice and a wrong one have such "
        "words; the others are left out.",
        f"**right %**: the share of the right choice's words that occur in {of_choice}.",
        f"**wrong %**: the share of a wrong choice's words that occur in {of_choice}; the mean "
        "over the wrong choices.",
        "**gap**: right minus wrong in percentage points, question by question, and how far its "
        f"95 % interval reaches to either side, from {LEAST_COUNT} questions on. Where "
        "the interval holds 0, these questions do not show that the facts favour the right answer. "
        "Questions that share a context make the interval a little too narrow.",
        "**elsewhere**: the same gap in the facts of another question of the split. Where it is "
        "not near 0, right answers are made of words that are commoner or rarer in the facts than "
        "those of wrong ones, whatever the question.",
    ]
    if quality.per_choice:
        points.append(
            "**crossed gap**: the same gap by the facts of the *other* choices, and by those words "
            "that the other choice lacks, so that its query did not ask for them. Each query asks "
            "for its choice's words, so the *gap* is also large where the facts merely know the "
            "words of right choices."
        )
    compared = "crossed gap" if quality.per_choice else "gap"
    points.append(
        f"**surplus**: the {compared} minus the same in the facts of another question: what is due "
        "to the question itself. It decides whether the facts speak for the right answer."
    )
    return _list(points)


def _gold_section(quality: Quality) -> Iterator[str]:
    every = quality.all_splits.gold
    if not every.at_1.count and not every.out_of_reach:
        return
    yield "## Are the right facts found?"
    header = ["split", "questions", "first %", f"best {BEST} %", "all %", "MRR", "out of reach"]
    rows = []
    for name, split in _named_splits(quality).items():
        gold = split.gold
        shares = [_percent(mean.value) for mean in (gold.at_1, gold.at_5, gold.at_all)]
        rank = _number(gold.reciprocal_rank.value)
        rows.append([name, f"{gold.at_1.count:,}", *shares, rank, f"{gold.out_of_reach:,}"])
    yield markdown_table(header, rows)
    query = "query of the right choice" if quality.per_choice else "query"
    yield _list(
        [
            "**questions**: those of which it is known which facts answer them (*gold facts*), "
            "and one of these is in the corpus.",
            f"**first %**, **best {BEST} %**, **all %**: how often the {query} found a gold fact "
            f"in the first place, among the best {BEST}, and among all its facts (recall).",
            "**MRR**: the mean reciprocal rank: 1 if the first gold fact is in the first place, "
            "1/2 in the second, 1/3 in the third, and so on; 0 if none was found.",
            "**out of reach**: further questions none of whose gold facts is in the corpus.",
        ]
    )


def _words_section(settings: Retrieval, quality: Quality) -> Iterator[str]:
    if not quality.coverage.count:
        return
    yield "## Are the facts about what was asked?"
    yield markdown_table(
        ["facts", "words of the query %"],
        [
            [f"best {BEST}", _percent(quality.coverage_best.value)],
            ["all", _percent(quality.coverage.value)],
        ],
    )
    stop_words = (
        ""
        if settings.words.stop_words
        else " Stop words such as *the* count, as they do in search."
    )
    yield _wrapped(
        "The share of a query's different words that occur in at least one of its facts, on "
        "average over queries. What is missing, no fact that was found speaks of." + stop_words
    )


def _scores_section(quality: Quality) -> Iterator[str]:
    if not quality.best_scores:
        return
    yield "## How good are the hits?"
    header = ["score of", *("median" if q == 0.5 else f"{100 * q:.0f} %" for q in QUANTILES)]
    rows = {"the best fact": quality.best_scores, "the last fact": quality.last_scores}
    yield markdown_table(
        header, [[name, *(_number(score) for score in scores)] for name, scores in rows.items()]
    )
    yield _wrapped(
        "The scores of a query's best and last fact; *5 %* is the score that 5 % of the queries "
        "stay below, and so on. Scores are the search method's own: compare them within this "
        "table, not with other methods. Where the last fact scores nearly as well as the best, "
        "the search hardly prefers any of them, and more facts may be worth a try."
    )


def _use_section(quality: Quality, corpus: Corpus) -> Iterator[str]:
    use = quality.use
    if not use.used:
        return
    yield "## Which facts are used?"
    rows = [("best 5", use.used_best), ("all", use.used)]
    yield markdown_table(
        ["among the", "different facts", "of the corpus %"],
        [[name, f"{used:,}", _percent(used / use.facts)] for name, used in rows],
    )
    yield _wrapped("How many facts were found for at least one query.")
    yield "The facts that were found most often:"
    yield markdown_table(
        ["fact", "queries", "%"],
        [
            [_cell(corpus.text(fact_id)), f"{hits:,}", _percent(hits / quality.queries)]
            for fact_id, hits in use.most_used
        ],
    )
    yield _wrapped(
        "A fact that was found for a large share of all queries says nothing about any one of "
        "them. It is often a long one, or one of words that are in every query; leaving out stop "
        "words helps against it."
    )
    if use.relations:
        yield "By relation:"
        yield from _top_table(
            ["relation", "facts", "of the corpus %", "hits", "of all hits %"],
            [
                [
                    "(none)" if relation is None else _cell(relation, _NAME_CHARACTERS),
                    f"{facts:,}",
                    _percent(facts / use.facts),
                    f"{hits:,}",
                    _percent(hits / use.hits),
                ]
                for relation, facts, hits in use.relations
            ],
        )
        yield _wrapped(
            "A hit is a fact found for a query. A relation with a larger share of the hits than of "
            "the corpus is preferred by the search."
        )


def _types_section(quality: Quality) -> Iterator[str]:
    if not quality.types:
        return
    matched, questions = quality.questions_matched, quality.all_splits.questions
    yield "## Which relations were asked for?"
    yield _wrapped(
        "Which relations a fact should have goes by the type of the question "
        f"(`retrieval.match`). Of {questions:,} questions, {matched:,} "
        f"({_percent(matched / questions)} %) have a type that is known there; the others asked "
        "for any."
    )
    yield from _top_table(
        ["type", "asked for", "questions", "found none", "facts"],
        [
            [
                "(no type)" if name is None else _cell(name, _NAME_CHARACTERS),
                _cell(asked_for(of_type.relations), _NAME_CHARACTERS),
                f"{of_type.questions:,}",
                f"{of_type.queries_without_facts:,}",
                f"{of_type.facts_per_query.value:.1f}",
            ]
            for name, of_type in quality.types.items()
        ],
    )
    yield _wrapped(
        "**found none**: how many queries found no fact; **facts**: how many a query found on "
        "average. Where all queries of a type found none, look for a misspelled relation."
    )


def _settings_section(settings: Retrieval) -> Iterator[str]:
    yield "## Settings"
    # Words are taken apart for this page whatever the method.
    shown = settings.relevant_settings() | settings.model_dump(mode="json", include={"words"})
    if settings.control:
        shown["control"] = settings.control
    yield markdown_table(["setting", "value"], [list(row) for row in _flat(shown)])


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield _cell(f"{prefix}{name}"), _cell(shown)


def _named_splits(quality: Quality) -> dict[str, OfSplit]:
    """Each split, and all together if there are several."""
    if len(quality.splits) == 1:
        return dict(quality.splits)
    return {**quality.splits, "all": quality.all_splits}


def _top_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table of the first rows, and how many more there are."""
    yield markdown_table(header, rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        yield f"… and {len(rows) - _MOST_ROWS:,} more."


def _list(points: Sequence[str]) -> str:
    return "\n".join(
        textwrap.fill(point, 100, initial_indent="- ", subsequent_indent="  ") for point in points
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100)


def _cell(text: str, longest: int = _SHOWN_CHARACTERS) -> str:
    """Text of the data on one short line, which Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", short(text, longest))


def _percent(fraction: float) -> str:
    return "" if math.isnan(fraction) else f"{100 * fraction:.1f}"


def _points(fraction: float) -> str:
    return f"{100 * fraction:+z.1f}"


def _points_of(mean: Mean) -> str:
    if not mean.count:
        return ""
    margin = "" if mean.margin is None else f" ± {_percent(mean.margin)}"
    return _points(mean.value) + margin


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"
