"""The stages of retrieval: a row per query, and the same bytes however the work is divided."""

import re
from functools import cache
from itertools import chain

import numpy as np
import pytest

from kformer.errors import KformerError
from kformer.io.table_schemas import SCHEMAS
from kformer.io.tables import provenance, read_rows, read_table
from kformer.retrieval.index import Shard
from kformer.retrieval.quality.report import describe
from kformer.retrieval.retrieve import gather, list_events, retrieve, settings_of_table
from kformer.retrieval.settings import Match, Retrieval

FACTS = ["The pet of Krez is dog.", "The pet of Blon is cat.", "The job of Krez is pilot.", "Rain."]
RELATED = [
    ("Dana rests. Dana is seen as calm.", "xAttr", "PersonX rests"),
    ("Dana rests. As a result, Dana wants to sleep.", "xWant", "PersonX rests"),
    ("Dana rests. Before that, Dana needs a bed.", "xNeed", "PersonX rests"),
    ("Dana cooks. As a result, Dana wants to eat.", "xWant", "PersonX cooks"),
]


@pytest.fixture
def retrieved(facts_table, questions_table, indexed, tmp_path):
    """Retrieves for some questions; returns the metrics and the rows."""

    def run(*questions, facts=FACTS, **settings):
        section, table = Retrieval(**settings), facts_table(facts)
        if section.events:
            list_events(table, tmp_path / "events")
        indexes = indexed(section, tmp_path / "events" if section.events else table)
        metrics = retrieve(section, questions_table(*questions), table, indexes, tmp_path / "r")
        return metrics, list(read_rows(tmp_path / "r", "retrieval"))

    return run


def test_events_are_the_distinct_origins_of_facts(facts_table, tmp_path):
    assert list_events(facts_table(RELATED), tmp_path / "e") == {"facts": 4, "events": 2}
    assert list(read_rows(tmp_path / "e", "facts")) == [
        {"fact_id": i, "text": text, "relation": None, "source": "events", "origin": text}
        for i, text in enumerate(["PersonX rests", "PersonX cooks"])
    ]
    assert list_events(facts_table([]), tmp_path / "e") == {"facts": 0, "events": 0}


def test_facts_with_origins_of_their_own_have_no_events(facts_table, tmp_path):
    with pytest.raises(KformerError, match="no two facts have the same origin"):
        list_events(facts_table([("a", None, "x"), ("b", None, "y")]), tmp_path / "e")
    assert not (tmp_path / "e").exists()


