"""`columns:` says which field is what: the forms in which known data sets come, none with code."""

import csv
import io
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from kformer.config_section import validated
from kformer.errors import KformerError
from kformer.knowledge import KnowledgeSource
from kformer.questions import QuestionSource
from kformer.questions.columns import QuestionColumns
from kformer.questions.user_files import CsvQuestions, JsonlQuestions, ParquetQuestions

ARC = {
    "question": "question.stem",
    "choices": "question.choices.text",
    "labels": "question.choices.label",
    "answer": "answerKey",
}
READERS = {"jsonl": JsonlQuestions, "csv": CsvQuestions, "parquet": ParquetQuestions}
JSON, ALL = ("jsonl", "parquet"), ("jsonl", "csv", "parquet")


def table(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


@pytest.fixture
def read(folder_of):
    """The rows of one file with some records."""

    def run(columns, *records, kind="jsonl"):
        content = table(records) if kind == "csv" else list(records)
        return list(
            READERS[kind](path=".", columns=columns).read(folder_of({f"q.{kind}": content}))
        )

    return run


ASKED = {"question": "Which organ?"}
OBJECTS = [{"text": "skin", "label": "A"}, {"text": "pancreas", "label": "B"}]
ARC_ROW = {"question": {"stem": "Which organ?", "choices": OBJECTS}, "answerKey": "B"}
FORMS = {
    "arc": (JSON, ARC, ARC_ROW, {}),
    "labels are numbers": (
        JSON,
        ARC | {"choices": "options.text", "labels": "options.label"},
        {
            "question": {"stem": "Which organ?"},
            "options": [{"text": "skin", "label": "1"}, {"text": "pancreas", "label": "2"}],
            "answerKey": "2",
        },
        {},
    ),
    "parallel lists of a hub export": (
        JSON,
        {"choices": "choices.text", "labels": "choices.label", "answer": "answerKey"},
        ASKED | {"choices": {"text": ["skin", "pancreas"], "label": [1, 2]}, "answerKey": 2},
        {},
    ),
    "qasc": (
        JSON,
        ARC | {"gold_facts": ["fact1", "fact2"], "id": "name"},
        ARC_ROW | {"fact1": "One.", "fact2": "Two.", "name": "x"},
        {"gold_facts": ["One.", "Two."], "question_id": "x"},
    ),
    "social iqa": (
        ALL,
        {"choices": ["answerA", "answerB"], "answer": "label", "answer_is": "index_from_1"},
        ASKED | {"context": "Krez ate.", "answerA": "skin", "answerB": "pancreas", "label": "2"},
        {"context": "Krez ate."},
    ),
    "med qa": (
        JSON,
        {"choices": "options", "answer": "answer_idx", "type": "meta"},
        ASKED
        | {"options": {"A": "skin", "B": "pancreas"}, "answer": "pancreas"}
        | {"answer_idx": "B", "meta": "step1"},
        {"type": "step1"},
    ),
    "medmcqa": (
        ALL,
        {
            "choices": ["opa", "opb"],
            "answer": "cop",
            "answer_is": "index_from_0",
            "type": "subject",
        },
        ASKED | {"opa": "skin", "opb": "pancreas", "cop": 1, "subject": "A"},
        {"type": "A"},
    ),
    "hellaswag": (
        JSON,
        {"question": "ctx", "choices": "endings", "answer": "label", "answer_is": "index_from_0"},
        {"ctx": "Which organ?", "endings": ["skin", "pancreas"], "label": "1"},
        {},
    ),
    "answer as text": (
        ALL,
        {"choices": ["correct", "other"], "answer": "correct", "answer_is": "text"},
        ASKED | {"other": "skin", "correct": "pancreas"},
        {"choices": ["pancreas", "skin"], "answer": 0},
    ),
    "answer as a small letter": (
        ALL,
        {"choices": ["a1", "b1"], "answer": "key", "answer_is": "letter"},
        ASKED | {"a1": "skin", "b1": "pancreas", "key": "b"},
        {},
    ),
    "columns A, B of a table": (
        ["csv"],
        {"question": "Stem", "id": "No", "split": "Part"},
        {"No": "7", "Part": "dev", "Stem": "Which organ?", "A": "skin", "B": "pancreas"}
        | {"answer": "B"},
        {"question_id": "7", "split": "validation"},
    ),
    "usual names": (JSON, None, ASKED | {"choices": ["skin", "pancreas"], "answer": 1}, {}),
}


@pytest.mark.parametrize("name", FORMS)
def test_data_sets_are_read_without_code(read, name):
    kinds, columns, record, more = FORMS[name]
    for kind in kinds:
        (row,) = read(columns, record, kind=kind)
        assert row["question"] == "Which organ?"
        expected = {"choices": ["skin", "pancreas"], "answer": 1, "context": ""} | more
        assert expected.items() <= row.items()


AS_A_LIST = {"choices": ["x", "y", "3"]}
BY_LETTER = {"choices": {"B": "y", "C": "3", "A": "x", "D": None}}
AS_COLUMNS = {"A": "x", "b": "y", "C": "3", "D": ""}
ONE_OF_THREE = [
    *(("letter", "c", 2), ("letter", "3", None), ("text", "3", 2), ("text", "C", None)),
    *(("index_from_0", "2", 2), ("index_from_0", "3", None), ("index_from_0", "A", None)),
    *(("index_from_1", "3", 2), ("index_from_1", "0", None), ("index_from_1", "x", None)),
]


@pytest.mark.parametrize(
    ("kind", "choices"),
    [
        *((kind, choices) for kind in JSON for choices in (AS_A_LIST, BY_LETTER)),
        ("csv", AS_COLUMNS),
    ],
)
class TestEveryFormOfChoices:
    @pytest.mark.parametrize(("answer_is", "answer", "index"), ONE_OF_THREE)
    def test_has_answers_as_the_config_says(self, read, kind, choices, answer_is, answer, index):
        record = {"question": "?", "answer": answer, **choices}
        if index is None:
            with pytest.raises(KformerError, match=rf"q\.{kind}:\d: answer: '{answer}' is no "):
                read({"answer_is": answer_is}, record, kind=kind)
        else:
            (row,) = read({"answer_is": answer_is}, record, kind=kind)
            assert (row["choices"], row["answer"]) == (["x", "y", "3"], index)

    def test_has_answers_by_label(self, read, kind, choices):
        record = {"question": "?", "names": ["B", "C", "A"], "answer": "A", **choices}
        if kind == "csv":  # a cell holds no list
            with pytest.raises(KformerError, match=r"q\.csv:2: labels: must be a list with one"):
                read({"labels": "names"}, record, kind=kind)
            return
        (row,) = read({"labels": "names"}, record, kind=kind)
        assert (row["choices"], row["answer"]) == (["x", "y", "3"], 2)
        with pytest.raises(KformerError, match="answer: '3' is no label; there are B, C, A"):
            read({"labels": "names"}, record | {"answer": "3"}, kind=kind)


@pytest.mark.parametrize(("kind", "empty"), [("jsonl", None), ("csv", "")])
def test_records_may_have_fewer_choices_and_no_gold_facts(read, kind, empty):
    columns = {"choices": ["opa", "opb", "opc"], "answer": "key", "gold_facts": "facts"}
    full = {"question": "?", "opa": "x", "opb": "y", "opc": "z", "key": 2, "facts": "One."}
    rows = read(columns, full, full | {"opc": empty, "key": 1, "facts": " "}, kind=kind)
    assert [row["choices"] for row in rows] == [["x", "y", "z"], ["x", "y"]]
    assert [row["gold_facts"] for row in rows] == [["One."], None]


def test_labels_of_empty_choices_are_left_out_as_these_are(read):
    record = {"question": "?", "choices": ["x", "y", ""], "names": ["A", "B", "C"], "answer": "B"}
    (row,) = read({"labels": "names"}, record)
    assert (row["choices"], row["answer"]) == (["x", "y"], 1)
    (row,) = read({"labels": "names"}, record | {"names": ["A", "B"]})
    assert row["answer"] == 1
    with pytest.raises(KformerError, match="answer: 'C' is no label; there are A, B"):
        read({"labels": "names"}, record | {"answer": "C"})


@pytest.mark.parametrize("answer", ["New York", "New \u00a0York ", "New  York"])
@pytest.mark.parametrize("columns", [{"answer_is": "text"}, {}])
def test_an_answer_may_have_other_spaces_than_its_choice(read, columns, answer):
    record = {"question": "?", "choices": ["x", "New  York"], "answer": answer}
    assert read(columns, record)[0]["answer"] == 1


@pytest.mark.parametrize(
    ("columns", "header", "expected"),
    [
        ({"question": "Stem"}, "stem2,Stem,a,B,Answer,ID,Type", {"question_id": "7", "type": "t"}),
        ({"context": "Type", "question": "Stem"}, "no,Stem,A,B,answer,Id,Type", {"context": "t"}),
        ({"question": "Q", "answer": "K"}, "choices,Q,A,B,K,id,Type", {"type": "t"}),
        ({"choices": ["x1", "x2"]}, "A,Question,x1,x2,Answer,Id,Type", {"type": "t"}),
    ],
)
def test_usual_names_in_a_header_may_be_in_any_case(folder_of, columns, header, expected):
    folder = folder_of({"q.csv": f"{header}\n-,Which?,skin,pancreas,B,7,t\n"})
    (row,) = CsvQuestions(path=".", columns=columns).read(folder)
    assert (row["question"], row["choices"], row["answer"]) == ("Which?", ["skin", "pancreas"], 1)
    assert {"context": "", "type": None, "question_id": "7"} | expected == {
        key: row[key] for key in ("context", "type", "question_id")
    }


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("A,B,answer,Stm", "Stem"),
        ("A,C,answer,Stem", "B"),
        ("A,B,D,answer,Stem", "C"),
        ("choices,answer,Stem", "A"),
    ],
)
def test_columns_that_a_header_lacks_are_named_with_those_that_it_has(folder_of, header, missing):
    folder = folder_of({"q.csv": f"{header}\n{header}\n"})
    there = ", ".join(sorted(header.split(",")))
    with pytest.raises(KformerError, match=f"no column '{missing}'; there are: {there}$"):
        list(CsvQuestions(path=".", columns={"question": "Stem"}).read(folder))


