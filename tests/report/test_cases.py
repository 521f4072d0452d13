"""Questions to read, which one of two methods answers right."""

from kformer.io.output_names import RunFolder
from kformer.io.tables import write_table
from kformer.report.cases import cases_of

UNUSED = {"prediction_without": 0, "is_gold": None, "activations": []}


def test_half_of_them_each_method_answers_right(tmp_path, study):
    study(kformer=36, none=10)
    one, other = (RunFolder.of(tmp_path / "runs", name, 1) for name in ("kformer", "none"))
    questions, facts = tmp_path / "questions.parquet", tmp_path / "facts.parquet"
    cases = cases_of(one, other, questions, facts)
    assert [case.right for case in cases] == ["kformer"] * 10  # none is right on nothing else
    first = cases[0]
    number = int(first.question_id[1:])
    assert first.question == "Which & why?"
    assert first.facts == [(f"Fact <{number % 3}>.", None)]  # the same for all choices
    (right,) = [choice for choice in first.choices if choice.is_right]
    assert right.chosen_by == ["kformer"]
    assert right.probabilities[0] > 0.8 > 0.1 > right.probabilities[1]
    assert sum(choice.probabilities[0] for choice in first.choices) == 1
    assert cases == cases_of(one, other, questions, facts)


def test_what_facts_add_is_shown_where_it_was_measured(tmp_path, study):
    study(kformer=36, none=10)
    one, other = (RunFolder.of(tmp_path / "runs", name, 1) for name in ("kformer", "none"))
    rows = [
        {"question_id": f"q{number}", "split": "test", "answer": 0, "margin": 1.0, "prediction": 0}
        | {"margin_without_facts": 0.0, "prediction_without_facts": 0, "other_question_id": "q0"}
        | {"margin_with_other_facts": 0.0, "prediction_with_other_facts": 0, "fact_ids": [[]]}
        | {"facts": [{"fact_id": number % 3, "margin_gain": 1.5, **UNUSED}]}
        for number in range(40)
    ]
    write_table(one.use_of_facts, "use_of_facts", rows)
    cases = cases_of(one, other, tmp_path / "questions.parquet", tmp_path / "facts.parquet")
    assert {fact.gain for case in cases for fact in case.facts} == {1.5}


def test_methods_that_agree_give_no_case(tmp_path, study):
    study()
    one = RunFolder.of(tmp_path / "runs", "none", 1)
    assert cases_of(one, one, tmp_path / "questions.parquet", None) == []
