"""From the tables of the runs to what the comparison says of the use of facts."""

import json

import pytest
from rich.console import Console
from statsmodels.stats.proportion import proportion_confint

from kformer.errors import KformerError
from kformer.evaluation.compare import compare, read_comparison
from kformer.evaluation.report import render_tables
from kformer.evaluation.use_of_facts_measures import gold_by_chance, gold_mattered_most
from kformer.io.checksums import sealed
from kformer.io.file_writing import write_json
from kformer.io.output_names import RunFolder
from kformer.io.tables import write_table

MEASURED = ("seconds_per_step", "train_seconds", "validation_accuracy", "best_step")
COUNTED = ("steps", "train_questions", "inputs_cut", "parameters", "added_parameters", "seed")
NOTED = {"precision": "fp32", "device": "cpu", "version": "1", "peak_memory_mb": None}
TRAINING = {**dict.fromkeys(MEASURED), **dict.fromkeys(COUNTED, 1), **NOTED}


def fact(number, gain, is_gold=None):
    return {
        "fact_id": number,
        "margin_gain": gain,
        "prediction_without": 0,
        "is_gold": is_gold,
        "activations": [],
    }


def row(question_id, without=0, others=0, facts=(), margin_without=-1.0, **changes):
    """A question that is answered with the first choice."""
    return {
        "question_id": question_id,
        "split": "test",
        "answer": 0,
        "margin": 1.0,
        "prediction": 0,
        "margin_without_facts": margin_without,
        "prediction_without_facts": without,
        "other_question_id": "another",
        "margin_with_other_facts": 0.0,
        "prediction_with_other_facts": others,
        "fact_ids": [[each["fact_id"] for each in facts]] * 2,
        "facts": list(facts),
        **changes,
    }


@pytest.fixture
def add_run(tmp_path):
    """Writes a run that answered ten questions, with these rows on the use of facts."""

    def add(condition, rows=None, seed=1, model="m"):
        folder = RunFolder.of(tmp_path / "runs", condition, seed)
        common = {"split": "test", "logits": [0.5, 0.0], "tied": False, "fact_ids": [[]] * 2}
        common |= {"prediction": 0, "inputs_cut": 0}
        answered = [
            {"question_id": f"q{i}", "answer": i % 2, "credit": 1.0 - i % 2, **common}
            for i in range(10)
        ]
        write_table(folder.predictions, "predictions", answered, {"model_checksums": "m"})
        write_json(folder.summary, sealed(TRAINING | {"seed": seed, "model_checksums": "m"}))
        if rows is not None:
            write_table(folder.use_of_facts, "use_of_facts", rows, {"model_checksums": model})
        return folder.path

    return add


@pytest.fixture
def compared(tmp_path):
    """The part of comparison.json on the use of facts, and what tracking is told."""

    def run(*folders, **options):
        metrics = compare("tiny", folders, "none", tmp_path, **options)
        return json.loads((tmp_path / "comparison.json").read_text())["use_of_facts"], metrics

    return run


GOLD_FIRST = (fact(0, 0.5, True), fact(1, 0.1, False))
GOLD_SECOND = (fact(0, 0.5, False), fact(1, 0.1, True), fact(2, 0.0, False))


