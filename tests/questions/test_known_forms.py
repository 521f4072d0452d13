"""Well-known forms of questions are recognised, and the `columns:` that are named do read them."""

import json

import pytest

from kformer.errors import KformerError
from kformer.questions.user_files import CsvQuestions, JsonlQuestions

CHOICES = {"label": ["A", "B", "C"], "text": ["skin", "pancreas", "bone"]}
OBJECTS = [{"label": "A", "text": "skin"}, {"label": "B", "text": "pancreas"}]
ASKED = {"id": "x", "question": "Which organ?"}
FORMS = {
    "CommonsenseQA": ASKED | {"choices": CHOICES, "answerKey": "B"},
    "choices with labels": ASKED | {"choices": CHOICES, "answer": "B"},
    "a list of choices with labels": ASKED | {"choices": OBJECTS, "answer": "B"},
    "OpenBookQA": {"question_stem": "Which organ?", "choices": CHOICES, "answerKey": "B"},
    "ARC": {"question": {"stem": "Which organ?", "choices": OBJECTS}, "answerKey": "B"},
    "Social IQA": ASKED
    | {"context": "Krez ate."}
    | {"answerA": "skin", "answerB": "pancreas", "answerC": "bone", "label": "2"},
    "MedQA": ASKED
    | {"answer": "pancreas", "options": {"A": "skin", "B": "pancreas"}, "answer_idx": "B"},
    "MedMCQA": ASKED | {"opa": "skin", "opb": "pancreas", "opc": "bone", "opd": "eye", "cop": 1},
}


@pytest.fixture
def refusal(folder_of):
    def refused(record, **settings):
        with pytest.raises(KformerError, match=r"^.+/q\.jsonl(:1)?: .+$") as caught:
            list(JsonlQuestions(path=".", **settings).read(folder_of({"q.jsonl": [record]})))
        return str(caught.value)

    return refused


@pytest.mark.parametrize("name", FORMS)
def test_the_columns_that_read_a_known_form_are_named(refusal, folder_of, name):
    message = refusal(FORMS[name])
    columns = json.loads(message.partition(", to be read with columns: ")[2])
    (row,) = JsonlQuestions(path=".", columns=columns).read(folder_of({"q.jsonl": [FORMS[name]]}))
    assert row["choices"][:2] == ["skin", "pancreas"]
    assert (row["question"], row["answer"]) == ("Which organ?", 1)


@pytest.mark.parametrize("name", ["Social IQA", "MedMCQA"])
def test_so_it_is_for_tables(folder_of, name):
    header, cells = FORMS[name].keys(), map(str, FORMS[name].values())
    folder = folder_of({"q.csv": f"{','.join(header)}\n{','.join(cells)}\n"})
    with pytest.raises(
        KformerError, match=r"q\.csv:1: no column answer, a, b in the header"
    ) as caught:
        list(CsvQuestions(path=".").read(folder))
    columns = json.loads(str(caught.value).partition(", to be read with columns: ")[2])
    (row,) = CsvQuestions(path=".", columns=columns).read(folder)
    assert (row["choices"][1], row["answer"]) == ("pancreas", 1)


def test_the_keys_of_another_form_are_named(refusal):
    message = refusal({"query": "?", "options": ["x", "y"], "gold": 1, "anwser": 1})
    assert message.endswith(
        "(is 'anwser' meant as answer?); there are: anwser, gold, options, query"
    )
    message = refusal(ASKED | {"choices": {"x": "skin", "y": "bone"}, "answer": 0})
    assert (
        "choices: the letters of 2 choices must be A, B (there are: x, y); choices are" in message
    )


def test_nothing_is_proposed_where_the_config_has_columns(refusal):
    columns = {"choices": ["answerA", "answerB"], "answer": "label", "answer_is": "index_from_1"}
    assert "columns" not in refusal(FORMS["Social IQA"] | {"label": "7"}, columns=columns)


class TestUnlabelled:
    """Questions of a hidden test set."""

    WITHOUT = "unlabelled questions can neither train nor be scored; leave the file out"
    INSTEAD = f"{WITHOUT}, and take the validation file as test"

    @pytest.mark.parametrize("change", [{}, *({"answer": value} for value in ("", None, -1, "-1"))])
    def test_test_questions_cannot_be_scored(self, folder_of, change):
        whole = ASKED | {"choices": ["skin", "bone"]}
        folder = folder_of({"train.jsonl": [whole | {"answer": 0}], "test.jsonl": [whole | change]})
        with pytest.raises(
            KformerError, match=rf"/test\.jsonl: its question has no.*{self.INSTEAD}"
        ):
            list(JsonlQuestions(path=".").read(folder))

    @pytest.mark.parametrize("answer", ["", "-1", None])
    @pytest.mark.parametrize(
        "columns", [{"labels": "names"}, {"answer_is": "index_from_0"}, {"answer_is": "letter"}]
    )
    def test_so_it_is_with_columns(self, refusal, columns, answer):
        record = ASKED | {"choices": ["skin", "bone"], "names": ["A", "B"], "answer": answer}
        message = refusal(record | {"split": "test"}, columns=columns)
        assert message.endswith(f"q.jsonl: its question has no answer; {self.INSTEAD}")

    def test_so_it_is_where_a_file_has_no_column_for_answers(self, folder_of):
        whole = ASKED | {"choices": ["skin", "bone"]}
        folder = folder_of({"train.jsonl": [whole | {"key": 0}], "test.jsonl": [whole]})
        reader = JsonlQuestions(path=".", columns={"answer": "key"})
        with pytest.raises(
            KformerError, match=rf"/test\.jsonl:1: no column 'key'; .*; {self.INSTEAD}"
        ):
            list(reader.read(folder))

    def test_so_it_is_in_tables(self, folder_of):
        for content in ("question,A,B,answer\n?,x,y,\n", "question,A,B\n?,x,y\n"):
            with pytest.raises(KformerError, match=rf"q_test\.csv.* answer.*; {self.INSTEAD}"):
                list(CsvQuestions(path=".").read(folder_of({"q_test.csv": content})))

    @pytest.mark.parametrize("change", [{}, {"answer": ""}, {"answer": None}])
    def test_others_are_refused(self, folder_of, change):
        rows = [ASKED | {"choices": ["skin", "bone"]} | change for _ in range(3)]
        there = "" if change else r" \(there are: choices, id, question\)"
        message = rf"/q\.jsonl: its 3 questions have no answer{there}; {self.WITHOUT}$"
        with pytest.raises(KformerError, match=message):
            list(JsonlQuestions(path=".").read(folder_of({"q.jsonl": rows})))

    @pytest.mark.parametrize("change", [{}, {"answer": ""}, {"answer": None}])
    def test_a_few_are_refused_by_their_line(self, folder_of, change):
        whole = ASKED | {"choices": ["skin", "bone"]}
        rows = [whole | {"answer": 0}, whole | change]
        with pytest.raises(KformerError, match=r"/q\.jsonl:2: has no answer; unlabelled questions"):
            list(JsonlQuestions(path=".").read(folder_of({"q.jsonl": rows})))

    def test_what_is_no_question_without_an_answer_either_is_said(self, refusal):
        message = refusal(ASKED | {"choices": ["skin"], "answer": ""})
        assert "q.jsonl:1: choices: " in message
        assert "unlabelled" not in message

    def test_minus_one_may_be_a_choice(self, folder_of):
        record = ASKED | {"choices": ["-1", "1"], "answer": "-1"}
        (row,) = JsonlQuestions(path=".").read(folder_of({"q.jsonl": [record]}))
        assert row["answer"] == 0
