"""The stage: folders of runs in; JSON, Markdown, figure and terminal table out."""

import json

import numpy as np
import pytest
from rich.console import Console

from kformer.errors import KformerError
from kformer.evaluation.compare import compare, read_comparison
from kformer.evaluation.report import render_table
from kformer.io.tables import write_table

ANSWERS = [0, 1, 2, 3, 0, 1, 2, 3]
TRAINING = {
    "steps": 100,
    "seconds_per_step": 0.2,
    "train_seconds": 20.0,
    "added_parameters": 0,
    "validation_accuracy": 0.5,
    "precision": "bf16",
}


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def add_run(runs, condition, predictions, *, seed=41, answers=ANSWERS, training=TRAINING, **row):
    """Writes a run in which question ``q<i>`` has ``answers[i]`` and got ``predictions[i]``."""
    folder = runs / condition / ("untrained" if seed is None else f"seed-{seed}")
    rows = [
        {
            "question_id": f"q{place}",
            "split": "test",
            "answer": answer,
            "prediction": int(prediction),
            "logits": [0.0] * 4,
            "fact_ids": [[]] * 4,
            **row,
        }
        for place, (answer, prediction) in enumerate(zip(answers, predictions, strict=True))
    ]
    write_table(folder / "predictions.parquet", "predictions", rows)
    if seed is not None:
        (folder / "training.json").write_text(json.dumps(training))
    return folder


def wrong_at(*places):
    return [(a + 1) % 4 if place in places else a for place, a in enumerate(ANSWERS)]


