"""What is measured about a retrieval, on examples by hand."""

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


class TestWhatWasFound:
    def test_queries_and_their_facts_are_counted(self, measured):
        metrics = measured(found([0, 1, 2]), found([]), found([0])).metrics()
        assert metrics["queries"] == 3
        assert metrics["queries_without_facts"] == 1
        assert metrics["queries_without_facts_share"] == 1 / 3
        assert metrics["facts_per_query"] == 4 / 3

    def test_scores_of_best_and_last_fact_have_quantiles(self, measured):
        questions = [found([0, 1], scores=[float(best), 0.5]) for best in range(1, 102)]
        metrics = measured(*questions, found([])).metrics()
        best = [metrics[f"best_score_p{name}"] for name in ("05", "25", "50", "75", "95")]
        assert best == [6, 26, 51, 76, 96]
        assert metrics["last_score_p05"] == metrics["last_score_p95"] == 0.5

    def test_without_any_fact_no_scores_are_claimed(self, measured):
        metrics = measured(found([])).metrics()
        assert "best_score_p50" not in metrics
        assert metrics["term_coverage"] == 0

    def test_a_table_without_questions_is_measured_too(self, measured):
        assert measured().metrics()["queries"] == 0

    @pytest.mark.parametrize("fact_id", [7, -1])
    def test_facts_that_are_not_there_are_an_error(self, measured, fact_id):
        with pytest.raises(KformerError, match=f"has 7 facts, but fact {fact_id} was retrieved"):
            measured(found([0, fact_id]))


class TestCoverage:
    def test_is_the_share_of_different_words_that_occur_in_some_fact(self, measured):
        # the, pet, of, krez, and, blon, fly: all but "and" and "fly"
        quality = measured(found([0, 1], text="The pet of Krez, and the pet of Blon: fly!"))
        assert quality.metrics()["term_coverage"] == 5 / 7

    def test_is_also_measured_for_the_best_five(self, measured):
        quality = measured(found([3, 4, 1, 2, 6, 5], text="rain bark", context="wind"))
        assert quality.metrics()["term_coverage_at_5"] == 2 / 3
        assert quality.metrics()["term_coverage"] == 1

    def test_counts_a_choice_s_words_with_that_choice_s_query_only(self, measured):
        # rain + dog: both; rain + cat: rain
        one = found_per_choice([0, 3], [3], text="rain", choices=("dog", "cat"))
        assert measured(one).metrics()["term_coverage"] == pytest.approx((1 + 1 / 2) / 2)

    def test_takes_words_as_the_search_takes_them(self, measured):
        one = found([5], text="the dog")
        assert measured(one).metrics()["term_coverage"] == 1 / 2
        assert measured(one, words={"stemming": True}).metrics()["term_coverage"] == 1
        assert measured(one, words={"stop_words": True}).metrics()["term_coverage"] == 0

    @pytest.mark.parametrize(
        ("context", "covered"), [("rain", 1), ("", 0)], ids=["context", "no context"]
    )
    def test_goes_by_the_query_that_was_found(self, measured, context, covered):
        one = found([3], context=context, text="fly")
        assert measured(one, query="context").metrics()["term_coverage"] == covered

    def test_leaves_out_queries_without_words(self, measured):
        quality = measured(found([0], text="?!"), found([0], text="pet"))
        assert quality.metrics()["term_coverage"] == 1


class TestUse:
    def test_counts_different_facts_and_their_share_of_the_corpus(self, measured):
        metrics = measured(found([0, 1, 2, 3, 4, 5]), found([0, 1])).metrics()
        assert metrics["facts_used"] == 6
        assert metrics["facts_used_share"] == 6 / 7
        assert metrics["facts_used_at_5"] == 5
        assert metrics["facts_used_at_5_share"] == 5 / 7

    def test_lists_the_most_used_facts_ties_by_id(self, measured):
        quality = measured(found([4, 2]), found([2, 0]), found([2, 4]), found([1]))
        assert quality.use.most_used == [(2, 3), (4, 2), (0, 1), (1, 1)]

    def test_counts_facts_and_hits_of_each_relation(self, measured):
        quality = measured(found([0, 1, 3]), found([0]))
        assert quality.use.relations == [("pet", 2, 3), (None, 4, 1), ("job", 1, 0)]


