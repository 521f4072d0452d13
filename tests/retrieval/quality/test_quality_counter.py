"""The measures of a retrieval, on examples by hand."""

import pytest

from kformer.errors import KformerError
from kformer.retrieval.quality.corpus import Corpus
from kformer.retrieval.quality.quality_counter import QualityCounter
from kformer.retrieval.quality.question_results import read_results
from kformer.retrieval.settings import Retrieval

FACTS = [
    ("The pet of Krez is a dog.", "pet"),
    ("The pet of Blon is a cat.", "pet"),
    ("The job of Krez is pilot.", "job"),
    "Rain.",
    "Snow.",
    "Dogs bark; the cat, never.",
    "Wind.",
]
USUAL = {"question": "the pet of Krez", "choices": ["a dog", "a cat"]}


def found(*row, **fields):
    """How a question differs from the usual, and the facts (and scores) that its query found."""
    return fields, [(None, *row)]


def found_per_choice(*fact_ids, **fields):
    return fields, list(enumerate(fact_ids))


@pytest.fixture
def measured(facts_table, questions_table, retrieval_table):
    """Measures some questions with what their queries found."""

    def run(*questions, **settings):
        rows = [(f"q{i}", *row) for i, (_, rows) in enumerate(questions) for row in rows]
        if rows and rows[0][1] is not None:
            settings["query"] = "choice"
        section = Retrieval(**settings)
        corpus = Corpus(facts_table(FACTS), section.words)
        gold = corpus.ids_of(text for row, _ in questions for text in row.get("gold_facts", []))
        counter = QualityCounter(section, corpus, gold)
        table = questions_table(*(USUAL | fields for fields, _ in questions))
        for results in read_results(table, retrieval_table(*rows), section):
            counter.add(results)
        return counter.quality()

    return run


def case(questions, settings=None, **expected):
    """The questions, the settings, and some of the metrics; None = not measured."""
    return questions, settings or {}, expected


GOLD = {"gold_facts": [FACTS[0][0]]}
MATCH = {"relations": {"pets": ["pet"], "jobs": ["job", "trade"]}}
STEMS = {"words": {"stemming": True}}
CASES = {
    "queries and their facts are counted": case(
        [found([0, 1, 2]), found([]), found([0])],
        queries=3,
        queries_without_facts=1,
        queries_without_facts_share=1 / 3,
        facts_per_query=4 / 3,
    ),
    "no questions": case([], {"match": MATCH}, queries=0, questions_matched=None),
    "no facts": case([found([])], best_score_p50=None, term_coverage=0),
    "scores have quantiles": case(
        [*(found([0, 1], [float(best), 0.5]) for best in range(1, 102)), found([])],
        best_score_p05=6,
        best_score_p50=51,
        best_score_p95=96,
        last_score_p95=0.5,
    ),
    # the, pet, of, krez, and, blon, fly: all but "and" and "fly"
    "coverage is the share of different words of the query in some fact": case(
        [found([0, 1], question="The pet of Krez, and the pet of Blon: fly!")], term_coverage=5 / 7
    ),
    "coverage by the best five": case(
        [found([3, 4, 1, 2, 6, 5], question="rain bark", context="wind")],
        term_coverage_at_5=2 / 3,
        term_coverage=1,
    ),
    # rain + dog: both; rain + cat: rain
    "coverage of a choice's query": case(
        [found_per_choice([0, 3], [3], question="rain", choices=["dog", "cat"])],
        term_coverage=(1 + 1 / 2) / 2,
    ),
    "coverage of words": case([found([5], question="the dog")], term_coverage=1 / 2),
    "coverage of stems": case([found([5], question="the dog")], STEMS, term_coverage=1),
    "coverage without stop words": case(
        [found([5], question="the dog")], {"words": {"stop_words": True}}, term_coverage=0
    ),
    "coverage of a query of the context": case(
        [found([3], context="rain", question="fly"), found([3], question="fly")],
        {"query": "context"},
        term_coverage=1 / 2,
    ),
    "no coverage of a query without words": case(
        [found([0], question="?!"), found([0], question="pet")], term_coverage=1
    ),
    "different facts": case(
        [found([0, 1, 2, 3, 4, 5]), found([0, 1])],
        facts_used=6,
        facts_used_share=6 / 7,
        facts_used_at_5=5,
        facts_used_at_5_share=5 / 7,
    ),
    "ranks of gold facts": case(
        [*(found(ids, **GOLD) for ids in ([0, 1], [1, 0], [1, 2, 3, 4, 5, 0], [1])), found([1])],
        gold_questions=4,
        gold_recall_at_1=1 / 4,
        gold_recall_at_5=2 / 4,
        gold_recall=3 / 4,
        gold_mrr=(1 + 1 / 2 + 1 / 6) / 4,
    ),
    "the first of several gold facts counts": case(
        [found([3, 2], gold_facts=[FACTS[0][0], FACTS[2][0]])], gold_mrr=1 / 2
    ),
    "gold facts of the right choice's query, if it is known": case(
        [found_per_choice([0], [1], **GOLD, answer=answer) for answer in (0, 1, None)],
        gold_questions=2,
        gold_recall=1 / 2,
    ),
    "gold facts without a label": case([found([0], **GOLD, answer=None)], gold_recall=1),
    "gold facts that the corpus lacks": case(
        [found([0], gold_facts=["It is a secret."])], gold_out_of_reach=1, gold_recall=None
    ),
    "no gold facts": case([found([0])], gold_out_of_reach=None, gold_recall=None),
    # Of "a loud dog" and "the pet cat": "a" and "the" are stop words, "pet" is in the question.
    "own words of choices": case(
        [found([0], question="the pet", choices=["a loud dog", "the pet cat"])],
        answer_words_right=1 / 2,
        answer_words_wrong=0,
        answer_words_gain=1 / 2,
        answer_words_gain_crossed=None,
    ),
    "own words in the best five": case(
        [found([1, 2, 3, 4, 6, 0], choices=["dog", "cat"])],
        answer_words_gain_at_5=-1,
        answer_words_gain=0,
    ),
    "own words of wrong choices that have any": case(
        [found([0, 2], question="?", choices=["rain", "dog", "snow", "the"])],
        answer_words_wrong=1 / 2,
    ),
    # Crossed, dog is in one of the two others, cat in both, snow in none.
    "own words in a choice's facts, and in those of others": case(
        [found_per_choice([1], [0], [5], question="?", choices=["dog", "cat", "snow"])],
        answer_words_right=0,
        answer_words_gain_crossed=1 / 2 - (1 + 0) / 2,
    ),
    # Each query finds a fact with its own choice's words, which does not favour any answer.
    "crossed, words that both choices have do not count": case(
        [
            found_per_choice(
                [0], [2], [1], question="?", choices=["Krez pet", "Krez pilot", "pet cat"]
            )
        ],
        answer_words_gain_crossed=0,
    ),
    "own words are stemmed as in the search": case(
        [found([5], question="?", choices=["dog", "snow"])], STEMS, answer_words_right=1
    ),
    "words of the question are no own words even if the query lacks them": case(
        [found([0], context="Krez", question="the pet", choices=["a loud pet dog", "cat"])],
        {"query": "context"},
        answer_words_right=1 / 2,
    ),
    # All questions find the same facts, which happen to have the words of right answers.
    "frequent words of right answers give no surplus": case(
        [found([0])] * 30,
        answer_words_gain=1,
        answer_words_gain_elsewhere=1,
        answer_words_surplus=0,
    ),
    "surplus over the facts of another question": case(
        [found([0]), found([1])], answer_words_surplus=-1 - 1
    ),
    # "dog" is not in the facts for "cat", but in those of the question before.
    "surplus of crossed gains": case(
        [found_per_choice([3], [0]), found_per_choice([0], [1])], answer_words_surplus=0 - 1
    ),
    "nothing to compare: no label": case([found([0], answer=None)], answer_words_gain=None),
    "nothing to compare: the right choice has no own words": case(
        [found([0], choices=["the", "cat"])], answer_words_gain=None
    ),
    "nothing to compare: the wrong choices have no own words": case(
        [found([0], choices=["cat", "the", "Krez"])], answer_words_gain=None
    ),
    "unknown types are not matched": case(
        [found([0], type="wrong")], {"match": MATCH}, questions_matched=0
    ),
    "without a table nothing is matched": case([found([0], type="pets")], questions_matched=None),
}