class TestRetrieve:
    def test_one_row_a_question(self, retrieved, tmp_path):
        asked = {"b": "pet of Krez?", "a": "Zuv?"}
        questions = ({"question_id": id, "question": text} for id, text in asked.items())
        metrics, rows = retrieved(*questions, top_k=3)
        found = [(row["question_id"], row["choice"], row["fact_ids"]) for row in rows]
        assert found == [("b", None, [0, 1, 2]), ("a", None, [])]
        assert metrics == {"queries": 2, "queries_searched": 2}
        assert settings_of_table(tmp_path / "r") == Retrieval(top_k=3)

    def test_one_row_a_choice(self, retrieved):
        questions = [
            {"question_id": "a", "question": "Krez?"},
            {"question_id": "b", "question": "Who?", "choices": ["cat", "dog", "Rain"]},
        ]
        metrics, rows = retrieved(*questions, query="choice", top_k=1)
        found = [(row["question_id"], row["choice"], *row["fact_ids"]) for row in rows]
        assert found == [("a", 0, 0), ("a", 1, 2), ("b", 0, 1), ("b", 1, 0), ("b", 2, 3)]
        assert metrics["queries"] == 5

    def test_a_control_is_not_made_here(self, retrieved):
        with pytest.raises(KformerError, match="`kformer control` makes the control"):
            retrieved({"question": "dog"}, control="shuffle")

    def test_equal_queries_are_searched_once(self, retrieved):
        questions = [{"question": "dog"}, {"question": "job"}, {"question": "dog"}]
        metrics, rows = retrieved(*questions)
        assert metrics == {"queries": 3, "queries_searched": 2}
        assert rows[0]["fact_ids"] == rows[2]["fact_ids"] == [0]

    @pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
    @pytest.mark.parametrize("facts", [[], ["..."]])
    def test_no_facts_at_all_find_nothing(self, retrieved, method, facts):
        settings = {"method": method, "max_without_facts": 1.0}
        _, [row] = retrieved({"question": "Krez"}, facts=facts, **settings)
        assert row["fact_ids"] == []
        assert retrieved(facts=facts) == ({"queries": 0, "queries_searched": 0}, [])

    @pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
    def test_a_type_is_answered_by_matching_facts_and_an_unknown_one_by_all(
        self, retrieved, method
    ):
        questions = [{"question": "Dana rests", "type": name} for name in ("xWant", "what", None)]
        settings = {"method": method, "match": Match(relations="atomic")}
        _, [known, *unknown] = retrieved(*questions, facts=RELATED, **settings)
        assert known["fact_ids"] == [1, 3]
        assert [sorted(row["fact_ids"]) for row in unknown] == [[0, 1, 2, 3]] * 2

    @pytest.mark.parametrize("events", [None, 2])
    def test_a_table_that_does_not_fit_is_refused(self, retrieved, tmp_path, events):
        settings = {"match": Match(relations={"xWant": ["treats", "xWant"]}), "events": events}
        message = "no fact has relation treats; .* xAttr, xNeed, xWant"
        with pytest.raises(KformerError, match=message):
            retrieved({"question": "Dana", "type": "xWant"}, {}, facts=RELATED, **settings)
        assert not (tmp_path / "r").exists()

    def test_most_queries_without_facts_stop_the_run(self, retrieved, tmp_path):
        questions = [{"question_id": id, "question": f"{id}?"} for id in ("Rain", "Zuv", "Xig")]
        message = (
            r"retrieval: 2 of 3 queries \(67%\) found no fact, such as that of question 'Zuv', "
            r"'Zuv\?', and retrieval.max_without_facts is 0.5; probably questions and facts share "
            r"no words: check language and content of both, or use retrieval.method: dense; "
            r".* set retrieval.max_without_facts: 1"
        )
        with pytest.raises(KformerError, match=message):
            retrieved(*questions)
        assert not (tmp_path / "r").exists()
        with pytest.raises(KformerError, match="max_without_facts is 0;"):
            retrieved(*questions[:2], max_without_facts=0)
        for settings, asked in [({}, questions[:2]), ({"max_without_facts": 0.7}, questions)]:
            assert retrieved(*asked, **settings)[0]["queries"] == len(asked)

    def test_a_match_that_leaves_few_facts_is_named_where_most_queries_find_none(self, retrieved):
        questions = [{"question": "rain", "type": name} for name in ("xWant", "xWant", "xNeed")]
        settings = {"match": Match(relations="atomic")}
        with pytest.raises(KformerError, match=r"probably retrieval\.match asks for relations"):
            retrieved(*questions, facts=RELATED, **settings)


CHINESE = ["胰岛素由胰腺分泌。", "血红蛋白使血液呈红色。", "钙构成骨骼。"]


class TestScriptsWithoutSpaces:
    @pytest.mark.parametrize("method", ["bm25", "rank_bm25", "hybrid"])
    def test_need_ngrams(self, retrieved, method, tiny_encoder):
        asked = {"question": "血液为什么是红色的?"}
        settings = {"method": method, "encoder": str(tiny_encoder)}
        message = (
            r"retrieval\.words: 3 of 3 facts without spaces between words \(Han: "
            r"'胰岛素由胰腺分泌。'\), .* set retrieval\.words\.ngrams: 2, or use .*method: dense"
        )
        with pytest.raises(KformerError, match=message):
            retrieved(asked, facts=CHINESE, **settings)
        _, [row] = retrieved(asked, facts=CHINESE, words={"ngrams": 2}, **settings)
        assert row["fact_ids"][0] == 1

    def test_are_refused_in_questions_too(self, retrieved, tmp_path):
        questions = [{"question": "胰岛素由哪个器官分泌?"}, *[{"question": "pet of Krez?"}] * 3]
        message = r"retrieval\.words: 1 of 4 questions without spaces between words \(Han: "
        with pytest.raises(KformerError, match=message):
            retrieved(*questions)
        assert not (tmp_path / "r").exists()
        assert retrieved(*questions, words={"ngrams": 2})[0]["queries"] == 4

    def test_are_searched_by_embeddings_as_they_are(self, retrieved, tiny_encoder):
        settings = {"method": "dense", "encoder": str(tiny_encoder), "top_k": 1}
        _, [row] = retrieved({"question": "血液为什么是红色的?"}, facts=CHINESE, **settings)
        assert len(row["fact_ids"]) == 1