class TestGold:
    def test_recall_and_reciprocal_rank_by_hand(self, measured):
        gold = [FACTS[0][0]]
        metrics = measured(
            found([0, 1], gold_facts=gold),  # first
            found([1, 0], gold_facts=gold),  # second
            found([1, 2, 3, 4, 5, 0], gold_facts=gold),  # sixth
            found([1], gold_facts=gold),  # not at all
            found([1]),  # nothing is known
        ).metrics()
        assert metrics["gold_questions"] == 4
        assert metrics["gold_recall_at_1"] == 1 / 4
        assert metrics["gold_recall_at_5"] == 2 / 4
        assert metrics["gold_recall"] == 3 / 4
        assert metrics["gold_mrr"] == pytest.approx((1 + 1 / 2 + 1 / 6) / 4)

    def test_any_of_several_gold_facts_will_do(self, measured):
        metrics = measured(found([3, 2], gold_facts=[FACTS[0][0], FACTS[2][0]])).metrics()
        assert metrics["gold_mrr"] == 1 / 2

    def test_with_a_query_per_choice_the_right_choice_s_counts(self, measured):
        gold = [FACTS[0][0]]
        metrics = measured(
            found_per_choice([0], [1], gold_facts=gold, answer=0),
            found_per_choice([0], [1], gold_facts=gold, answer=1),
            found_per_choice([0], [0], gold_facts=gold, answer=None),  # the right query is unknown
        ).metrics()
        assert metrics["gold_questions"] == 2
        assert metrics["gold_recall"] == 1 / 2

    def test_an_unlabelled_question_with_one_query_counts(self, measured):
        metrics = measured(found([0], gold_facts=[FACTS[0][0]], answer=None)).metrics()
        assert metrics["gold_recall"] == 1

    def test_gold_facts_that_the_corpus_lacks_are_out_of_reach(self, measured):
        metrics = measured(found([0], gold_facts=["It is a secret."])).metrics()
        assert metrics["gold_out_of_reach"] == 1
        assert "gold_recall" not in metrics

    def test_without_gold_facts_no_recall_is_claimed(self, measured):
        assert not [name for name in measured(found([0])).metrics() if name.startswith("gold")]