def compared(folders, out, baseline="none"):
    """The content of comparison.json, by condition, after reading it as strict JSON."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    compare("tiny", folders, baseline, out)
    content = json.loads((out / "comparison.json").read_text(), parse_constant=refuse)
    return content, {result["condition"]: result for result in content["conditions"]}


def test_a_tiny_example_by_hand(runs, tmp_path):
    costly = TRAINING | {"seconds_per_step": 0.5, "added_parameters": 7}
    folders = [
        add_run(runs, "none", wrong_at(0, 1, 2, 3), seed=41),
        add_run(runs, "none", wrong_at(0, 1, 2, 3, 4, 5), seed=42),
        add_run(runs, "kformer", wrong_at(), seed=41, training=costly),
        add_run(runs, "kformer", wrong_at(0, 1), seed=42, training=costly),
    ]
    content, by_condition = compared(folders, tmp_path)
    none, kformer = by_condition["none"], by_condition["kformer"]

    assert {name: content[name] for name in ("experiment", "split", "questions", "chance")} == {
        "experiment": "tiny",
        "split": "test",
        "questions": 8,
        "chance": 0.25,
    }
    assert content["baseline"] == "none"
    assert set(content["versions"]) == {"kformer", "torch", "transformers", "python"}
    assert list(by_condition) == ["none", "kformer"]

    assert none["accuracy_mean"] == pytest.approx(0.375)
    assert none["delta"] == 0
    assert none["delta_ci95"] is none["p_value"] is none["p_holm"] is None
    assert none["relative_cost"] == 1

    assert kformer["seeds"] == [41, 42]
    assert kformer["seed_accuracies"] == [1, 0.75]
    assert kformer["accuracy_mean"] == pytest.approx(0.875)
    assert kformer["accuracy_std"] == pytest.approx(np.std([1, 0.75], ddof=1))
    assert kformer["ci95"][0] < 0.875 < kformer["ci95"][1] <= 1
    assert kformer["delta"] == pytest.approx(0.5)
    # Differences .5 .5 1 1 .5 .5 0 0, all of one sign: 2 of 2^6 patterns.
    assert kformer["p_value"] == kformer["p_holm"] == pytest.approx(2 / 64)
    assert kformer["relative_cost"] == pytest.approx(2.5)
    assert kformer["added_parameters"] == 7
    assert kformer["validation_accuracy"] == 0.5


def test_rows_are_paired_by_id_and_not_by_place(runs, tmp_path):
    folders = [add_run(runs, name, wrong_at(2)) for name in ("none", "kformer")]
    backwards = list(reversed(range(8)))
    rows = [
        {
            "question_id": f"q{place}",
            "split": "test",
            "answer": ANSWERS[place],
            "prediction": wrong_at(2)[place],
            "logits": [0.0] * 4,
            "fact_ids": [[]] * 4,
        }
        for place in backwards
    ]
    write_table(folders[1] / "predictions.parquet", "predictions", rows)
    _, by_condition = compared(folders, tmp_path)
    assert by_condition["kformer"]["delta"] == 0
    assert by_condition["kformer"]["p_value"] == 1


def test_holm_corrects_for_every_condition_but_the_baseline(runs, tmp_path):
    folders = [
        add_run(runs, "none", wrong_at(*range(8))),
        add_run(runs, "all", wrong_at()),
        add_run(runs, "half", wrong_at(0, 1, 2, 3)),
    ]
    _, by_condition = compared(folders, tmp_path)
    assert by_condition["all"]["p_value"] == pytest.approx(2 / 256)
    assert by_condition["all"]["p_holm"] == pytest.approx(2 * 2 / 256)
    assert by_condition["half"]["p_holm"] == by_condition["half"]["p_value"] == 2 / 16


def test_a_clearly_better_condition(runs, tmp_path):
    rng = np.random.default_rng(1)
    answers = rng.integers(4, size=200).tolist()
    folders = [
        add_run(runs, "none", rng.integers(4, size=200), answers=answers),
        add_run(runs, "kformer", answers, answers=answers),
    ]
    _, by_condition = compared(folders, tmp_path)
    none, kformer = by_condition["none"], by_condition["kformer"]
    assert kformer["p_holm"] < 0.001
    assert kformer["p_chance"] < 0.001
    assert none["p_chance"] > 0.001
    assert kformer["delta_ci95"][0] > 0.5
    low, high = kformer["ci95"]  # perfect, yet not certain to be
    assert 0.97 < low < high == 1
    page = (tmp_path / "comparison.md").read_text()
    assert f"{100 * kformer['delta']:.1f} points above `none`" in page
    assert "`none`: the baseline" in page
    assert "no difference from chance detected" in page


def test_equal_conditions_are_not_called_different(runs, tmp_path):
    folders = [add_run(runs, name, wrong_at(2)) for name in ("none", "kformer")]
    _, by_condition = compared(folders, tmp_path)
    assert by_condition["kformer"]["p_holm"] == 1
    assert "no difference from `none` detected" in (tmp_path / "comparison.md").read_text()


def test_one_seed_has_no_deviation_and_an_untrained_run_no_cost(runs, tmp_path):
    folders = [
        add_run(runs, "none", wrong_at(1)),
        add_run(runs, "retrieval", wrong_at(1, 2), seed=None),
    ]
    _, by_condition = compared(folders, tmp_path)
    assert by_condition["none"]["accuracy_std"] is None
    untrained = by_condition["retrieval"]
    assert untrained["seeds"] == untrained["seed_accuracies"] == []
    for name in ("accuracy_std", "seconds_per_step", "relative_cost", "added_parameters"):
        assert untrained[name] is None
    assert "Untrained: `retrieval`." in (tmp_path / "comparison.md").read_text()


def test_an_untrained_baseline_gives_no_relative_cost(runs, tmp_path):
    folders = [
        add_run(runs, "retrieval", wrong_at(1), seed=None),
        add_run(runs, "kformer", wrong_at()),
    ]
    _, by_condition = compared(folders, tmp_path, baseline="retrieval")
    assert by_condition["kformer"]["seconds_per_step"] == 0.2
    assert by_condition["kformer"]["relative_cost"] is None


def test_the_baseline_alone(runs, tmp_path):
    content, _ = compared([add_run(runs, "none", wrong_at(1))], tmp_path)
    assert len(content["conditions"]) == 1


def test_an_undefined_measure_is_null(runs, tmp_path):
    training = TRAINING | {"validation_accuracy": float("nan")}
    _, by_condition = compared(
        [add_run(runs, "none", wrong_at(1), training=training)],
        tmp_path,
    )
    assert by_condition["none"]["validation_accuracy"] is None


def test_metrics_for_tracking(runs, tmp_path):
    folders = [
        add_run(runs, "none", wrong_at(0, 1)),
        add_run(runs, "kformer-identity", wrong_at()),
    ]
    metrics = compare("tiny", folders, "none", tmp_path)
    assert metrics == pytest.approx(
        {
            "none/accuracy": 0.75,
            "none/delta": 0,
            "kformer-identity/accuracy": 1,
            "kformer-identity/delta": 0.25,
            "kformer-identity/p_holm": 0.5,
        }
    )


def test_the_same_runs_give_the_same_bytes(runs, tmp_path):
    folders = [
        add_run(runs, "none", wrong_at(0, 1)),
        add_run(runs, "kformer", wrong_at(5), seed=41),
        add_run(runs, "kformer", wrong_at(6), seed=42),
    ]
    names = ("comparison.json", "comparison.md", "accuracy.svg", "accuracy.png")
    for out in ("one", "two"):
        compare("tiny", folders, "none", tmp_path / out)
        assert sorted(path.name for path in (tmp_path / out).iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_table_fits_a_terminal(runs, tmp_path):
    names = ["none", "kformer-identity-shuffled", "a-condition-with-an-unreasonably-long-name"]
    folders = [
        add_run(runs, name, wrong_at(*range(place)), seed=seed)
        for place, name in enumerate(names)
        for seed in (41, 42)
    ]
    compare("tiny", folders, "none", tmp_path)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(render_table(read_comparison(tmp_path / "comparison.json")))
    text = captured.get()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "100.0 ±0.0" in text
    assert "from none" in " ".join(text.split())


def test_the_markdown_table_is_aligned_as_plain_text(runs, tmp_path):
    folders = [add_run(runs, name, wrong_at(2)) for name in ("none", "a-longer-name")]
    compare("tiny", folders, "none", tmp_path)
    lines = (tmp_path / "comparison.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 4
    assert len({len(line) for line in table}) == 1
    assert "](accuracy.png)" in "\n".join(lines)


def test_a_missing_baseline(runs, tmp_path):
    folders = [add_run(runs, "kformer", wrong_at())]
    with pytest.raises(KformerError, match="baseline: none is none of the conditions: kformer"):
        compare("tiny", folders, "none", tmp_path)


def test_other_questions(runs, tmp_path):
    folders = [
        add_run(runs, "none", ANSWERS),
        add_run(runs, "kformer", ANSWERS[:7], answers=ANSWERS[:7]),
    ]
    with pytest.raises(KformerError, match="only one of them, such as q7") as caught:
        compare("tiny", folders, "none", tmp_path)
    for folder in folders:
        assert str(folder / "predictions.parquet") in str(caught.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"answers": [1, *ANSWERS[1:]]}, "question q0 has right answer 0 and 1"),
        ({"logits": [0.0] * 5}, "question q0 has number of choices 4 and 5"),
        ({"split": "validation"}, "one is about test, the other about validation"),
    ],
)
def test_the_same_questions_with_something_else(runs, tmp_path, change, complaint):
    folders = [
        add_run(runs, "none", ANSWERS),
        add_run(runs, "kformer", ANSWERS, **change),
    ]
    with pytest.raises(KformerError, match=complaint):
        compare("tiny", folders, "none", tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"answers": [*ANSWERS[:7], None]}, "question q7 has no answer"),
        ({"question_id": "q"}, "question q is there more than once"),
    ],
)
def test_predictions_that_cannot_be_scored(runs, tmp_path, change, complaint):
    folders = [add_run(runs, "none", ANSWERS, **change)]
    with pytest.raises(KformerError, match=complaint):
        compare("tiny", folders, "none", tmp_path)


def test_no_predictions(runs, tmp_path):
    folders = [add_run(runs, "none", [], answers=[])]
    with pytest.raises(KformerError, match="holds no predictions"):
        compare("tiny", folders, "none", tmp_path)


def test_a_folder_that_is_no_run(runs, tmp_path):
    folder = add_run(runs, "none", ANSWERS)
    with pytest.raises(KformerError, match="seed-<number> or untrained"):
        compare("tiny", [folder.rename(folder.with_name("latest"))], "none", tmp_path)
