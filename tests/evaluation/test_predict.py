"""Answering the test questions: the predictions table of every kind of model."""

import math
import os
import shutil

import pytest
import torch
from transformers import AutoModelForMultipleChoice

from kformer.errors import KformerError
from kformer.evaluation.predict import predict
from kformer.io.file_writing import sha256_of
from kformer.io.output_names import RunFolder
from kformer.io.tables import provenance, read_rows, write_table
from kformer.modeling import KformerForMultipleChoice, KformerProcessor

from .conftest import FACTS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def predicted(tiny_tables, tiny_tokens, tokenise, tmp_path):
    """Predicts and reads the table back: rows by question id, and the metrics."""

    def answer(run, retrieval="question", questions="questions"):
        knowledge = (tiny_tokens[1], tiny_tables / f"{retrieval}.parquet")
        out = tmp_path / "predictions.parquet"
        asked = tokenise(tiny_tables / f"{questions}.parquet")
        metrics = predict(run, asked, knowledge if retrieval else None, out)
        rows = list(read_rows(out, "predictions"))
        assert len({row["question_id"] for row in rows}) == len(rows)
        return {row["question_id"]: row for row in rows}, metrics

    return answer


def retrieved(tables, name):
    found = {}
    for row in read_rows(tables / f"{name}.parquet", "retrieval"):
        found.setdefault(row["question_id"], []).append(row["fact_ids"])
    return {key: lists if len(lists) > 1 else lists * 4 for key, lists in found.items()}


@pytest.mark.parametrize("injection", ["none", "concat", "attention", "ffn", "static"])
def test_every_test_question_gets_an_answer_and_no_other(
    injection, trained, predicted, tiny_tables
):
    rows, metrics = predicted(trained(injection), None if injection == "none" else "question")
    named = any(ids for row in rows.values() for ids in row["fact_ids"])
    assert named == (injection not in ("none", "static"))
    asked = read_rows(tiny_tables / "questions.parquet", "questions")
    expected = [row for row in asked if row["split"] == "test"]
    assert list(rows) == [row["question_id"] for row in expected]  # in the order of the questions
    for question, row in zip(expected, rows.values(), strict=True):
        assert (row["split"], row["answer"]) == ("test", question["answer"])
        assert len(row["logits"]) == len(row["fact_ids"]) == len(question["choices"])
        assert all(math.isfinite(logit) for logit in row["logits"])
        assert row["prediction"] == max(range(4), key=row["logits"].__getitem__)
    right = sum(row["prediction"] == row["answer"] for row in rows.values())
    assert metrics["test_accuracy"] == right / 24
    assert metrics["test_questions"] == 24 and metrics["test_inputs_cut"] == 0
    assert metrics["seconds_per_test_question"] > 0
    assert len({row["prediction"] for row in rows.values()}) > 1


@pytest.mark.parametrize("retrieval", ["question", "choice"])
@pytest.mark.parametrize("injection", ["attention", "ffn"])
def test_injected_facts_are_some_of_those_found_for_the_choice(
    injection, retrieval, trained, predicted, tiny_tables
):
    rows, _ = predicted(trained(injection), retrieval)
    found = retrieved(tiny_tables, retrieval)
    for question_id, row in rows.items():
        for choice, ids in enumerate(row["fact_ids"]):
            offered = found[question_id][choice]
            assert len(ids) == len(set(ids)) == min(FACTS, len(offered))
            assert set(ids) <= set(offered)
    every = [tuple(ids) for row in rows.values() for ids in row["fact_ids"]]
    assert any(len(set(every[i : i + 4])) > 1 for i in range(0, len(every), 4))


@pytest.mark.parametrize("retrieval", ["question", "choice"])
def test_facts_read_as_text_are_the_first_ones(retrieval, trained, predicted, tiny_tables):
    rows, _ = predicted(trained("concat"), retrieval)
    found = retrieved(tiny_tables, retrieval)
    for question_id, row in rows.items():
        assert row["fact_ids"] == [ids[:FACTS] for ids in found[question_id]]


def test_logits_are_those_of_the_named_facts(trained, predicted, tiny_tables):
    """The model sees exactly the facts that the table names: given only those, same logits."""
    run = trained("ffn")
    rows, _ = predicted(run)
    only = [
        {"question_id": key, "choice": c, "fact_ids": ids, "scores": [0.0] * len(ids)}
        for key, row in rows.items()
        for c, ids in enumerate(row["fact_ids"])
    ]
    write_table(tiny_tables / "only.parquet", "retrieval", only)
    again, _ = predicted(run, "only")
    for key, row in rows.items():
        assert again[key]["logits"] == pytest.approx(row["logits"], abs=1e-4)
        assert [set(ids) for ids in again[key]["fact_ids"]] == [set(i) for i in row["fact_ids"]]


