"""The stage that reports how good a retrieval is: measures on one page, examples on another."""

from collections.abc import Iterator
from pathlib import Path

from kformer.io.file_writing import replacing, write_json
from kformer.io.output_names import RetrievalReport
from kformer.io.tables import (
    check_retrieved_for,
    check_retrieved_from,
    count_rows,
    read_rows,
)
from kformer.progress import track
from kformer.retrieval.methods import METHODS
from kformer.retrieval.quality.corpus import Corpus
from kformer.retrieval.quality.quality_counter import QualityCounter
from kformer.retrieval.quality.question_results import QuestionResults, read_results
from kformer.retrieval.quality.report_page import render_page
from kformer.retrieval.quality.sample_page import draw, render_sample
from kformer.retrieval.retrieve import settings_of_table
from kformer.retrieval.settings import Words


def describe(
    questions: Path, facts: Path, retrieval: Path, out: Path, words: Words | None = None
) -> dict[str, float]:
    """Measures a retrieval, and writes the report into the folder ``out``.

    Its files are those of `RetrievalReport`: a page to read, its numbers as JSON, and some
    questions with the facts that were found for them.

    Where the method does not read ``retrieval.words``, texts are tokenised by the default words:
    retrievals that differ in nothing that the search reads have one report.

    Args:
        questions, facts, retrieval: the tables.
        out: the folder.
        words: how texts are tokenised, if the method reads that; None = as the table says, which
            leaves out a ``language`` on which the search does not depend.

    Returns:
        `Quality.metrics`, for tracking; shares are fractions.

    Raises:
        KformerError: the tables do not belong together.
    """
    settings = settings_of_table(retrieval)
    if words and "words" in METHODS[settings.method].settings:
        settings = settings.model_copy(update={"words": words})
    check_retrieved_for(questions, retrieval)
    check_retrieved_from(facts, retrieval)
    corpus = Corpus(facts, settings.words)
    gold = corpus.ids_of(_gold_texts(questions))
    drawn = draw(questions)
    counter = QualityCounter(settings, corpus, gold)
    sample: list[QuestionResults] = []
    all_results = read_results(questions, retrieval, settings)
    total = count_rows(questions, "questions")
    for row, results in enumerate(track(all_results, "describing", total)):
        counter.add(results)
        if row in drawn:
            sample.append(results)
    quality = counter.quality()
    report = RetrievalReport(out)
    with replacing(report.page) as page, replacing(report.sample) as sample_page:
        page.write_text(render_page(settings, quality, corpus), "utf-8")
        sample_page.write_text(render_sample(sample, corpus, settings, gold), "utf-8")
    metrics = quality.metrics()
    write_json(report.numbers, metrics)
    return metrics


def _gold_texts(questions: Path) -> Iterator[str]:
    for question in read_rows(questions, "questions"):
        yield from question["gold_facts"] or []