def test_nearly_all_gold_facts_of_the_demo_are_among_the_best_five(tiny_tables, tmp_path):
    names = ("questions.parquet", "facts.parquet", "question.parquet")
    metrics = describe(*(tiny_tables / name for name in names), tmp_path / "report")
    assert metrics["gold_recall_at_5"] >= 0.95


RELATIONS = ("xWant", "xNeed", "xReact", "oWant", None)
WORDS = "the of to a is dana krez blon pet job dog cat pilot food rain goes wants home red".split()
ATOMIC_BOOST = Match(relations="atomic", mode="boost", boost=1.5)
SEARCHES = {
    "bm25": {},
    "bm25 of choices": {"query": "choice"},
    "bm25 matching": {"query": "choice", "match": Match(relations="atomic")},
    "bm25 boosted": {"match": ATOMIC_BOOST},
    "bm25 by events": {"query": "choice", "events": 6, "match": Match(relations="atomic")},
    "rank_bm25 boosted": {"query": "choice", "match": ATOMIC_BOOST},
    "dense": {},
    "dense by events": {"events": 6, "match": Match(relations="atomic")},
    "hybrid": {"query": "choice"},
    "hybrid reranked": {"fusion": "rerank", "match": Match(relations="atomic")},
    "hybrid boosted": {"match": ATOMIC_BOOST},
    "hybrid by events": {"events": 6, "match": Match(relations="atomic")},
}


@pytest.fixture(scope="module")
def tables(facts_table, questions_table):
    """Facts, their events, and questions, all of few words, so that many scores tie."""
    random = np.random.default_rng(11)

    def some_words(least, most):
        return " ".join(random.choice(WORDS, random.integers(least, most)))

    origins = [some_words(1, 5) for _ in range(50)]
    texts = [some_words(0, 8) for _ in range(100)]
    texts += [str(random.choice(texts)) for _ in range(50)]
    facts = facts_table(
        [(text, random.choice(RELATIONS), random.choice(origins)) for text in texts]
    )
    questions = [
        {
            "context": some_words(0, 5),
            "question": some_words(1, 4),
            "choices": [some_words(1, 3) for _ in range(random.integers(2, 5))],
            "type": random.choice(["xWant", "xNeed", "oReact", "other", None]),
        }
        for _ in range(40)
    ]
    again = [questions[i] for i in random.choice(40, 6)]
    list_events(facts, facts.with_name("events"))
    return facts, facts.with_name("events"), questions_table(*questions, *again)


@pytest.fixture(scope="module")
def sharded(tables, indexed, tiny_encoder):
    """The indexes of facts or events in so many shards, built once."""
    facts, events, _ = tables
    methods = {"words": "bm25", "embeddings": "dense"}

    @cache
    def build(kind, table, shards):
        return indexed(Retrieval(method=methods[kind], encoder=str(tiny_encoder)), table, shards)

    def get(settings, shards):
        table = events if settings.events else facts
        return list(chain(*(build(kind, table, shards) for kind in settings.index_kinds)))

    return get


@pytest.fixture
def search(tables, sharded, tiny_encoder, tmp_path, one_thread):
    """The bytes of a retrieval that is divided into shards of questions and of facts."""
    facts, _, questions = tables

    def run(name, of_questions=1, of_facts=1, threads=1):
        settings = {"method": name.split()[0], "encoder": str(tiny_encoder), "top_k": 9}
        section = Retrieval(**settings, **SEARCHES[name])
        parts = [tmp_path / f"{number}-of-{of_questions}" for number in range(1, of_questions + 1)]
        for number, part in enumerate(parts, start=1):
            shard = Shard(number, of_questions)
            retrieve(section, questions, facts, sharded(section, of_facts), part, shard, threads)
        gather(questions, parts, tmp_path / "gathered")
        return (tmp_path / "gathered").read_bytes(), parts[0].read_bytes()

    return run


@pytest.mark.parametrize("name", SEARCHES)
def test_however_the_work_is_divided_the_bytes_are_the_same(search, tmp_path, name):
    gathered, whole = search(name)
    rows = list(read_rows(tmp_path / "gathered", "retrieval"))
    assert sum(len(row["fact_ids"]) == 9 for row in rows) > 0.2 * len(rows)
    assert any(len(set(row["scores"])) < len(row["scores"]) for row in rows)  # there are ties
    assert gathered == whole
    assert search(name, of_facts=2, threads=4)[0] == whole
    assert search(name, of_questions=3, of_facts=7)[0] == whole


def test_there_may_be_more_shards_than_questions(search):
    whole, _ = search("bm25 matching")
    assert search("bm25 matching", of_questions=60)[0] == whole


