"""The stages of retrieval: a row per query, honest recall, and a control that is a real shuffle."""

from collections import Counter, defaultdict

import pytest

from kformer.config import Retrieval
from kformer.knowledge.demo import Demo as DemoFacts
from kformer.knowledge.table import build_facts
from kformer.questions.demo import Demo as DemoQuestions
from kformer.questions.table import build_questions
from kformer.retrieval.stages import retrieve, shuffle
from kformer.tables import read_rows, write_table

FACTS = ["The pet of Krez is dog.", "The pet of Blon is cat.", "The job of Krez is pilot.", "Rain."]


def question(question_id, text, gold=None, split="train", choices=("dog", "pilot"), context=""):
    return {
        "question_id": question_id,
        "split": split,
        "context": context,
        "question": text,
        "choices": list(choices),
        "answer": 0,
        "type": None,
        "gold_facts": gold,
    }


def write_facts(path, texts):
    rows = [
        {"fact_id": i, "text": text, "relation": None, "source": "demo", "origin": ""}
        for i, text in enumerate(texts)
    ]
    write_table(path, "facts", rows)
    return path


@pytest.fixture
def retrieved(tmp_path):
    """Retrieves for some questions; returns the metrics and the rows."""

    def run(questions, facts=FACTS, **settings):
        write_table(tmp_path / "q", "questions", questions)
        write_facts(tmp_path / "f", facts)
        section = Retrieval(**settings)
        metrics = retrieve(section, tmp_path / "q", tmp_path / "f", tmp_path / "r")
        return metrics, list(read_rows(tmp_path / "r", "retrieval"))

    return run


@pytest.fixture(scope="module")
def world(tiny_world, tmp_path_factory):
    """The tables of the tiny demo world, with retrieval per question and per choice."""
    folder = tmp_path_factory.mktemp("tables")
    build_questions(DemoQuestions(), tiny_world, folder / "questions")
    build_facts([DemoFacts()], [tiny_world], folder / "facts")
    for query in ("question", "choice"):
        settings = Retrieval(top_k=4, query=query)
        retrieve(settings, folder / "questions", folder / "facts", folder / query)
    return folder


class TestRetrieve:
    def test_one_row_a_question(self, retrieved):
        metrics, rows = retrieved([question("b", "pet of Krez?"), question("a", "Zuv?")], top_k=3)
        assert [(row["question_id"], row["choice"]) for row in rows] == [("b", None), ("a", None)]
        assert rows[0]["fact_ids"][0] == 0
        assert rows[1]["fact_ids"] == rows[1]["scores"] == []
        assert metrics["queries"] == 2
        assert metrics["facts"] == 4
        assert metrics["queries_without_facts"] == 1

    def test_one_row_a_choice(self, retrieved):
        questions = [question("a", "Krez?"), question("b", "Who?", choices=["cat", "dog", "Rain"])]
        metrics, rows = retrieved(questions, query="choice", top_k=1)
        assert [(row["question_id"], row["choice"], row["fact_ids"]) for row in rows] == [
            ("a", 0, [0]),
            ("a", 1, [2]),
            ("b", 0, [1]),
            ("b", 1, [0]),
            ("b", 2, [3]),
        ]
        assert metrics["queries"] == 5
        assert metrics["facts_per_query"] == 1.0

    def test_the_context_belongs_to_the_query(self, retrieved):
        _, rows = retrieved([question("a", "What?", context="Blon came.")], top_k=2)
        assert rows[0]["fact_ids"] == [1]

    @pytest.mark.parametrize("method", ["bm25", "rank_bm25"])
    def test_facts_come_best_first_and_never_more_than_asked_for(self, retrieved, method):
        for top_k in (1, 2, 50):
            _, rows = retrieved([question("a", "pet Krez")], method=method, top_k=top_k)
            scores = rows[0]["scores"]
            assert len(scores) == len(rows[0]["fact_ids"]) <= top_k
            assert scores == sorted(scores, reverse=True)
            assert all(score > 0 for score in scores)

    def test_gold_recall_on_an_example_by_hand(self, retrieved):
        facts = [f"pet krez number{i}" for i in range(7)] + ["pet blon", "rain"]
        questions = [
            question("in the best 5", "number3 pet krez", [facts[3]]),
            # All seven are found, and ties are in the order of their ids.
            question("in place 5", "krez", [facts[4]]),
            question("in place 6", "krez", [facts[5]]),
            question("one of two is enough", "blon", ["rain", "pet blon"]),
            question("not found", "blon", ["rain"]),
            question("unknown gold", "rain", None),
            question("no gold", "rain", []),
            question("gold that is no fact", "rain", ["snow"]),
        ]
        metrics, _ = retrieved(questions, facts, top_k=7)
        assert metrics["gold_recall_at_5"] == 3 / 5
        assert metrics["gold_recall"] == 4 / 5
        assert metrics["facts_per_query"] == (7 + 7 + 7 + 1 + 1 + 1 + 1 + 1) / 8

    def test_without_gold_facts_no_recall_is_claimed(self, retrieved):
        metrics, _ = retrieved([question("a", "Krez")])
        assert "gold_recall" not in metrics

    def test_a_demo_world_s_gold_facts_are_all_found(self, world, tmp_path):
        settings = Retrieval(top_k=4)
        metrics = retrieve(settings, world / "questions", world / "facts", tmp_path / "r")
        assert metrics["gold_recall"] == 1.0
        assert metrics["queries_without_facts"] == 0

    @pytest.mark.parametrize("query", ["question", "choice"])
    def test_the_same_input_gives_the_same_bytes(self, world, tmp_path, query):
        settings = Retrieval(top_k=4, query=query)
        retrieve(settings, world / "questions", world / "facts", tmp_path / "r")
        assert (tmp_path / "r").read_bytes() == (world / query).read_bytes()

    def test_no_facts_at_all_find_nothing(self, retrieved):
        metrics, _ = retrieved([question("a", "Krez")], facts=[])
        assert metrics["queries_without_facts"] == 1


