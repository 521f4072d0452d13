"""What each fact does to an answer, against the same question asked with other facts by hand."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from kformer.errors import KformerError
from kformer.evaluation.predict import predict
from kformer.evaluation.use_of_facts import measure_use_of_facts
from kformer.io.output_names import RunFolder
from kformer.io.tables import provenance, read_rows, read_table, write_table
from kformer.io.training_summary import TrainingSummary
from kformer.modeling import KformerForMultipleChoice, KformerProcessor

from .conftest import FACTS

pytestmark = pytest.mark.usefixtures("one_thread")
READING = ["concat", "attention", "ffn"]


@pytest.fixture
def measured(tiny_tables, tiny_tokens, tokenise, tmp_path):
    """Measures the use of facts; rows by question id, and the metrics."""

    def measure(run, retrieval="question", sample=24, texts=True, questions="questions"):
        tables = tiny_tables / f"{questions}.parquet", tiny_tables / "facts.parquet"
        knowledge = (tiny_tokens[1], tiny_tables / f"{retrieval}.parquet")
        out = tmp_path / "use_of_facts.parquet"
        metrics = measure_use_of_facts(
            run, tokenise(tables[0]), knowledge, out, sample, tables if texts else None
        )
        rows = list(read_rows(out, "use_of_facts"))
        return {row["question_id"]: row for row in rows}, metrics

    return measure


class ByHand:
    """Questions, and facts with their scores, as texts."""

    def __init__(self, tables, run, retrieval):
        self.questions = {
            row["question_id"]: row for row in read_rows(tables / "questions.parquet", "questions")
        }
        self.texts = read_table(tables / "facts.parquet", "facts")["text"].to_pylist()
        self.model = KformerForMultipleChoice.from_pretrained(run / "model").eval()
        self.processor = KformerProcessor.from_pretrained(run / "model")
        self.found = {}  # of each question, per choice
        for row in read_rows(tables / f"{retrieval}.parquet", "retrieval"):
            pairs = dict(zip(row["fact_ids"], row["scores"], strict=True))
            self.found.setdefault(row["question_id"], []).append(pairs)
        for question_id, lists in self.found.items():
            if len(lists) == 1:
                self.found[question_id] = lists * len(self.questions[question_id]["choices"])

    def margin(self, question_id, given):
        """With these facts for each choice, by their ids, with scores."""
        question = self.questions[question_id]
        features = self.processor(
            *(question[name] for name in ("context", "question", "choices")),
            [[self.texts[fact] for fact in facts] for facts in given],
            [list(facts.values()) for facts in given],
        )
        with torch.no_grad():
            logits = self.model(**self.processor.collate([features])).logits[0].tolist()
        right = logits.pop(question["answer"])
        return right - max(logits)


CASES = [(name, {}, by) for name in READING for by in ("question", "choice")]
CASES += [
    ("ffn", {"scores_in_keys": True, "filter": "retrieval"}, "choice"),
    ("ffn", {"fact_encoder": "layers", "match": "cosine"}, "question"),
    ("concat", {"max_tokens": 40}, "question"),  # where facts are cut
]


@pytest.mark.parametrize(("injection", "settings", "retrieval"), CASES)
def test_margins_are_those_of_the_same_question_with_other_facts(
    injection, settings, retrieval, trained, measured, tiny_tables
):
    run = trained(injection, **settings)
    rows, metrics = measured(run, retrieval)
    by_hand = ByHand(tiny_tables, run, retrieval)
    asked = [key for key, each in by_hand.questions.items() if each["split"] == "test"]
    assert list(rows) == asked
    for number, (key, row) in enumerate(rows.items()):
        found, read = by_hand.found[key], row["fact_ids"]
        facts = [each["fact_id"] for each in row["facts"]]
        assert facts == list(dict.fromkeys(fact for ids in read for fact in ids)) and facts

        def margin(given, key=key):
            return pytest.approx(by_hand.margin(key, given), abs=2e-4)

        assert row["margin"] == margin(found)
        assert row["margin_without_facts"] == margin([{}] * 4)
        other = asked[(number + 1) % len(asked)]
        assert row["other_question_id"] == other
        given = [{f: s for f, s in each.items() if f not in facts} for each in by_hand.found[other]]
        assert row["margin_with_other_facts"] == margin(given)
        for fact in row["facts"]:
            left = [
                {f: s for f, s in each.items() if f in ids and f != fact["fact_id"]}
                for each, ids in zip(found, read, strict=True)
            ]
            assert row["margin"] - fact["margin_gain"] == margin(left)
    gains = [row["margin"] - row["margin_without_facts"] for row in rows.values()]
    assert metrics["margin_gain_of_facts"] == pytest.approx(sum(gains) / len(gains), abs=1e-4)
    assert metrics["use_of_facts_questions"] == 24
    assert metrics["facts_read_per_choice"] == FACTS
    changed = sum(row["prediction"] != row["prediction_without_facts"] for row in rows.values())
    assert metrics["changed_without_facts"] == changed / 24 > 0


def test_with_all_facts_a_question_is_answered_as_in_the_predictions(
    trained, measured, tiny_tables, tiny_tokens, tmp_path
):
    run = trained("ffn")
    rows, _ = measured(run, "choice")
    knowledge = (tiny_tokens[1], tiny_tables / "choice.parquet")
    predict(run, tiny_tokens[0], knowledge, tmp_path / "p.parquet")
    for row in read_rows(tmp_path / "p.parquet", "predictions"):
        for name in ("prediction", "answer", "split", "fact_ids"):
            assert rows[row["question_id"]][name] == row[name]


@pytest.mark.parametrize("injection", READING)
def test_without_facts_a_question_is_answered_as_by_the_encoder_alone(
    injection, trained, measured, tiny_tables, tiny_encoder
):
    run = trained(injection)
    rows, _ = measured(run)
    by_hand = ByHand(tiny_tables, run, "question")
    plain = KformerForMultipleChoice.from_encoder(tiny_encoder, max_tokens=64)
    plain.load_state_dict(load_file(run / "model" / "model.safetensors"), strict=False)
    by_hand.model = plain.eval()
    by_hand.processor = KformerProcessor(by_hand.processor.tokenizer, plain.config)
    for key, row in rows.items():
        assert row["margin_without_facts"] == pytest.approx(by_hand.margin(key, [{}] * 4), abs=2e-4)


@pytest.mark.parametrize("injection", ["attention", "ffn"])
def test_each_fact_does_the_same_in_whatever_order_facts_come(
    injection, trained, measured, tiny_tables
):
    run = trained(injection)
    rows, _ = measured(run)
    found = list(read_rows(tiny_tables / "question.parquet", "retrieval"))
    for row in found:
        row["fact_ids"], row["scores"] = row["fact_ids"][::-1], row["scores"][::-1]
    write_table(tiny_tables / "reversed.parquet", "retrieval", found)
    again, _ = measured(run, "reversed")
    for key, row in rows.items():
        gains, others = (
            {fact["fact_id"]: fact["margin_gain"] for fact in each["facts"]}
            for each in (row, again[key])
        )
        assert others == pytest.approx(gains, abs=1e-4)


def test_where_nothing_was_found_nothing_changes_without_facts(trained, measured, tiny_tables):
    found = list(read_rows(tiny_tables / "question.parquet", "retrieval"))
    for row in found[::2]:
        row["fact_ids"], row["scores"] = [], []
    write_table(tiny_tables / "half.parquet", "retrieval", found)
    rows, metrics = measured(trained("ffn"), "half")
    empty = {row["question_id"] for row in found[::2]} & rows.keys()
    assert 0 < len(empty) < len(rows)
    for key in empty:
        row = rows[key]
        assert row["facts"] == [] and row["fact_ids"] == [[]] * 4
        assert row["margin_without_facts"] == pytest.approx(row["margin"], abs=1e-5)
        assert row["prediction_without_facts"] == row["prediction"]
    assert 0 < metrics["facts_read_per_choice"] < FACTS
    for row in found:
        row["fact_ids"], row["scores"] = [], []
    write_table(tiny_tables / "nothing.parquet", "retrieval", found)
    rows, metrics = measured(trained("concat"), "nothing")
    assert metrics["changed_without_facts"] == metrics["changed_with_other_facts"] == 0
    assert "gold_fact_mattered_most" not in metrics


def test_all_conditions_are_asked_the_same_sample(trained, measured):
    samples = [[*measured(trained(name), sample=10)[0]] for name in READING]
    assert samples[0] == samples[1] == samples[2] and len(set(samples[0])) == 10
    assert len(measured(trained("ffn"), sample=1000)[0]) == 24


def test_gold_facts_are_known_by_their_texts(trained, measured, tiny_tables):
    rows, metrics = measured(trained("ffn"))
    texts = read_table(tiny_tables / "facts.parquet", "facts")["text"].to_pylist()
    for question in read_rows(tiny_tables / "questions.parquet", "questions"):
        for fact in rows.get(question["question_id"], {"facts": []})["facts"]:
            assert fact["is_gold"] == (texts[fact["fact_id"]] in question["gold_facts"])
    first = [max(row["facts"], key=lambda fact: fact["margin_gain"]) for row in rows.values()]
    gold = [
        most["is_gold"]
        for most, row in zip(first, rows.values(), strict=True)
        if most["margin_gain"] > 0 and any(fact["is_gold"] for fact in row["facts"])
    ]
    assert metrics["gold_fact_mattered_most"] == pytest.approx(sum(gold) / len(gold))
    assert 1 / 12 < metrics["gold_fact_by_chance"] < 1
    rows, metrics = measured(trained("ffn"), texts=False)
    assert {fact["is_gold"] for row in rows.values() for fact in row["facts"]} == {None}
    assert not any("gold" in name for name in metrics)


def test_activations_are_those_of_each_injected_layer(trained, measured):
    for injection in ("ffn", "attention"):
        rows, metrics = measured(trained(injection, layers=(1, 3)))
        fired = [fact["activations"] for row in rows.values() for fact in row["facts"]]
        means = torch.tensor(fired).mean(0).tolist()
        assert [metrics[f"fact_activation_in_layer_{n}"] for n in (1, 2)] == pytest.approx(means)
        assert len({tuple(each) for each in fired}) > len(fired) / 2
    rows, metrics = measured(trained("concat"))
    assert all(fact["activations"] == [] for row in rows.values() for fact in row["facts"])
    assert not any("activation" in name for name in metrics)


@pytest.mark.parametrize("injection", ["none", "static"])
def test_a_model_that_reads_no_facts_is_refused(injection, trained, measured, tmp_path):
    run = trained(injection)
    with pytest.raises(KformerError, match=rf"^{run}: this model reads no facts"):
        measured(run)
    assert not (tmp_path / "use_of_facts.parquet").exists()


def test_one_question_alone_and_tables_of_others_are_refused(
    trained, measured, tiny_tables, tiny_tokens, tmp_path
):
    with pytest.raises(KformerError, match=r"one test question has no other one's facts"):
        measured(trained("ffn"), sample=1)
    wrong = (tiny_tables / "questions.parquet", tiny_tables / "question.parquet")
    knowledge = (tiny_tokens[1], tiny_tables / "question.parquet")
    with pytest.raises(KformerError, match=r"question.parquet: \S+facts.arrow was made from an"):
        measure_use_of_facts(
            trained("ffn"), tiny_tokens[0], knowledge, tmp_path / "u.parquet", 9, wrong
        )
    assert not (tmp_path / "u.parquet").exists()


def test_a_model_that_diverged_is_refused(trained, measured, monkeypatch):
    forward = KformerForMultipleChoice.forward

    def diverged(self, **inputs):
        output = forward(self, **inputs)
        output.logits[:] = float("nan")
        return output

    monkeypatch.setattr(KformerForMultipleChoice, "forward", diverged)
    run = trained("ffn")
    with pytest.raises(KformerError, match=rf"^{run}: the scores .* are not all numbers .*; del"):
        measured(run)


def test_a_table_says_which_model_made_it(trained, measured, tmp_path):
    run = RunFolder(shutil.copytree(trained("ffn"), tmp_path / "ffn" / "seed-1"))
    measured(run.path)
    made_by = provenance(tmp_path / "use_of_facts.parquet", "use_of_facts")["model_checksums"]
    assert made_by == TrainingSummary.read(run.summary).model_checksums