def test_shares_of_questions_with_wilsons_interval(add_run, compared):
    rows = [row("q0", 1, 1, GOLD_FIRST), row("q1", 0, 1, GOLD_SECOND), row("q2"), row("q3")]
    (use,), metrics = compared(add_run("none"), add_run("ffn", rows))
    assert (use["condition"], use["seeds"]) == ("ffn", [1])
    for name, count, total in (
        ("changed_without_facts", 1, 4),
        ("changed_with_other_facts", 2, 4),
        ("gold_mattered_most", 1, 2),
    ):
        interval = pytest.approx(proportion_confint(count, total, method="wilson"))
        assert use[name] == {"value": count / total, "ci95": interval, "questions": total}
    assert use["margin_gain"] == 2.0
    assert use["gold_by_chance"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert metrics["ffn/changed_without_facts"] == 0.25


def test_a_question_counts_once_however_many_seeds_answered_it(add_run, compared):
    names = ("q0", "q1", "q2", "q3")
    one = [row(name, without=1) for name in names]
    other = [row(name, without=0, margin_without=0.0) for name in reversed(names)]
    (use,), _ = compared(add_run("none"), add_run("ffn", one), add_run("ffn", other, seed=2))
    assert use["seeds"] == [1, 2]
    interval = pytest.approx(proportion_confint(2, 4, method="wilson"))
    assert use["changed_without_facts"] == {"value": 0.5, "ci95": interval, "questions": 4}
    assert use["margin_gain"] == 1.5
    assert use["gold_mattered_most"] is use["gold_by_chance"] is None


def test_which_fact_mattered_most():
    assert gold_mattered_most(row("q", facts=GOLD_FIRST)) == 1
    assert gold_mattered_most(row("q", facts=GOLD_SECOND)) == 0
    unknown = [fact(0, 1.0), fact(1, 2.0)]
    never_read = [fact(0, 1.0, False)]
    nothing_added = [fact(0, 0.0, True), fact(1, -1.0, False)]
    for facts in ([], unknown, never_read, nothing_added):
        assert gold_mattered_most(row("q", facts=facts)) is None
        assert gold_by_chance(row("q", facts=facts)) is None


def test_page_and_terminal_show_it_right_after_the_accuracies(add_run, compared, tmp_path):
    long = "kformer-contextual-shuffled"
    rows = [row("q0", 1, 1, GOLD_FIRST), row("q1", 0, 1, GOLD_SECOND)]
    compared(add_run("none"), add_run(long, rows), add_run("concat", [row("q0"), row("q1")]))
    page = (tmp_path / "comparison.md").read_text()
    first, second, *_ = [part for part in page.split("\n\n") if part.startswith("|")]
    assert "accuracy" in first and "Use of facts, on 2 of these questions" in page
    line = next(line for line in second.splitlines() if long in line)
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    without, others, gold = "50.0 (9.5-90.5)", "100.0 (34.2-100.0)", "50.0 (9.5-90.5)"
    assert cells == [long, without, others, "+2.00", gold, "41.7"]
    assert "owe nothing to the facts" in page
    console = Console(width=80)
    with console.capture() as captured:
        for table in render_tables(read_comparison(tmp_path / "comparison.json")):
            console.print(table)
    text = captured.get()
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    assert [long, "50.0", "100.0", "+2.00", "50.0", "41.7"] in [
        line.split() for line in text.splitlines()
    ]


def test_where_nothing_was_measured_nothing_is_said(add_run, compared, tmp_path):
    found, metrics = compared(add_run("none"), add_run("ffn"))
    assert found == [] and not any("changed" in name for name in metrics)
    assert "facts" not in (tmp_path / "comparison.md").read_text().split("## How")[0]
    found, _ = compared(add_run("none"), add_run("ffn", [row("q0", split="other")]))
    assert found == []
    found, _ = compared(add_run("none"), add_run("ffn", [row("q0")]), use_of_facts=False)
    assert found == []


def test_a_table_that_cannot_be_compared_is_refused(add_run, compared):
    none = add_run("none")
    first = add_run("one", [row("q0"), row("q1")])
    with pytest.raises(KformerError, match=r"other/\S+: about other questions than \S+one/seed-1"):
        compared(none, first, add_run("other", [row("q0"), row("q2")]))
    with pytest.raises(KformerError, match=r"another model than that of \S+; measure it again, or"):
        compared(none, first, add_run("other", [row("q0"), row("q1")], model="another"))
    damaged = RunFolder(add_run("other", [row("q0"), row("q1")]))
    damaged.use_of_facts.write_bytes(b"PAR1")
    with pytest.raises(KformerError, match=r"use_of_facts.parquet: "):
        compared(none, first, damaged.path)