@pytest.mark.parametrize("injection", ["none", "concat", "ffn"])
def test_answers_do_not_depend_on_how_questions_are_batched(
    injection, trained, predicted, tiny_tables
):
    run, retrieval = trained(injection), None if injection == "none" else "question"
    rows, _ = predicted(run, retrieval)
    questions = list(read_rows(tiny_tables / "questions.parquet", "questions"))
    fewer = [each for each in reversed(questions) if each["split"] == "test"][::3]
    write_table(tiny_tables / "fewer.parquet", "questions", fewer)
    found = read_rows(tiny_tables / "question.parquet", "retrieval")
    write_table(tiny_tables / "found.parquet", "retrieval", found)  # does not say for which
    again, _ = predicted(run, retrieval and "found", "fewer")
    assert list(again) == [each["question_id"] for each in fewer]
    for key, row in ((key, rows[key]) for key in again):
        assert again[key]["logits"] == pytest.approx(row["logits"], abs=1e-5)
        assert again[key]["fact_ids"] == row["fact_ids"]


def test_questions_may_have_different_numbers_of_choices_and_facts(trained, predicted, tiny_tables):
    questions = list(read_rows(tiny_tables / "questions.parquet", "questions"))
    for number, question in enumerate(questions):
        count = 2 + number % 3
        question["choices"] = question["choices"][:count]
        question["answer"] = min(question["answer"], count - 1)
    write_table(tiny_tables / "ragged.parquet", "questions", questions)
    found = list(read_rows(tiny_tables / "question.parquet", "retrieval"))
    for number, row in enumerate(found):
        row["fact_ids"] = row["fact_ids"][: number % 5]
        row["scores"] = row["scores"][: number % 5]
    write_table(tiny_tables / "few.parquet", "retrieval", found)
    rows, _ = predicted(trained("ffn"), "few", "ragged")
    by_id = {row["question_id"]: row["fact_ids"] for row in found}
    choices = {question["question_id"]: len(question["choices"]) for question in questions}
    for key, row in rows.items():
        assert len(row["logits"]) == len(row["fact_ids"]) == choices[key]
        assert all(math.isfinite(logit) and abs(logit) < 1e4 for logit in row["logits"])
        assert 0 <= row["prediction"] < choices[key]
        assert all(len(ids) == min(FACTS, len(by_id[key])) for ids in row["fact_ids"])


def test_the_extra_test_is_answered_after_the_test_and_measured_apart(
    trained, predicted, tiny_tables
):
    questions = list(read_rows(tiny_tables / "questions.parquet", "questions"))
    extra = [each for each in questions if each["split"] == "train"][:9]
    for question in extra:
        question["split"] = "test_extra"
    write_table(tiny_tables / "extra.parquet", "questions", questions)
    run = trained("none")
    before, metrics = predicted(run, None)
    rows, both = predicted(run, None, "extra")
    assert list(rows) == [*before, *(each["question_id"] for each in extra)]
    assert [row["split"] for row in rows.values()] == ["test"] * 24 + ["test_extra"] * 9
    assert all(rows[key] == row for key, row in before.items())
    of_test = [name for name in metrics if not name.startswith("seconds")]
    assert {name: both[name] for name in of_test} == {name: metrics[name] for name in of_test}
    right = sum(rows[each["question_id"]]["prediction"] == each["answer"] for each in extra)
    assert both["test_extra_accuracy"] == right / 9 and both["test_extra_questions"] == 9
    assert both["seconds_per_test_extra_question"] > 0
    assert not any("extra" in name for name in metrics)


def test_inputs_that_were_cut_are_counted(trained, predicted):
    _, metrics = predicted(trained("none", max_tokens=14), None)
    assert 0 < metrics["test_inputs_cut"] <= 24 * 4


@pytest.mark.parametrize(("precision", "expected"), [("bf16", True), ("fp32", False)])
def test_a_model_answers_in_the_precision_it_was_trained_in(
    precision, expected, trained, predicted, monkeypatch
):
    run = trained("ffn", precision)
    computed = set()
    original = torch.nn.Linear.forward

    def forward(module, states):
        result = original(module, states)
        computed.add(result.dtype)
        return result

    monkeypatch.setattr(torch.nn.Linear, "forward", forward)
    rows, _ = predicted(run)
    assert (torch.bfloat16 in computed) == expected
    # Eight significant bits would make many logits equal.
    logits = torch.tensor([row["logits"] for row in rows.values()])
    assert not torch.equal(logits, logits.bfloat16().float())