def facts_by_question(path):
    by_question = defaultdict(list)
    for row in read_rows(path, "retrieval"):
        by_question[row["question_id"]].append(row)
    return by_question


def split_of(path):
    return {row["question_id"]: row["split"] for row in read_rows(path, "questions")}


class TestShuffle:
    @pytest.mark.parametrize("query", ["question", "choice"])
    def test_every_question_gets_the_facts_of_another_of_its_split(self, world, tmp_path, query):
        shuffle(world / "questions", world / query, tmp_path / "s")
        real, control = facts_by_question(world / query), facts_by_question(tmp_path / "s")
        splits = split_of(world / "questions")

        def gifts(rows):
            return tuple(tuple(row["fact_ids"]) for row in rows)

        owners = defaultdict(set)
        for question_id, rows in real.items():
            owners[gifts(rows)].add(question_id)
        assert list(control) == list(real)
        for question_id, rows in control.items():
            donors = owners[gifts(rows)] - {question_id}
            assert any(splits[donor] == splits[question_id] for donor in donors)
            assert [row["choice"] for row in rows] == [row["choice"] for row in real[question_id]]

    @pytest.mark.parametrize("query", ["question", "choice"])
    def test_exactly_the_same_facts_are_read_equally_often(self, world, tmp_path, query):
        metrics = shuffle(world / "questions", world / query, tmp_path / "s")
        splits = split_of(world / "questions")

        def lists(path):
            return Counter(
                (splits[row["question_id"]], tuple(row["fact_ids"]), tuple(row["scores"]))
                for row in read_rows(path, "retrieval")
            )

        assert lists(tmp_path / "s") == lists(world / query)
        assert metrics["queries"] == sum(lists(world / query).values())

    def test_no_question_gets_a_fact_of_its_own_where_that_can_be_avoided(self, tmp_path):
        # Two questions a person, in a row: a plain circle would often join them.
        ids = [f"{person}{n}" for person in "abcdefgh" for n in (1, 2)]
        write_table(
            tmp_path / "q", "questions", [question(each, "Who?", split="test") for each in ids]
        )
        found = [
            {"question_id": each, "choice": None, "fact_ids": [ord(each[0])], "scores": [1.0]}
            for each in ids
        ]
        write_table(tmp_path / "r", "retrieval", found)
        for seed in range(20):
            metrics = shuffle(tmp_path / "q", tmp_path / "r", tmp_path / "s", seed)
            assert metrics["with_own_facts"] == 0
            for row in read_rows(tmp_path / "s", "retrieval"):
                assert row["fact_ids"] != [ord(row["question_id"][0])]

    def test_the_same_seed_gives_the_same_bytes(self, world, tmp_path):
        for name, seed in (("one", 1), ("same", 1), ("other", 2)):
            shuffle(world / "questions", world / "question", tmp_path / name, seed)
        one, same, other = ((tmp_path / name).read_bytes() for name in ("one", "same", "other"))
        assert one == same
        assert one != other

    def test_a_question_with_more_choices_than_its_donor_gets_some_of_its_facts_again(
        self, tmp_path
    ):
        write_table(
            tmp_path / "q",
            "questions",
            [question("a", "?", choices="xyz"), question("b", "?", choices="xy")],
        )
        rows = [
            {"question_id": name, "choice": i, "fact_ids": [fact], "scores": [1.0]}
            for name, facts in (("a", [0, 1, 2]), ("b", [3, 4]))
            for i, fact in enumerate(facts)
        ]
        write_table(tmp_path / "r", "retrieval", rows)
        shuffle(tmp_path / "q", tmp_path / "r", tmp_path / "s")
        got = [
            (row["question_id"], *row["fact_ids"]) for row in read_rows(tmp_path / "s", "retrieval")
        ]
        assert got == [("a", 3), ("a", 4), ("a", 3), ("b", 0), ("b", 1)]

    def test_a_split_with_a_single_question_cannot_be_shuffled(self, tmp_path):
        write_table(tmp_path / "q", "questions", [question("a", "?")])
        row = {"question_id": "a", "choice": None, "fact_ids": [5], "scores": [1.0]}
        write_table(tmp_path / "r", "retrieval", [row])
        with pytest.raises(Exception, match="train"):
            shuffle(tmp_path / "q", tmp_path / "r", tmp_path / "s")