def test_null_is_not_read_and_a_name_with_a_dot_is_a_name(read):
    record = {"a.stem": "?", "choices": ["x", "y"], "answer": 0, "type": 3, "id": [1]}
    columns = {"question": "a.stem", "type": None, "id": None}
    (row,) = read(columns, record)
    assert (row["question"], row["type"], row["question_id"]) == ("?", None, "q-000001")


GOOD = {"stem": "?", "choices": ["x", "y"], "key": 1}
NAMED = {"question": "stem", "answer": "key"}


@pytest.mark.parametrize(
    ("columns", "record", "problem"),
    [
        ({"answer_is": "index_from_1"}, {"key": 0}, "answer: '0' is no index; there are 1"),
        ({"answer_is": "index_from_0"}, {"key": 2}, "answer: '2' is no index; there are 0"),
        ({"answer_is": "index_from_0"}, {"key": 1.0}, "answer: '1.0' is no index"),
        ({"answer_is": "letter"}, {"key": "C"}, "answer: 'C' is no letter; there are A, B"),
        ({"answer_is": "text"}, {"key": "A"}, "answer: 'A' is no choice; there are x, y"),
        ({"answer_is": "text"}, {"choices": ["x", "x"], "key": "x"}, "answer: 'x' is more than o"),
        ({"labels": "names"}, {"names": ["1"]}, "labels: must be a list with one for each"),
        ({"labels": "names"}, {"names": ["1", "2"], "key": "B"}, "answer: 'B' is no label; there"),
        ({}, {"choices": ["1", "0"], "key": "0"}, "answer: '0' may mean choice 0 or 1"),
        ({}, {"choices": ["x", "", "z"]}, "choices.1: must not be empty"),
        ({}, {"choices": [{"text": "x"}, {"text": "y"}]}, "choices.0: "),
        ({}, {"choices": {"A": "x", "C": "y"}}, "choices: the letters of 2 choices must be A, B"),
    ],
)
def test_an_answer_or_choice_that_does_not_fit_is_refused_by_its_line(
    read, columns, record, problem
):
    with pytest.raises(KformerError, match=rf"q\.jsonl:1: {problem}.*$"):
        read(NAMED | columns, GOOD | record)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("key", ["question", "answer", "context", "choices"])