@pytest.mark.parametrize("name", ["bm25 of choices", "hybrid boosted"])
def test_batches_of_any_size_give_the_same_rows(search, monkeypatch, tmp_path, name):
    search(name)
    whole = read_table(tmp_path / "gathered", "retrieval")
    monkeypatch.setattr("kformer.io.tables.ROWS_PER_BATCH", 7)
    monkeypatch.setattr("kformer.retrieval.retrieve.ROWS_PER_BATCH", 7)
    gathered, part = search(name)
    assert gathered == part
    assert search(name, of_questions=2)[0] == gathered
    assert read_table(tmp_path / "gathered", "retrieval").equals(whole)


class TestGather:
    @pytest.fixture
    def questions(self, questions_table):
        return questions_table(*({"question_id": each} for each in "abc"))

    @pytest.fixture
    def part(self, retrieval_table):
        """Writes what was retrieved for questions, one fact for each of two choices."""
        return lambda ids, **origin: retrieval_table(
            *((each, choice, [choice]) for each in ids for choice in (0, 1)),
            origin={"settings": {}} | origin,
        )

    def test_parts_are_put_together_in_their_order(self, questions, part, tmp_path):
        parts = [part(ids) for ids in ("a", "", "bc")]
        assert gather(questions, parts, tmp_path / "out") == {"queries": 6}
        rows = list(read_rows(tmp_path / "out", "retrieval"))
        assert [(row["question_id"], row["choice"]) for row in rows] == [
            (each, choice) for each in "abc" for choice in (0, 1)
        ]
        assert read_table(tmp_path / "out", "retrieval").schema.equals(SCHEMAS["retrieval"])

    @pytest.mark.parametrize(
        ("parts", "wrong", "message"),
        [
            (["bc", "a"], 0, "has question 'b' where question 'a' is expected; give the parts of"),
            (["a", "a", "bc"], 1, "has question 'a' where question 'b' is expected"),
            (["a", "bc", "bc"], 2, "has question 'b' where no more questions are expected"),
            (["axc"], 0, "has question 'x' where question 'b' is expected"),
            (["abcd"], 0, "has question 'd' where no more questions are expected"),
            (["a"], None, "question 'b' and those after it are in no part; give the parts of all"),
            (["a", "b"], None, "question 'c' and those after it are in no part"),
        ],
    )
    def test_parts_of_other_questions(self, questions, part, tmp_path, parts, wrong, message):
        tables = [part(ids) for ids in parts]
        file = questions if wrong is None else tables[wrong]
        with pytest.raises(KformerError, match=re.escape(f"{file}: {message}")):
            gather(questions, tables, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_parts_of_other_settings_or_facts(self, questions, part, tmp_path):
        one, two = ({"settings": {"top_k": top_k}, "facts_sha256": "0"} for top_k in (1, 2))
        for other in (two, one | {"facts_sha256": "1"}, {}):
            parts = [part("a", **one), part("bc", **other)]
            message = f"{parts[1]}: retrieved with other settings, for other questions or"
            with pytest.raises(KformerError, match=re.escape(message)):
                gather(questions, parts, tmp_path / "out")
        gather(questions, [part("a", **one), part("bc", **one)], tmp_path / "out")
        assert provenance(tmp_path / "out", "retrieval") == one

    def test_parts_for_other_questions_of_the_same_ids(self, questions, part, tmp_path):
        parts = [part("abc", questions_sha256="0")]
        with pytest.raises(KformerError, match=f"{parts[0]}: retrieved for other questions than"):
            gather(questions, parts, tmp_path / "out")

    @pytest.mark.parametrize("match", [None, {"relations": "atomic"}])
    def test_most_queries_of_all_parts_without_facts(
        self, questions, retrieval_table, tmp_path, match
    ):
        def parts(**settings):
            found = {"a": [], "b": [0], "c": []}
            origin = {"settings": {"match": match, **settings}}
            return [retrieval_table((id, None, ids), origin=origin) for id, ids in found.items()]

        why = "retrieval.match asks" if match else "questions and facts share"
        message = rf"2 of 3 queries \(67%\) found no fact, .*'a', '\?',.* probably {why}"
        with pytest.raises(KformerError, match=message):
            gather(questions, parts(), tmp_path / "out")
        assert not (tmp_path / "out").exists()
        found = gather(questions, parts(max_without_facts=0.7), tmp_path / "out")
        assert found == {"queries": 3}
