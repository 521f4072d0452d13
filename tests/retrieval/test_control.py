"""Controls: every question gets the facts of another one, or random ones, and none of its own."""

from itertools import chain, groupby
from operator import itemgetter
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.io.tables import provenance, read_column, read_rows
from kformer.retrieval.control import make_control
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.settings import Control, Retrieval

CONTROLS = get_args(Control)
every_control = pytest.mark.parametrize("control", CONTROLS)


@pytest.fixture(params=["question", "choice"])
def tables(tiny_tables, request):
    """The questions, the facts, and what was retrieved for questions or for their choices."""
    return [tiny_tables / f"{name}.parquet" for name in ("questions", "facts", request.param)]


def by_question(retrieval, *columns):
    """One or more columns of what was retrieved, a list of the queries of each question."""
    of_query = itemgetter(*columns)
    return {
        name: [of_query(row) for row in rows]
        for name, rows in groupby(read_rows(retrieval, "retrieval"), itemgetter("question_id"))
    }


@pytest.fixture(scope="session")
def controlled(questions_table, facts_table, retrieval_table, new_folder):
    """Makes a control for questions of these ids, or these questions, of what was found for them;
    returns the metrics and for each query its question and facts."""

    def run(questions, *found, control="shuffle", facts=None, seed=0, origin=None, texts=None):
        asked = [{"question_id": each} if isinstance(each, str) else each for each in questions]
        ids = [fact for _, _, facts_of_query in found for fact in facts_of_query]
        texts = texts or [
            str(number) for number in range(max(ids, default=0) + 1 if facts is None else facts)
        ]
        out = new_folder() / "control"
        metrics = make_control(
            control,
            questions_table(*asked),
            facts_table(texts),
            retrieval_table(*found, origin=origin),
            out,
            seed,
        )
        run.made = provenance(out, "retrieval")
        rows = read_rows(out, "retrieval")
        return metrics, [(row["question_id"], *row["fact_ids"]) for row in rows]

    return run


# --- of other questions


def test_the_questions_of_a_split_exchange_their_facts(tables, tmp_path):
    metrics = make_control("shuffle", *tables, tmp_path / "s")
    real, control = (
        by_question(table, "choice", "fact_ids", "scores") for table in (tables[2], tmp_path / "s")
    )
    assert list(control) == list(real)
    assert control != real
    splits = {row["question_id"]: row["split"] for row in read_rows(tables[0], "questions")}
    for split in set(splits.values()):
        names = [name for name in real if splits[name] == split]
        assert sorted(control[name] for name in names) == sorted(real[name] for name in names)
    assert metrics["queries"] == sum(map(len, real.values()))
    assert metrics["gold_facts_left_out"] == 0


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("gold", [False, True])
def test_no_question_gets_a_fact_of_its_own_where_that_can_be_avoided(controlled, seed, gold):
    # Two questions a person, in a row: a plain circle would often join them.
    ids = [f"{person}{n}" for person in "abcdefgh" for n in (1, 2)]
    if gold:  # what was found for one is gold for the other, for which nothing was found
        asked = [{"question_id": each, "gold_facts": [str(ord(each[0]))]} for each in ids]
        found = [(each, None, [ord(each[0])] if each[1] == "1" else []) for each in ids]
    else:
        asked, found = ids, [(each, None, [ord(each[0])]) for each in ids]
    metrics, rows = controlled(asked, *found, seed=seed)
    assert metrics["with_own_facts"] == metrics["gold_facts_left_out"] == 0
    assert sorted(facts for _, *facts in rows) == sorted(facts for _, _, facts in found)
    assert [name for name, *facts in rows if facts == [ord(name[0])]] == []


def test_questions_that_get_facts_of_their_own_after_all_are_counted(controlled):
    metrics, rows = controlled("ab", ("a", None, [1, 2]), ("b", None, [2, 3]))
    assert metrics == {"queries": 2, "with_own_facts": 2, "gold_facts_left_out": 0}
    assert rows == [("a", 2, 3), ("b", 1, 2)]


@pytest.mark.parametrize("seed", range(10))
def test_gold_facts_are_avoided_even_where_all_questions_share_a_fact(controlled, seed):
    asked = [{"question_id": "a", "gold_facts": ["2"]}, "b", "c", "d"]
    found = [("a", None, [1]), ("b", None, [1, 2]), ("c", None, [1, 3]), ("d", None, [1, 4])]
    metrics, rows = controlled(asked, *found, seed=seed)
    assert metrics == {"queries": 4, "with_own_facts": 4, "gold_facts_left_out": 0}
    assert rows[0] in [("a", 1, 3), ("a", 1, 4)]


def test_gold_facts_are_left_out_where_no_swap_avoids_them(controlled):
    asked = [{"question_id": "a", "gold_facts": ["2", "unknown"]}, {"question_id": "b"}]
    metrics, rows = controlled(asked, ("a", None, [1]), ("b", None, [3, 2, 4]))
    assert metrics == {"queries": 2, "with_own_facts": 1, "gold_facts_left_out": 1}
    assert rows == [("a", 3, 4), ("b", 1)]


def test_a_question_with_more_choices_than_its_donor_gets_some_of_its_facts_again(controlled):
    found = [*(("a", i, [i]) for i in range(3)), *(("b", i, [3 + i]) for i in range(2))]
    _, rows = controlled("ab", *found)
    assert rows == [("a", 3), ("a", 4), ("a", 3), ("b", 0), ("b", 1)]


def test_a_split_with_a_single_question_cannot_be_shuffled(controlled):
    with pytest.raises(KformerError, match="the split train has only one question"):
        controlled("a", ("a", None, [5]))


