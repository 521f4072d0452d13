"""Questions to be answered: read as those of a study, but answers may be missing."""

import pytest

from kformer.errors import KformerError
from kformer.questions.asked import AskedColumns, asked_question, read_asked

ROW = {"question": "Who barks?", "choices": ["cat", "dog"]}


def test_answers_may_be_missing_and_are_read_where_they_are_there(folder_of):
    rows = [ROW, ROW | {"answer": "dog"}, ROW | {"answer": None}, ROW | {"answer": "", "id": 7}]
    read = read_asked(folder_of({"q.jsonl": rows}) / "q.jsonl")
    assert [row["answer"] for row in read] == [None, 1, None, None]
    assert [row["question_id"] for row in read][1:] == ["q-000002", "q-000003", "7"]
    assert all(row["choices"] == ["cat", "dog"] and row["facts"] is None for row in read)


@pytest.mark.parametrize("header", ["question,A,B", "Question,A,B,Answer", "id,question,a,b"])
def test_a_table_needs_no_column_of_answers(header, folder_of):
    cells = {"question": "Who?", "Question": "Who?", "A": "x", "a": "x", "B": "y", "b": "y"}
    row = ",".join(cells.get(name, "") for name in header.split(","))
    (read,) = read_asked(folder_of({"q.csv": f"{header}\n{row}\n"}) / "q.csv")
    assert (read["question"], read["choices"], read["answer"]) == ("Who?", ["x", "y"], None)


@pytest.mark.parametrize("name", ["q.jsonl", "q.parquet"])
def test_fields_may_have_other_names(name, folder_of):
    rows = [{"stem": "Who?", "options": ["x", "y"], "key": None}]
    columns = AskedColumns(question="stem", choices="options", answer="key")
    (read,) = read_asked(folder_of({name: rows}), columns)
    assert (read["question"], read["answer"]) == ("Who?", None)


def test_a_table_with_other_names_needs_no_answers_either(folder_of):
    folder = folder_of({"q.csv": "stem,x,y\nWho?,cat,dog\n"})
    (read,) = read_asked(folder, AskedColumns(question="stem", choices=["x", "y"]))
    assert (read["choices"], read["answer"]) == (["cat", "dog"], None)


def test_all_questions_are_read_whatever_split_files_are_named_after(folder_of):
    files = {"held-out.jsonl": [ROW], "medqatest.jsonl": [ROW], "train.jsonl": [ROW]}
    assert len(read_asked(folder_of(files))) == 3


def test_a_question_may_have_facts_of_its_own(folder_of):
    rows = [ROW | {"facts": [" Dogs bark. ", "Cats purr."]}, ROW | {"facts": "Dogs bark."}]
    read = read_asked(folder_of({"q.jsonl": [*rows, ROW | {"facts": []}]}))
    assert [row["facts"] for row in read] == [["Dogs bark.", "Cats purr."], ["Dogs bark."], []]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([ROW | {"answer": "cow"}], "q.jsonl:1: answer: 'cow' is neither a choice"),
        ([ROW | {"anwser": "dog"}], r"is 'anwser' meant as answer\?"),
        ([ROW | {"choices": ["dog"]}], "q.jsonl:1: choices: List should have at least 2"),
        ([ROW, {"question": "Why?"}], "q.jsonl:2: choices: Field required"),
        ([ROW | {"id": "a"}, ROW | {"id": "a"}], "q.jsonl:2: id: 'a' is that of .*q.jsonl:1 too"),
        ([ROW | {"facts": 3}], "q.jsonl:1: facts: give a text or a list of texts"),
        ([ROW | {"facts": [["a"], ["b"]]}], "q.jsonl:1: facts: give a text or a list of texts"),
        (["{"], "q.jsonl:1: "),
        ([], "q.jsonl: no questions in it"),
    ],
)
def test_what_is_no_question_is_refused_with_its_line(rows, said, folder_of):
    with pytest.raises(KformerError, match=said):
        read_asked(folder_of({"q.jsonl": rows}) / "q.jsonl")


def test_files_that_cannot_be_read_are_refused(folder_of, tmp_path):
    two = folder_of({"q.jsonl": [ROW], "q2.csv": "question,A,B\nWho?,x,y\n"})
    with pytest.raises(KformerError, match="questions in two formats"):
        read_asked(two)
    with pytest.raises(KformerError, match=r"unknown suffix; known are \.jsonl"):
        read_asked(folder_of({"q.txt": "Who?"}) / "q.txt")
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(KformerError, match="name a file or a folder with such files"):
            read_asked(path)


def test_one_question_is_read_like_those_of_a_file(folder_of):
    (read,) = read_asked(folder_of({"q.jsonl": [ROW | {"context": "At home.", "type": "who"}]}))
    asked = asked_question(" Who\xa0barks? ", ["cat ", "dog"], "At home.", "who")
    assert asked | {"split": "test"} == read | {"question_id": "Who barks?"}


@pytest.mark.parametrize(
    ("question", "choices", "said"),
    [
        (" ", ["a", "b"], "the question: question: must not be empty"),
        ("Who?", ["a"], "the question: choices: List should have at least 2 items"),
        ("Who?", ["a", ""], "the question: choices.1: must not be empty"),
    ],
)
def test_one_question_that_is_none_is_refused(question, choices, said):
    with pytest.raises(KformerError, match=said):
        asked_question(question, choices)