@pytest.mark.parametrize(("questions", "settings", "expected"), CASES.values(), ids=CASES)
def test_metrics(measured, questions, settings, expected):
    metrics = measured(*questions, **settings).metrics()
    assert {name: metrics.get(name) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("fact_id", [7, -1])
def test_facts_that_do_not_exist_are_an_error(measured, fact_id):
    with pytest.raises(KformerError, match=f"has 7 facts, but fact {fact_id} was retrieved"):
        measured(found([0, fact_id]))


def test_most_used_facts_and_relations_come_first(measured):
    quality = measured(found([4, 2]), found([2, 0]), found([2, 4]), found([1]))
    assert quality.use.most_used == [(2, 3), (4, 2), (0, 1), (1, 1)]
    assert quality.use.relations == [("job", 1, 3), (None, 4, 2), ("pet", 2, 2)]


def test_an_extra_test_is_measured_too(measured):
    quality = measured(*(found([1], split=split) for split in ("test_extra", "test", "train")))
    assert list(quality.splits) == ["train", "test", "test_extra"]


def test_splits_are_measured_one_by_one_and_together(measured):
    quality = measured(found([1], split="test"), found([0]), found([3]))
    assert list(quality.splits) == ["train", "test"]
    gains = {name: split.overlap.gain.value for name, split in quality.named_splits.items()}
    assert gains == {"train": 1 / 2, "test": -1, "all": 0}
    elsewhere = quality.all_splits.overlap.gain_elsewhere
    assert (elsewhere.count, elsewhere.value) == (1, 1)  # not of the question of another split


def test_types_of_questions_with_their_relations_most_questions_first(measured):
    pets = [found(ids, type="pets") for ids in ([0], [0, 1], [])]
    others = [found([], type="jobs"), found([2, 3], type="food")]
    quality = measured(*others, *pets, *[found([1, 2])] * 4, match=MATCH)
    rows = [
        (name, of.relations, of.questions, of.queries_without_facts, of.facts_per_query.value)
        for name, of in quality.types.items()
    ]
    assert rows == [
        (None, None, 4, 0, 2),
        ("pets", {"pet"}, 3, 1, 1),
        ("jobs", {"job", "trade"}, 1, 1, 0),
        ("food", None, 1, 0, 2),
    ]
    assert quality.metrics()["questions_matched"] == 4
    assert quality.metrics()["questions_matched_share"] == 4 / 9