def test_a_named_column_that_is_missing_is_named_with_those_that_there_are(read, kind, key):
    record = {"stem": "?", "opa": "x", "opb": "y", "key": "A"}
    missing = {key: ["opa", "none"] if key == "choices" else "none"}
    problem = rf"q\.{kind}:\d: no column 'none'; there are: key, opa, opb, stem$"
    with pytest.raises(KformerError, match=problem):
        read(NAMED | {"choices": ["opa", "opb"]} | missing, record, record, kind=kind)


@pytest.mark.parametrize(
    ("key", "path", "there"),
    [
        ("question", "question.stm", "question.choices, question.stem"),
        ("choices", "question.choices.txt", "question.choices.label, question.choices.text"),
        ("answer", "answerKey.x", "answerKey"),
    ],
)
def test_a_nested_column_that_is_missing_is_named_with_its_neighbours(read, key, path, there):
    with pytest.raises(KformerError, match=f"no column '{path}'; there are: {there}$"):
        read(ARC | {key: path}, ARC_ROW)


def test_a_column_that_only_some_records_have_is_no_mistake(read):
    rows = read(NAMED | {"type": "kind"}, GOOD, GOOD | {"kind": "easy"})
    assert [row["type"] for row in rows] == [None, "easy"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"questoin": "stem"}, {"question": " "}, {"question": None}, {"choices": ["opa"]}),
        *({"answer_is": "index"}, {"labels": "names", "answer_is": "letter"}),
    ],
)
def test_columns_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        QuestionColumns(**wrong)


def test_the_configs_in_the_documentation_are_valid():
    text = (Path(__file__).parents[2] / "docs" / "bring-your-own-data.md").read_text("utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text.replace("0123…", "ab" * 32), re.DOTALL | re.M)
    sections = [yaml.safe_load(block) for block in blocks]
    assert sum("questions" in section for section in sections) == 5
    for section in sections:
        validated(QuestionSource, section.get("questions", {"dataset": "demo"}), "docs")
        validated(list[KnowledgeSource], section.get("knowledge", []), "docs")
