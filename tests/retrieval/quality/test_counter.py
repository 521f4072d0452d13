"""The measures of a retrieval, on examples by hand."""

import pytest

from kformer.errors import KformerError
from kformer.io.tables import write_table
from kformer.retrieval.quality.corpus import Corpus
from kformer.retrieval.quality.counter import QualityCounter
from kformer.retrieval.quality.results import QuestionResults
from kformer.retrieval.query import query_of
from kformer.retrieval.settings import Retrieval

FACTS = [
    ("The pet of Krez is a dog.", "pet"),
    ("The pet of Blon is a cat.", "pet"),
    ("The job of Krez is pilot.", "job"),
    ("Rain.", None),
    ("Snow.", None),
    ("Dogs bark; the cat, never.", None),
    ("Wind.", None),
]


def question(question_id="q", text="the pet of Krez", choices=("a dog", "a cat"), **other):
    row = {
        "question_id": question_id,
        "split": "train",
        "context": "",
        "question": text,
        "choices": list(choices),
        "answer": 0,
        "type": None,
        "gold_facts": None,
    }
    return row | other


def query(fact_ids, choice=None, question_id="q", scores=None):
    scores = scores or [float(10 - rank) for rank in range(len(fact_ids))]
    return {
        "question_id": question_id,
        "choice": choice,
        "fact_ids": fact_ids,
        "scores": scores,
    }


def found(fact_ids, scores=None, **fields):
    """A question and the facts that its query found."""
    return question(**fields), [query(fact_ids, scores=scores)]


def found_per_choice(*fact_ids, **fields):
    return question(**fields), [query(ids, choice) for choice, ids in enumerate(fact_ids)]


@pytest.fixture(scope="module")
def facts_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("facts") / "facts.parquet"
    rows = [
        {"fact_id": i, "text": text, "relation": relation, "source": "demo", "origin": ""}
        for i, (text, relation) in enumerate(FACTS)
    ]
    write_table(path, "facts", rows)
    return path


@pytest.fixture
def measured(facts_file):
    """Measures some questions with their queries."""

    def run(*questions, **settings):
        section = Retrieval(**settings)
        corpus = Corpus(facts_file, section.words)
        gold = corpus.ids_of(text for row, _ in questions for text in row["gold_facts"] or [])
        counter = QualityCounter(section, corpus, gold)
        for row, rows in questions:
            kind = section.query if rows[0]["choice"] is None else "choice"
            searched = query_of(row, section.model_copy(update={"query": kind}))
            counter.add(QuestionResults(row, searched, rows))
        return counter.quality()

    return run


