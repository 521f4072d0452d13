"""The control: every question gets the facts of another one."""

from collections import Counter, defaultdict

import pytest

from kformer.errors import KformerError
from kformer.io.tables import provenance, read_rows, write_table
from kformer.retrieval.shuffle import shuffle


@pytest.fixture(scope="module")
def questions(tiny_tables):
    return tiny_tables / "questions.parquet"


@pytest.fixture(params=["question", "choice"])
def retrieval(tiny_tables, request):
    return tiny_tables / f"{request.param}.parquet"


def facts_by_question(path):
    by_question = defaultdict(list)
    for row in read_rows(path, "retrieval"):
        by_question[row["question_id"]].append(row)
    return by_question


def split_of(path):
    return {row["question_id"]: row["split"] for row in read_rows(path, "questions")}


def write_found(path, *found):
    """Writes a retrieval table of (question, choice, facts)."""
    rows = [
        {"question_id": name, "choice": choice, "fact_ids": ids, "scores": [1.0] * len(ids)}
        for name, choice, ids in found
    ]
    write_table(path, "retrieval", rows)
    return path


def test_the_questions_of_a_split_exchange_their_facts(questions, retrieval, tmp_path):
    metrics = shuffle(questions, retrieval, tmp_path / "s")
    real, control = facts_by_question(retrieval), facts_by_question(tmp_path / "s")
    splits = split_of(questions)

    def given(by_question):
        """The split, and what its question's queries found."""
        return [
            (splits[name], tuple((tuple(row["fact_ids"]), tuple(row["scores"])) for row in rows))
            for name, rows in by_question.items()
        ]

    assert list(control) == list(real)
    assert Counter(given(control)) == Counter(given(real))
    assert given(control) != given(real)
    for name, rows in control.items():
        assert [row["choice"] for row in rows] == [row["choice"] for row in real[name]]
    assert metrics["queries"] == sum(map(len, real.values()))


def test_no_question_gets_a_fact_of_its_own_where_that_can_be_avoided(questions_table, tmp_path):
    # Two questions a person, in a row: a plain circle would often join them.
    ids = [f"{person}{n}" for person in "abcdefgh" for n in (1, 2)]
    table = questions_table(*({"question_id": each} for each in ids))
    found = write_found(tmp_path / "r", *((each, None, [ord(each[0])]) for each in ids))
    for seed in range(10):
        metrics = shuffle(table, found, tmp_path / "s", seed)
        assert metrics["with_own_facts"] == 0
        for row in read_rows(tmp_path / "s", "retrieval"):
            assert row["fact_ids"] != [ord(row["question_id"][0])]


def test_questions_that_get_facts_of_their_own_after_all_are_counted(questions_table, tmp_path):
    table = questions_table({"question_id": "a"}, {"question_id": "b"})
    found = write_found(tmp_path / "r", ("a", None, [1, 2]), ("b", None, [2, 3]))
    assert shuffle(table, found, tmp_path / "s")["with_own_facts"] == 2


def test_the_same_seed_gives_the_same_bytes(questions, retrieval, tmp_path):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        shuffle(questions, retrieval, tmp_path / name, seed)
    one, same, other = ((tmp_path / name).read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert one != other


def test_a_question_with_more_choices_than_its_donor_gets_some_of_its_facts_again(
    questions_table, tmp_path
):
    table = questions_table(
        {"question_id": "a", "choices": [*"xyz"]}, {"question_id": "b", "choices": [*"xy"]}
    )
    found = [("a", i, [fact]) for i, fact in enumerate([0, 1, 2])]
    found += [("b", i, [fact]) for i, fact in enumerate([3, 4])]
    shuffle(table, write_found(tmp_path / "r", *found), tmp_path / "s")
    rows = read_rows(tmp_path / "s", "retrieval")
    got = [(row["question_id"], *row["fact_ids"]) for row in rows]
    assert got == [("a", 3), ("a", 4), ("a", 3), ("b", 0), ("b", 1)]


def test_a_split_with_a_single_question_cannot_be_shuffled(questions_table, tmp_path):
    table = questions_table({"question_id": "a"})
    found = write_found(tmp_path / "r", ("a", None, [5]))
    with pytest.raises(KformerError, match="the split train has only one question"):
        shuffle(table, found, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_control_keeps_its_provenance(questions_table, tmp_path):
    table = questions_table({"question_id": "a"}, {"question_id": "b"})
    origin = {"settings": {"top_k": 3}, "facts_sha256": "0"}
    rows = [{"question_id": n, "choice": None, "fact_ids": [], "scores": []} for n in "ab"]
    write_table(tmp_path / "r", "retrieval", rows, origin)
    shuffle(table, tmp_path / "r", tmp_path / "s")
    assert provenance(tmp_path / "s", "retrieval") == {
        "settings": {"top_k": 3, "control": "shuffle"},
        "facts_sha256": "0",
    }


@pytest.mark.parametrize("retrieved", ["a", "abc"])
def test_tables_of_different_questions_are_refused(questions_table, tmp_path, retrieved):
    table = questions_table({"question_id": "a"}, {"question_id": "b"})
    found = write_found(tmp_path / "r", *((name, None, [1]) for name in retrieved))
    with pytest.raises(KformerError, match=r"question '[bc]' is in only one of the questions and"):
        shuffle(table, found, tmp_path / "s")