# --- at random


def test_as_many_random_facts_as_were_found_with_random_scores(tables, tmp_path):
    metrics = make_control("random", *tables, tmp_path / "r")
    facts = len(read_column(tables[1], "text"))
    columns = ("choice", "fact_ids", "scores")
    real, control = (
        [by_question(path, name) for name in columns] for path in (tables[2], tmp_path / "r")
    )
    assert control[0] == real[0]
    assert metrics == {"queries": sum(map(len, real[0].values()))}
    drawn = [ids for lists in control[1].values() for ids in lists]
    for name, lists in real[1].items():
        assert [*map(len, control[1][name])] == [*map(len, lists)]
        assert set(chain(*control[1][name])).isdisjoint(chain(*lists))
    assert all(len(set(ids)) == len(ids) for ids in drawn)
    assert set(chain(*drawn)) == set(range(facts))  # every fact is somebody's
    scores = [each for lists in control[2].values() for each in lists]
    assert all(each == sorted(each, reverse=True) for each in scores)
    firsts = [each[0] for each in scores]
    assert len(set(firsts)) == len(firsts)  # so that no choice is the best by its place


def test_too_few_facts_to_draw_from_are_an_error(controlled):
    found = [("a", None, [0, 1]), ("b", None, [])]
    _, rows = controlled("ab", *found, control="random", facts=4)
    assert [{*row} for row in rows] == [{"a", 2, 3}, {"b"}]
    with pytest.raises(KformerError, match=r"3 facts are too few to draw 2 .* of question 'a'"):
        controlled("ab", *found, control="random", facts=3)


# --- both


@every_control
def test_the_same_seed_gives_the_same_bytes(tables, tmp_path, control):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        make_control(control, *tables, tmp_path / name, seed)
    one, same, other = ((tmp_path / name).read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert one != other


@every_control
def test_a_control_keeps_its_provenance(controlled, control):
    origin = {"settings": {"top_k": 3}}
    controlled("ab", ("a", None, []), ("b", None, []), origin=origin, control=control)
    assert controlled.made == {"settings": {"top_k": 3, "control": control}}


@every_control
@pytest.mark.parametrize("retrieved", ["a", "abc"])
def test_tables_of_different_questions_are_refused(controlled, retrieved, control):
    with pytest.raises(KformerError, match=r"question '[bc]' is in only one of the questions and"):
        controlled("ab", *((name, None, [1]) for name in retrieved), control=control)


@every_control
def test_facts_that_were_not_searched_are_refused(controlled, control):
    with pytest.raises(KformerError, match="retrieved from other facts than"):
        origin = {"settings": {}, "facts_sha256": "0"}
        controlled("ab", ("a", None, []), ("b", None, []), origin=origin, control=control)


# --- gold facts never leak

FACTS = 12
fact_ids = st.lists(st.integers(0, FACTS - 1), unique=True, max_size=3)


@every_control
@settings(max_examples=60, deadline=None)
@given(
    world=st.lists(st.tuples(fact_ids, fact_ids, st.booleans()), min_size=2, max_size=7),
    seed=st.integers(0, 3),
)
def test_no_question_sees_a_gold_fact_of_its_own(controlled, control, world, seed):
    """Whatever was found: its gold facts, those of others, or both."""
    asked = [
        {"question_id": str(number), "gold_facts": [*map(str, gold)] or None}
        for number, (gold, _, _) in enumerate(world)
    ]
    found = [
        (str(number), None, [*dict.fromkeys([*(gold if with_gold else []), *others])][:6])
        for number, (gold, others, with_gold) in enumerate(world)
    ]
    _, rows = controlled(asked, *found, control=control, facts=FACTS, seed=seed)
    for (name, *ids), (gold, _, _) in zip(rows, world, strict=True):
        assert not {*ids} & {*gold}, name


@every_control
def test_facts_that_read_like_a_gold_one_are_gold_too(controlled, control):
    """Tails of several events may read the same."""
    asked = [{"question_id": name, "gold_facts": ["rest"]} for name in "ab"]
    found = [("a", None, [0, 4]), ("b", None, [1, 5])]
    texts = ["rest", "rest", "rest", "eat", "eat", "sing", "run"]
    _, rows = controlled(asked, *found, control=control, texts=texts)
    given = {name: {texts[fact] for fact in facts} for name, *facts in rows}
    assert all(given.values()) and "rest" not in given["a"] | given["b"]
    assert "eat" not in given["a"] and "sing" not in given["b"]  # found for it, in other words


@every_control
@pytest.mark.parametrize("query", ["question", "choice"])
@pytest.mark.parametrize("distractors", [0, 4])
def test_no_question_of_the_demo_sees_its_gold_fact(
    tiny_tables, tmp_path, control, query, distractors
):
    questions, facts = tiny_tables / "questions.parquet", tiny_tables / "facts.parquet"
    section = Retrieval(method="gold", distractors=distractors, query=query)
    retrieve(section, questions, facts, [tiny_tables / "index"], tmp_path / "gold")
    make_control(control, questions, facts, tmp_path / "gold", tmp_path / "control")
    texts = read_column(facts, "text").to_pylist()
    gold = {row["question_id"]: row["gold_facts"] for row in read_rows(questions, "questions")}

    def seen(table):
        lists = by_question(table, "fact_ids").items()
        return [any(texts[i] in gold[name] for ids in each for i in ids) for name, each in lists]

    assert all(seen(tmp_path / "gold"))  # so there was something to leak
    assert not any(seen(tmp_path / "control"))