GOLD = {"gold_facts": [FACTS[0][0]]}
MATCH = {"relations": {"pets": ["pet"], "jobs": ["job", "trade"]}}
# What is tested: the questions, the settings, and some of the metrics; None = not measured.
CASES = {
    "queries and their facts are counted": (
        [found([0, 1, 2]), found([]), found([0])],
        {},
        {
            "queries": 3,
            "queries_without_facts": 1,
            "queries_without_facts_share": 1 / 3,
            "facts_per_query": 4 / 3,
        },
    ),
    "no questions": ([], {"match": MATCH}, {"queries": 0, "questions_matched": None}),
    "no facts": ([found([])], {}, {"best_score_p50": None, "term_coverage": 0}),
    "scores have quantiles": (
        [*(found([0, 1], scores=[float(best), 0.5]) for best in range(1, 102)), found([])],
        {},
        {
            "best_score_p05": 6,
            "best_score_p50": 51,
            "best_score_p95": 96,
            "last_score_p05": 0.5,
            "last_score_p95": 0.5,
        },
    ),
    # the, pet, of, krez, and, blon, fly: all but "and" and "fly"
    "coverage is the share of different words of the query in some fact": (
        [found([0, 1], text="The pet of Krez, and the pet of Blon: fly!")],
        {},
        {"term_coverage": 5 / 7},
    ),
    "coverage by the best five": (
        [found([3, 4, 1, 2, 6, 5], text="rain bark", context="wind")],
        {},
        {"term_coverage_at_5": 2 / 3, "term_coverage": 1},
    ),
    # rain + dog: both; rain + cat: rain
    "coverage of a choice's query": (
        [found_per_choice([0, 3], [3], text="rain", choices=("dog", "cat"))],
        {},
        {"term_coverage": (1 + 1 / 2) / 2},
    ),
    "coverage of words": ([found([5], text="the dog")], {}, {"term_coverage": 1 / 2}),
    "coverage of stems": (
        [found([5], text="the dog")],
        {"words": {"stemming": True}},
        {"term_coverage": 1},
    ),
    "coverage without stop words": (
        [found([5], text="the dog")],
        {"words": {"stop_words": True}},
        {"term_coverage": 0},
    ),
    "coverage of a query of the context": (
        [found([3], context="rain", text="fly"), found([3], text="fly")],
        {"query": "context"},
        {"term_coverage": 1 / 2},
    ),
    "no coverage of a query without words": (
        [found([0], text="?!"), found([0], text="pet")],
        {},
        {"term_coverage": 1},
    ),
    "different facts": (
        [found([0, 1, 2, 3, 4, 5]), found([0, 1])],
        {},
        {
            "facts_used": 6,
            "facts_used_share": 6 / 7,
            "facts_used_at_5": 5,
            "facts_used_at_5_share": 5 / 7,
        },
    ),
    "ranks of gold facts": (
        [
            *(found(ids, **GOLD) for ids in ([0, 1], [1, 0], [1, 2, 3, 4, 5, 0], [1])),
            found([1]),  # has no gold facts
        ],
        {},
        {
            "gold_questions": 4,
            "gold_recall_at_1": 1 / 4,
            "gold_recall_at_5": 2 / 4,
            "gold_recall": 3 / 4,
            "gold_mrr": (1 + 1 / 2 + 1 / 6) / 4,
        },
    ),
    "the first of several gold facts counts": (
        [found([3, 2], gold_facts=[FACTS[0][0], FACTS[2][0]])],
        {},
        {"gold_mrr": 1 / 2},
    ),
    "gold facts of the right choice's query, if it is known": (
        [found_per_choice([0], [1], **GOLD, answer=answer) for answer in (0, 1, None)],
        {},
        {"gold_questions": 2, "gold_recall": 1 / 2},
    ),
    "gold facts without a label": ([found([0], **GOLD, answer=None)], {}, {"gold_recall": 1}),
    "gold facts that the corpus lacks": (
        [found([0], gold_facts=["It is a secret."])],
        {},
        {"gold_out_of_reach": 1, "gold_recall": None},
    ),
    "no gold facts": ([found([0])], {}, {"gold_out_of_reach": None, "gold_recall": None}),
    # Of "a loud dog" and "the pet cat": "a" and "the" are stop words, "pet" is in the question.
    "own words of choices": (
        [found([0], text="the pet", choices=("a loud dog", "the pet cat"))],
        {},
        {
            "answer_words_right": 1 / 2,
            "answer_words_wrong": 0,
            "answer_words_gain": 1 / 2,
            "answer_words_gain_crossed": None,
        },
    ),
    "own words in the best five": (
        [found([1, 2, 3, 4, 6, 0], choices=("dog", "cat"))],
        {},
        {"answer_words_gain_at_5": -1, "answer_words_gain": 0},
    ),
    "own words of wrong choices that have any": (
        [found([0, 2], text="?", choices=("rain", "dog", "snow", "the"))],
        {},
        {"answer_words_wrong": 1 / 2},
    ),
    # Crossed, dog is in one of the two others, cat in both, snow in none.
    "own words in a choice's facts, and in those of others": (
        [found_per_choice([1], [0], [5], text="?", choices=("dog", "cat", "snow"))],
        {},
        {"answer_words_right": 0, "answer_words_gain_crossed": 1 / 2 - (1 + 0) / 2},
    ),
    # Each query finds a fact with its own choice's words, which does not favour any answer.
    "crossed, words that both choices have do not count": (
        [found_per_choice([0], [2], [1], text="?", choices=("Krez pet", "Krez pilot", "pet cat"))],
        {},
        {"answer_words_gain_crossed": 0},
    ),
    "own words are stemmed as in the search": (
        [found([5], text="?", choices=("dog", "snow"))],
        {"words": {"stemming": True}},
        {"answer_words_right": 1},
    ),
    "words of the question are no own words even if the query lacks them": (
        [found([0], context="Krez", text="the pet", choices=("a loud pet dog", "cat"))],
        {"query": "context"},
        {"answer_words_right": 1 / 2},
    ),
    # All questions find the same facts, which happen to have the words of right answers.
    "frequent words of right answers give no surplus": (
        [found([0])] * 30,
        {},
        {
            "answer_words_gain": 1,
            "answer_words_gain_elsewhere": 1,
            "answer_words_surplus": 0,
        },
    ),
    "surplus over the facts of another question": (
        [found([0]), found([1])],
        {},
        {"answer_words_surplus": -1 - 1},
    ),
    # "dog" is not in the facts for "cat", but in those of the question before.
    "surplus of crossed gains": (
        [found_per_choice([3], [0]), found_per_choice([0], [1])],
        {},
        {"answer_words_surplus": 0 - 1},
    ),
    "unknown types are not matched": (
        [found([0], type="wrong")],
        {"match": MATCH},
        {"questions_matched": 0, "questions_matched_share": 0},
    ),
    "without a table nothing is matched": (
        [found([0], type="pets")],
        {},
        {"questions_matched": None},
    ),
}
CASES |= {
    f"nothing to compare: {name}": ([found([0], **fields)], {}, {"answer_words_gain": None})
    for name, fields in {
        "no label": {"answer": None},
        "the right choice has no own words": {"choices": ("the", "cat")},
        "the wrong choices have no own words": {"choices": ("cat", "the", "Krez")},
    }.items()
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


def test_splits_are_measured_one_by_one_and_together(measured):
    quality = measured(found([1], split="test"), found([0]), found([3]))
    assert list(quality.splits) == ["train", "test"]
    gains = {name: split.overlap.gain.value for name, split in quality.named_splits.items()}
    assert gains == {"train": 1 / 2, "test": -1, "all": 0}
    elsewhere = quality.all_splits.overlap.gain_elsewhere
    assert (elsewhere.count, elsewhere.value) == (1, 1)  # not of the question of another split


def test_types_of_questions_with_their_relations_most_questions_first(measured):
    quality = measured(
        found([], type="jobs"),
        found([0], type="pets"),
        found_per_choice([0, 1], [], type="pets"),
        found([2, 3], type="food"),
        *[found([1, 2])] * 3,
        match=MATCH,
    )
    rows = [
        (name, of.relations, of.questions, of.queries_without_facts, of.facts_per_query.value)
        for name, of in quality.types.items()
    ]
    assert rows == [
        (None, None, 3, 0, 2),
        ("pets", {"pet"}, 2, 1, 1),
        ("jobs", {"job", "trade"}, 1, 1, 0),
        ("food", None, 1, 0, 2),
    ]
    assert quality.metrics()["questions_matched"] == 3
    assert quality.metrics()["questions_matched_share"] == 3 / 7
