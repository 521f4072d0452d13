"""The control: every question gets the facts of another one."""

from itertools import groupby
from operator import itemgetter

import pytest

from kformer.errors import KformerError
from kformer.io.tables import provenance, read_rows
from kformer.retrieval.shuffle import shuffle


@pytest.fixture(params=["question", "choice"])
def tables(tiny_tables, request):
    """The questions, and what was retrieved for them or for their choices."""
    return tiny_tables / "questions.parquet", tiny_tables / f"{request.param}.parquet"


def test_the_questions_of_a_split_exchange_their_facts(tables, tmp_path):
    questions, retrieval = tables
    metrics = shuffle(questions, retrieval, tmp_path / "s")
    splits = {row["question_id"]: row["split"] for row in read_rows(questions, "questions")}
    real, control = (
        {
            name: [(row["choice"], row["fact_ids"], row["scores"]) for row in rows]
            for name, rows in groupby(read_rows(path, "retrieval"), itemgetter("question_id"))
        }
        for path in (retrieval, tmp_path / "s")
    )
    assert list(control) == list(real)
    assert control != real
    for split in set(splits.values()):
        names = [name for name in real if splits[name] == split]
        assert sorted(control[name] for name in names) == sorted(real[name] for name in names)
    assert metrics["queries"] == sum(map(len, real.values()))


@pytest.fixture
def shuffled(questions_table, retrieval_table, tmp_path):
    """Shuffles what was found for questions of these ids; returns the metrics and the rows."""

    def run(ids, *found, seed=0, origin=None):
        questions = questions_table(*({"question_id": each} for each in ids))
        metrics = shuffle(questions, retrieval_table(*found, origin=origin), tmp_path / "s", seed)
        rows = read_rows(tmp_path / "s", "retrieval")
        return metrics, [(row["question_id"], *row["fact_ids"]) for row in rows]

    return run


def test_the_extra_test_exchanges_its_facts_among_itself(
    questions_table, retrieval_table, tmp_path
):
    splits = {f"{split}-{n}": split for split in ("test", "test_extra") for n in range(4)}
    questions = questions_table(*({"question_id": k, "split": s} for k, s in splits.items()))
    facts = {name: number for number, name in enumerate(splits)}
    retrieval = retrieval_table(*((name, None, [number]) for name, number in facts.items()))
    shuffle(questions, retrieval, tmp_path / "s")
    for row in read_rows(tmp_path / "s", "retrieval"):
        (fact,) = row["fact_ids"]
        assert fact != facts[row["question_id"]]
        assert (fact >= 4) == (splits[row["question_id"]] == "test_extra")


@pytest.mark.parametrize("seed", range(10))
def test_no_question_gets_a_fact_of_its_own_where_that_can_be_avoided(shuffled, seed):
    # Two questions a person, in a row: a plain circle would often join them.
    ids = [f"{person}{n}" for person in "abcdefgh" for n in (1, 2)]
    found = [(each, None, [ord(each[0])]) for each in ids]
    metrics, rows = shuffled(ids, *found, seed=seed)
    assert metrics["with_own_facts"] == 0
    assert [each for each, fact in rows if fact == ord(each[0])] == []


def test_questions_that_get_facts_of_their_own_after_all_are_counted(shuffled):
    metrics, _ = shuffled("ab", ("a", None, [1, 2]), ("b", None, [2, 3]))
    assert metrics["with_own_facts"] == 2


def test_the_same_seed_gives_the_same_bytes(tables, tmp_path):
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        shuffle(*tables, tmp_path / name, seed)
    one, same, other = ((tmp_path / name).read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert one != other


def test_a_question_with_more_choices_than_its_donor_gets_some_of_its_facts_again(shuffled):
    found = [*(("a", i, [i]) for i in range(3)), *(("b", i, [3 + i]) for i in range(2))]
    _, rows = shuffled("ab", *found)
    assert rows == [("a", 3), ("a", 4), ("a", 3), ("b", 0), ("b", 1)]


def test_a_split_with_a_single_question_cannot_be_shuffled(shuffled, tmp_path):
    with pytest.raises(KformerError, match="the split train has only one question"):
        shuffled("a", ("a", None, [5]))
    assert not (tmp_path / "s").exists()


def test_a_control_keeps_its_provenance(shuffled, tmp_path):
    origin = {"settings": {"top_k": 3}, "facts_sha256": "0"}
    shuffled("ab", ("a", None, []), ("b", None, []), origin=origin)
    kept = origin | {"settings": {"top_k": 3, "control": "shuffle"}}
    assert provenance(tmp_path / "s", "retrieval") == kept


@pytest.mark.parametrize("retrieved", ["a", "abc"])
def test_tables_of_different_questions_are_refused(shuffled, retrieved):
    with pytest.raises(KformerError, match=r"question '[bc]' is in only one of the questions and"):
        shuffled("ab", *((name, None, [1]) for name in retrieved))