class TestAnswerOverlap:
    def test_is_the_share_of_a_choice_s_own_words_in_the_facts(self, measured):
        # Of "a loud dog" and "the pet cat": "a" and "the" are stop words, "pet" is in the question.
        one = found([0], text="the pet", choices=("a loud dog", "the pet cat"))
        metrics = measured(one).metrics()
        assert metrics["answer_words_right"] == 1 / 2
        assert metrics["answer_words_wrong"] == 0
        assert metrics["answer_words_gain"] == 1 / 2
        assert "answer_words_gain_crossed" not in metrics

    def test_is_also_measured_for_the_best_five(self, measured):
        metrics = measured(found([1, 2, 3, 4, 6, 0], choices=("dog", "cat"))).metrics()
        assert metrics["answer_words_gain_at_5"] == -1
        assert metrics["answer_words_gain"] == 0

    def test_wrong_is_the_mean_over_wrong_choices_that_have_words(self, measured):
        one = found([0, 2], text="?", choices=("rain", "dog", "snow", "the"))
        assert measured(one).metrics()["answer_words_wrong"] == 1 / 2

    def test_with_a_query_per_choice_each_choice_has_its_own_facts(self, measured):
        one = found_per_choice([0], [1], [5], text="?", choices=("dog", "cat", "snow"))
        metrics = measured(one).metrics()
        assert metrics["answer_words_right"] == 1
        assert metrics["answer_words_wrong"] == 1 / 2

    def test_crossed_looks_for_words_in_facts_of_queries_without_them(self, measured):
        # dog: in one of the two others; cat: in both; snow: in none.
        one = found_per_choice([1], [0], [5], text="?", choices=("dog", "cat", "snow"))
        metrics = measured(one).metrics()
        assert metrics["answer_words_gain_crossed"] == 1 / 2 - (1 + 0) / 2

    def test_crossed_leaves_out_words_that_the_other_choice_s_query_had_too(self, measured):
        # Each query finds a fact with just its own choice's words: nothing is known of the answer.
        choices = ("Krez pet", "Krez pilot", "pet cat")
        metrics = measured(found_per_choice([0], [2], [1], text="?", choices=choices)).metrics()
        assert metrics["answer_words_gain_crossed"] == 0

    @pytest.mark.parametrize(
        "fields",
        [{"answer": None}, {"choices": ("the", "cat")}, {"choices": ("cat", "the", "Krez")}],
        ids=["unlabelled", "right choice without own words", "wrong choices without own words"],
    )
    def test_leaves_out_questions_without_comparable_choices(self, measured, fields):
        metrics = measured(found([0], **fields)).metrics()
        assert not [name for name in metrics if name.startswith("answer_words")]

    def test_takes_words_as_the_search_takes_them(self, measured):
        one = found([5], text="?", choices=("dog", "snow"))
        assert measured(one).metrics()["answer_words_right"] == 0
        stemmed = measured(one, words={"stemming": True})
        assert stemmed.metrics()["answer_words_right"] == 1

    def test_words_of_the_question_are_no_own_words_even_if_no_query_had_them(self, measured):
        one = found([0], context="Krez", text="the pet", choices=("a loud pet dog", "cat"))
        for kind in ("question", "context"):
            assert measured(one, query=kind).metrics()["answer_words_right"] == 1 / 2

    def test_splits_are_measured_one_by_one_and_together(self, measured):
        quality = measured(found([1], split="test"), found([0]), found([3]))
        assert list(quality.splits) == ["train", "test"]
        gains = {name: split.overlap.gain.value for name, split in quality.splits.items()}
        assert gains == {"train": 1 / 2, "test": -1}
        assert quality.metrics()["answer_words_gain"] == 0

    def test_elsewhere_looks_into_facts_of_another_question_of_the_split(self, measured):
        quality = measured(found([0]), found([3], split="test"), found([4]))
        elsewhere = quality.all_splits.overlap.gain_elsewhere
        assert (elsewhere.count, elsewhere.value) == (1, 1)

    def test_commoner_words_of_right_answers_are_no_signal_of_retrieval(self, measured):
        # Every question finds the same facts, which have the words of right answers by chance.
        quality = measured(*[found([0]) for _ in range(30)])
        assert quality.metrics()["answer_words_gain"] == 1
        assert quality.metrics()["answer_words_gain_elsewhere"] == 1
        assert quality.metrics()["answer_words_surplus"] == 0

    def test_surplus_is_what_a_question_s_own_facts_add(self, measured):
        metrics = measured(found([0]), found([1])).metrics()
        assert metrics["answer_words_surplus"] == -1 - 1
        per_choice = [found_per_choice(one, other) for one, other in (([3], [0]), ([0], [1]))]
        # "dog" is not in the facts for "cat", but in those of the question before.
        assert measured(*per_choice).metrics()["answer_words_surplus"] == 0 - 1


MATCH = {"relations": {"pets": ["pet"], "jobs": ["job", "trade"]}}


class TestMatching:
    def test_is_measured_by_type_of_question_most_questions_first(self, measured):
        quality = measured(
            found([], type="jobs"),
            found([0], type="pets"),
            found_per_choice([0, 1], [], type="pets"),
            found([2, 3], type="food"),
            *[found([1, 2])] * 3,
            match=MATCH,
        )
        rows = [
            (name, each.relations, each.questions, each.queries_without_facts)
            for name, each in quality.types.items()
        ]
        assert rows == [
            (None, None, 3, 0),
            ("pets", {"pet"}, 2, 1),
            ("jobs", {"job", "trade"}, 1, 1),
            ("food", None, 1, 0),
        ]
        assert [each.facts_per_query.value for each in quality.types.values()] == [2, 1, 0, 2]
        assert quality.metrics()["questions_matched"] == 3
        assert quality.metrics()["questions_matched_share"] == 3 / 7

    def test_types_the_table_does_not_know_are_not_matched(self, measured):
        metrics = measured(found([0], type="wrong"), match=MATCH).metrics()
        assert metrics["questions_matched"] == metrics["questions_matched_share"] == 0

    @pytest.mark.parametrize("count", [0, 1])
    def test_without_matching_or_questions_nothing_is_claimed(self, measured, count):
        quality = measured(*[found([0], type="pets")] * count, match=None if count else MATCH)
        assert not quality.types
        assert "questions_matched" not in quality.metrics()