def test_a_run_that_was_not_trained_is_refused(predicted, tmp_path):
    with pytest.raises(KformerError, match=r"training.json: .*train this run first"):
        predicted(tmp_path)
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(KformerError, match=r"training.json: damaged"):
        predicted(tmp_path)


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def truncate(file):
    os.truncate(file, file.stat().st_size // 2)


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of a run, to be damaged."""
    return shutil.copytree(trained("ffn"), tmp_path / "copied")


MODEL_FILES = ("model.safetensors", "config.json", "tokenizer_config.json", "tokenizer.json")
NAMES = [*(f"model/{name}" for name in (*MODEL_FILES, "checksums.json")), "training.json"]


@pytest.mark.parametrize("damage", [os.remove, flip_a_bit, truncate], ids=lambda it: it.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_run_is_refused_in_one_line(name, damage, copied, predicted, tmp_path):
    damage(copied / name)
    with pytest.raises(KformerError) as caught:
        predicted(copied)
    message = str(caught.value)
    assert message.startswith(f"{copied}/") and "\n" not in message
    assert "train" in message.rpartition(";")[2]
    assert not (tmp_path / "predictions.parquet").exists()


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("model.safetensors", KformerForMultipleChoice.from_pretrained),
        ("model.safetensors", AutoModelForMultipleChoice.from_pretrained),
        ("tokenizer.json", KformerProcessor.from_pretrained),
    ],
)
def test_a_damaged_model_cannot_be_loaded_without_its_run_either(name, load, copied, tmp_path):
    model = (copied / "model").rename(tmp_path / "mine")
    load(model)
    flip_a_bit(model / name)
    with pytest.raises(KformerError, match=rf"^{model}: damaged \({name} is not what was written"):
        load(model)


def test_a_model_that_is_missing_added_to_or_of_another_run_is_refused(copied, trained, predicted):
    for change, problem in (
        (
            lambda model: (model / "added_tokens.json").write_text("{}"),
            "added_tokens.json was added",
        ),
        (shutil.rmtree, "there is no such folder"),
        (lambda model: shutil.copytree(trained("none") / "model", model), "not the model of"),
    ):
        change(copied / "model")
        with pytest.raises(KformerError, match=rf"{copied}/model: .*{problem}.*; delete {copied}"):
            predicted(copied)


def test_logits_that_are_no_numbers_are_refused_with_their_question(
    trained, predicted, monkeypatch, tmp_path
):
    """As of a model that diverged: its first choice must not be taken for an answer."""
    forward = KformerForMultipleChoice.forward

    def diverged(self, **inputs):
        output = forward(self, **inputs)
        output.logits[0, 1] = float("nan")
        return output

    monkeypatch.setattr(KformerForMultipleChoice, "forward", diverged)
    run = trained("ffn")
    with pytest.raises(
        KformerError, match=rf"^{run}: the scores .* question '\S+' are not all numbers .*; d"
    ):
        predicted(run)
    assert not (tmp_path / "predictions.parquet").exists()


def test_what_training_kept_for_a_restart_is_removed_when_a_run_is_evaluated(copied, predicted):
    shutil.copytree(copied / "model", copied / ".finished" / "model", dirs_exist_ok=True)
    predicted(copied)
    assert not (copied / ".finished").exists()
    predicted(copied)


def test_predictions_say_which_model_made_them(trained, tiny_tokens, tmp_path):
    run = RunFolder(trained("none"))
    predict(run.path, tiny_tokens[0], None, tmp_path / "p.parquet")
    made_by = provenance(tmp_path / "p.parquet", "predictions")["model_checksums"]
    assert made_by == sha256_of(run.model / "checksums.json")


def test_the_operations_of_answering_are_counted(trained, predicted, tmp_path):
    counted = {name: predicted(trained(name))[1]["flops_per_question"] for name in COUNTED}
    assert 0 < counted["none"] < counted["ffn"] < counted["concat"]
    noted = provenance(tmp_path / "predictions.parquet", "predictions")
    assert int(noted["flops_per_question"]) == round(counted["concat"])


COUNTED = ("none", "ffn", "concat")
