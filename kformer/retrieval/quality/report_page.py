"""The page that explains what was measured, and reads well as plain text, too."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kformer.io.formatting import markdown_table, percent
from kformer.retrieval.quality.answer_section import answer_section, verdict
from kformer.retrieval.quality.corpus import Corpus
from kformer.retrieval.quality.markdown_text import (
    NAME_CHARACTERS,
    bullets,
    cell,
    number,
    top_table,
    wrapped,
)
from kformer.retrieval.quality.measures import BEST, QUANTILES, Quality
from kformer.retrieval.quality.sample_page import names_of
from kformer.retrieval.settings import Retrieval


def render_page(settings: Retrieval, quality: Quality, corpus: Corpus) -> str:
    """The page as Markdown."""
    parts = [
        "# Retrieval",
        _statement(quality),
        verdict(quality),
        *answer_section(settings, quality),
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
    share = percent(empty / quality.queries)
    without = f"{empty:,} ({share} %) found none" if empty else "all found some"
    return wrapped(
        f"For {quality.all_splits.questions:,} questions there were {quality.queries:,} queries, "
        f"{each}. A query found {quality.facts_per_query:.1f} facts on average, of "
        f"{quality.use.facts:,}; {without}. The facts for some of the questions are in "
        "[sample.html](sample.html)."
    )


def _gold_section(quality: Quality) -> Iterator[str]:
    total = quality.all_splits.gold
    if not total.at_1.count and not total.out_of_reach:
        return
    yield "## Are the right facts found?"
    header = ["split", "questions", "first %", f"best {BEST} %", "all %", "MRR", "out of reach"]
    rows = []
    for name, split in quality.named_splits.items():
        gold = split.gold
        shares = [percent(mean.value) for mean in (gold.at_1, gold.at_5, gold.at_all)]
        mrr = number(gold.reciprocal_rank.value)
        rows.append([name, f"{gold.at_1.count:,}", *shares, mrr, f"{gold.out_of_reach:,}"])
    yield markdown_table(header, rows)
    query = "query of the right choice" if quality.per_choice else "query"
    yield bullets(
        [
            "**questions**: those with *gold facts*, facts that are known to answer them, one of "
            "which is in the corpus.",
            f"**first %**, **best {BEST} %**, **all %**: how often the {query} found a gold fact "
            f"at rank 1, among the best {BEST}, and among all its facts (recall).",
            "**MRR**: the mean reciprocal rank: 1 if the first gold fact has rank 1, 1/2 for rank "
            "2, 1/3 for rank 3, and so on; 0 if none was found.",
            "**out of reach**: further questions, with gold facts none of which is in the corpus.",
        ]
    )


def _words_section(settings: Retrieval, quality: Quality) -> Iterator[str]:
    if not quality.coverage.count:
        return
    yield "## Do the facts have the words of the query?"
    yield markdown_table(
        ["facts", "words of the query %"],
        [
            [f"best {BEST}", percent(quality.coverage_at_5.value)],
            ["all", percent(quality.coverage.value)],
        ],
    )
    stop_words = "" if settings.words.stop_words else " Stop words such as *the* count too."
    yield wrapped(
        "The share of a query's different words that occur in at least one of its facts, on "
        "average over queries. The other words are in none of the facts that were found."
        + stop_words
    )


def _scores_section(quality: Quality) -> Iterator[str]:
    if not quality.best_scores:
        return
    yield "## How good are the hits?"
    header = ["score of", *("median" if q == 0.5 else f"{100 * q:.0f} %" for q in QUANTILES)]
    rows = {"the best fact": quality.best_scores, "the last fact": quality.last_scores}
    yield markdown_table(
        header, [[name, *(number(score) for score in scores)] for name, scores in rows.items()]
    )
    yield wrapped(
        "The scores of a query's best and last fact: 5 % of the queries have a lower score than "
        "the one under *5 %*, and so on. Every search method has its own scale of scores, so "
        "compare them only within this table. If the last fact scores nearly as well as the best, "
        "the search hardly prefers any of them, and more facts may be worth a try."
    )


def _types_section(quality: Quality) -> Iterator[str]:
    if not quality.types:
        return
    matched, questions = quality.questions_matched, quality.all_splits.questions
    yield "## Which relations match the questions?"
    yield wrapped(
        "The type of a question decides which relations its facts may have (`retrieval.match`). Of "
        f"{questions:,} questions, {matched:,} ({percent(matched / questions)} %) have a type that "
        "is named there; any fact may answer the others."
    )
    yield from top_table(
        ["type", "relations", "questions", "found none", "facts"],
        [
            [
                "(no type)" if name is None else cell(name, NAME_CHARACTERS),
                cell(names_of(of_type.relations), NAME_CHARACTERS),
                f"{of_type.questions:,}",
                f"{of_type.queries_without_facts:,}",
                f"{of_type.facts_per_query.value:.1f}",
            ]
            for name, of_type in quality.types.items()
        ],
    )
    yield wrapped(
        "**found none**: how many queries found no fact; **facts**: how many a query found on "
        "average. If all queries of a type found none, look for a misspelled relation."
    )


def _use_section(quality: Quality, corpus: Corpus) -> Iterator[str]:
    use = quality.use
    if not use.used:
        return
    yield "## Which facts are used?"
    rows = [(f"best {BEST}", use.used_at_5), ("all", use.used)]
    yield markdown_table(
        ["among the", "different facts", "of the corpus %"],
        [[name, f"{used:,}", percent(used / use.facts)] for name, used in rows],
    )
    yield wrapped("How many facts were found for at least one query.")
    yield "The facts that were found most often:"
    yield markdown_table(
        ["fact", "queries", "%"],
        [
            [cell(corpus.text(fact_id)), f"{hits:,}", percent(hits / quality.queries)]
            for fact_id, hits in use.most_used
        ],
    )
    yield wrapped(
        "A fact that was found for a large share of all queries says nothing about any one of "
        "them. Often it is a long one, or one of words that are in every query; then leaving out "
        "stop words helps."
    )
    if use.relations:
        yield "By relation:"
        yield from _relations_table(quality)
        yield wrapped(
            "A hit is a fact found for a query. The search prefers a relation with a larger share "
            "of the hits than of the corpus."
        )


def _relations_table(quality: Quality) -> Iterator[str]:
    use = quality.use
    yield from top_table(
        ["relation", "facts", "of the corpus %", "hits", "of all hits %"],
        [
            [
                "(none)" if relation is None else cell(relation, NAME_CHARACTERS),
                f"{facts:,}",
                percent(facts / use.facts),
                f"{hits:,}",
                percent(hits / use.hits),
            ]
            for relation, facts, hits in use.relations
        ],
    )


def _settings_section(settings: Retrieval) -> Iterator[str]:
    yield "## Settings"
    # This page tokenises texts whatever the method.
    shown = settings.relevant_settings() | {
        "words": settings.words.model_dump(mode="json", exclude_none=True)
    }
    if settings.control:
        shown["control"] = settings.control
    yield markdown_table(["setting", "value"], [list(row) for row in _flat(shown)])


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield cell(f"{prefix}{name}"), cell(shown)
