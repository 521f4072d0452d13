"""The stage: folders of runs in; JSON, Markdown, figure and terminal table out."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from kformer.errors import KformerError
from kformer.evaluation.compare import compare, read_comparison
from kformer.evaluation.ladder import Ladder, Rung
from kformer.evaluation.report import render_tables
from kformer.io.checksums import sealed
from kformer.io.file_writing import write_json
from kformer.io.output_names import RunFolder
from kformer.io.tables import read_table, write_table

ANSWERS = [0, 1, 2, 3, 0, 1, 2, 3]
MEASURED = {"steps": 100, "seconds_per_step": 0.2, "train_seconds": 20.0, "best_step": 80}
COUNTED = {"train_questions": 9, "inputs_cut": 0, "parameters": 99, "added_parameters": 0}
NOTED = {"seed": 41, "precision": "bf16", "device": "cpu", "version": "1", "encoder": "tiny"}
TRAINING = {**MEASURED, **COUNTED, **NOTED, "validation_accuracy": 0.5, "peak_memory_mb": 7.5}


@pytest.fixture
def add_run(tmp_path):
    """Writes a run in which question ``q<i>`` has ``answers[i]`` and got ``predictions[i]``."""

    def add(
        condition, predictions, *, seed=41, answers=ANSWERS, training=None, step=1, model="", **row
    ):
        folder = RunFolder.of(tmp_path / "runs", condition, seed)
        common = {"split": "test", "logits": [0.0] * 4, "tied": False, "fact_ids": [[]] * 4}
        common |= {"inputs_cut": 0}
        rows = [
            {"question_id": f"q{i}", "answer": answer, "prediction": int(chosen)}
            | {"credit": float(answer == chosen), **common, **row}
            for i, (answer, chosen) in enumerate(zip(answers, predictions, strict=True))
        ]
        write_table(folder.predictions, "predictions", rows[::step], {"model_checksums": model})
        if seed is not None:
            write_json(folder.summary, sealed(TRAINING | (training or {})))
        return folder.path

    return add


def wrong_at(*numbers):
    return [(a + 1) % 4 if i in numbers else a for i, a in enumerate(ANSWERS)]


@pytest.fixture
def compared(tmp_path):
    """The content of comparison.json, read as strict JSON, and its conditions by name."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    def run(*folders, baseline="none", ladders=()):
        compare("tiny", folders, baseline, tmp_path, ladders)
        text = (tmp_path / "comparison.json").read_text()
        content = json.loads(text, parse_constant=refuse)
        return content, {result["condition"]: result for result in content["conditions"]}

    return run


def test_a_tiny_example_by_hand(add_run, compared):
    costly = {"seconds_per_step": 0.5, "added_parameters": 7}
    content, by_condition = compared(
        add_run("none", wrong_at(0, 1, 2, 3), seed=41),
        add_run("none", wrong_at(0, 1, 2, 3, 4, 5), seed=42),
        add_run("kformer", wrong_at(), seed=41, training=costly),
        add_run("kformer", wrong_at(0, 1), seed=42, training=costly),
    )
    none, kformer = by_condition["none"], by_condition["kformer"]
    assert content.items() >= {"experiment": "tiny", "split": "test", "questions": 8}.items()
    assert (content["guessing"]["evenly"], content["baseline"]) == (0.25, "none")
    assert set(content["versions"]) == {"kformer", "torch", "transformers", "python"}
    assert list(by_condition) == ["none", "kformer"]

    assert none["accuracy_mean"] == pytest.approx(0.375)
    assert (none["delta"], none["relative_cost"]) == (0, 1)
    assert none["delta_ci95"] is none["p_value"] is none["p_holm"] is none["detectable"] is None

    assert (kformer["seeds"], kformer["seed_accuracies"]) == ([41, 42], [1, 0.75])
    assert kformer["accuracy_mean"] == pytest.approx(0.875)
    assert kformer["accuracy_std"] == pytest.approx(np.std([1, 0.75], ddof=1))
    assert kformer["ci95"][0] < 0.875 < kformer["ci95"][1] <= 1
    assert kformer["ci95_with_seeds"][0] <= kformer["ci95"][0]
    assert kformer["detectable"] == 6 / 8
    assert kformer["delta"] == pytest.approx(0.5)
    # Differences .5 .5 1 1 .5 .5 0 0: by signs alone 2 of 2^6 patterns. But seeds differ by 0.25.
    assert kformer["p_value"] == kformer["p_holm"] == pytest.approx(0.0982, abs=1e-4)
    assert kformer["relative_cost"] == pytest.approx(2.5)
    assert (kformer["added_parameters"], kformer["validation_accuracy"]) == (7, 0.5)


def test_rows_are_paired_by_id_and_equals_are_not_called_different(add_run, compared, tmp_path):
    _, by_condition = compared(
        add_run("none", wrong_at(2)), add_run("kformer", wrong_at(2), step=-1)
    )
    assert by_condition["kformer"]["delta"] == 0
    assert by_condition["kformer"]["p_value"] == by_condition["kformer"]["p_holm"] == 1
    page = (tmp_path / "comparison.md").read_text()
    assert "no difference from `none` detected" in page
    assert "a difference of 75.0 points or more would have been seen in 4 of 5 such studies" in page
    assert "One seed: not a statement about a method" in page


def test_ties_are_reported_where_there_are_any(add_run, compared, tmp_path):
    _, by_condition = compared(
        add_run("none", wrong_at()), add_run("tied", wrong_at(), seed=None, tied=True)
    )
    assert (by_condition["none"]["tied"], by_condition["tied"]["tied"]) == (0, 1)
    page = (tmp_path / "comparison.md").read_text()
    assert page.count("for 100.0 % of the questions several choices share the best score") == 1


def test_holm_corrects_for_every_condition_but_the_baseline(add_run, compared):
    _, by_condition = compared(
        add_run("none", wrong_at(*range(8))),
        add_run("all", wrong_at()),
        add_run("half", wrong_at(0, 1, 2, 3)),
    )
    assert by_condition["all"]["p_value"] == pytest.approx(2 / 256)
    assert by_condition["all"]["p_holm"] == pytest.approx(2 * 2 / 256)
    assert by_condition["half"]["p_holm"] == by_condition["half"]["p_value"] == 2 / 16


def test_a_clearly_better_condition(add_run, compared, tmp_path):
    rng = np.random.default_rng(1)
    answers = rng.integers(4, size=200).tolist()
    _, by_condition = compared(
        add_run("none", rng.integers(4, size=200), answers=answers),
        add_run("kformer", answers, answers=answers),
    )
    none, kformer = by_condition["none"], by_condition["kformer"]
    assert kformer["p_holm"] < 0.001 and kformer["p_guessing"] < 0.001 < none["p_guessing"]
    assert kformer["delta_ci95"][0] > 0.5
    low, high = kformer["ci95"]  # perfect, yet not certain to be
    assert 0.97 < low < high == 1
    page = (tmp_path / "comparison.md").read_text()
    assert f"{100 * kformer['delta']:.1f} points above `none`" in page
    assert "`none`: the baseline" in page
    assert "not shown to be better than guessing" in page


def test_what_was_not_measured_is_null(add_run, compared, tmp_path):
    """One seed has no deviation, an untrained run no cost, and NaN is no number."""
    without_accuracy = add_run("none", wrong_at(1), training={"validation_accuracy": np.nan})
    untrained = add_run("retrieval", wrong_at(1, 2), seed=None)
    _, by_condition = compared(without_accuracy, untrained)
    assert by_condition["none"]["accuracy_std"] is None
    assert by_condition["none"]["validation_accuracy"] is None
    found = by_condition["retrieval"]
    assert found["seeds"] == found["seed_accuracies"] == []
    for name in ("accuracy_std", "seconds_per_step", "relative_cost", "added_parameters"):
        assert found[name] is None
    assert "Untrained: `retrieval`." in (tmp_path / "comparison.md").read_text()

    _, by_condition = compared(without_accuracy, untrained, baseline="retrieval")
    assert by_condition["none"]["seconds_per_step"] == 0.2
    assert by_condition["none"]["relative_cost"] is None


def test_the_cost_is_in_cpu_seconds_where_all_trainings_were_on_cpus(add_run, compared):
    on_cpu, costly = {"cpu_seconds": 10.0}, {"cpu_seconds": 15.0, "seconds_per_step": 0.8}

    def cost(**change):
        none = add_run("none", wrong_at(1), training=on_cpu)
        return compared(none, add_run("kformer", wrong_at(2), training=costly | change))[1][
            "kformer"
        ]["relative_cost"]

    assert cost() == 1.5
    assert cost(cpu_seconds=None) == cost(device="cuda") == 4.0
    assert cost(cpu_seconds=None, steps=50) == 2.0  # of all steps


def test_the_baseline_may_be_alone(add_run, compared):
    content, _ = compared(add_run("none", wrong_at(1), seed=None))
    assert len(content["conditions"]) == 1


def test_metrics_for_tracking(add_run, tmp_path):
    folders = [add_run("none", wrong_at(0, 1)), add_run("kformer-identity", wrong_at())]
    assert compare("tiny", folders, "none", tmp_path) == pytest.approx(
        {
            "none/accuracy": 0.75,
            "none/delta": 0,
            "kformer-identity/accuracy": 1,
            "kformer-identity/delta": 0.25,
            "kformer-identity/p_holm": 0.5,
        }
    )


def test_the_same_runs_give_the_same_bytes(add_run, tmp_path):
    folders = [add_run("none", wrong_at(0, 1))]
    folders += [add_run("kformer", wrong_at(seed), seed=seed) for seed in (5, 6)]
    for out in ("one", "two"):
        compare("tiny", folders, "none", tmp_path / out)
    written = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    again = {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert len(written) == 4 and written == again


def test_the_tables_fit_a_terminal_and_are_aligned_as_plain_text(add_run, tmp_path):
    names = ["none", "kformer-identity-shuffled", "a-condition-with-an-unreasonably-long-name"]
    folders = [
        add_run(name, wrong_at(*range(wrong)), seed=seed)
        for wrong, name in enumerate(names)
        for seed in (41, 42)
    ]
    compare("tiny", folders, "none", tmp_path)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(*render_tables(read_comparison(tmp_path / "comparison.json")))
    text = captured.get()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text and "100.0 ±0.0" in text
    assert "from none" in " ".join(text.split())
    page = (tmp_path / "comparison.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len(table) == 5 and len({len(line) for line in table}) == 1
    assert "](accuracy.png)" in page


# --- ladders


METHOD = Ladder(
    name="found",
    rungs=[
        Rung(kind="gold", condition="gold", controls={"shuffle": "gold-shuffled"}),
        Rung(kind="gold_among_others", condition="among"),
        Rung(kind="retrieved", condition="found", controls={"shuffle": "shuffled"}),
    ],
)
ALONE = Ladder(name="alone", rungs=[Rung(kind="retrieved", condition="alone")])
OF_200 = np.random.default_rng(1).integers(4, size=200).tolist()


@pytest.fixture
def ladder_of_200(add_run, compared):
    """A baseline that gets 60 of 200 right, and a ladder above it."""
    right = {"none": 60, "gold": 180, "gold-shuffled": 60, "among": 150, "found": 120}
    right |= {"shuffled": 70, "alone": 60}
    folders = []
    for name, count in right.items():
        predictions = [*OF_200[:count], *((answer + 1) % 4 for answer in OF_200[count:])]
        folders += [add_run(name, predictions, answers=OF_200, seed=seed) for seed in (1, 2)]
    content, _ = compared(*folders, ladders=[METHOD, ALONE])
    return content


def test_a_ladder_says_what_is_gained_by_knowledge_and_how_much_gold_facts_give(ladder_of_200):
    method, alone = ladder_of_200["ladders"]
    gold, among, found = method["rungs"]
    assert [rung["gain"]["delta"] for rung in method["rungs"]] == pytest.approx([0.6, 0.45, 0.3])
    assert gold["share_of_gold"] is None
    assert among["share_of_gold"]["value"] == pytest.approx(0.75)
    assert found["share_of_gold"]["value"] == pytest.approx(0.5)
    low, high = found["share_of_gold"]["ci95"]
    assert 0.35 < low < 0.5 < high < 0.65
    (control,) = found["controls"]
    assert (control["control"], control["condition"]) == ("shuffle", "shuffled")
    assert control["due_to_knowledge"]["delta"] == pytest.approx(0.25)
    assert control["due_to_knowledge"]["p_holm"] < 0.001
    assert control["share_of_gold"]["value"] == pytest.approx(1 / 12)
    assert gold["controls"][0]["due_to_knowledge"]["delta"] == pytest.approx(0.6)
    assert alone["rungs"] == [alone["rungs"][0] | {"controls": [], "share_of_gold": None}]


def test_controls_are_a_family_of_their_own_for_holm(add_run, compared):
    folders = [
        add_run("none", wrong_at(*range(8))),
        add_run("found", wrong_at()),
        add_run("shuffled", wrong_at(0, 1, 2, 3, 4, 5, 6)),
    ]
    ladder = Ladder(
        name="found",
        rungs=[Rung(kind="retrieved", condition="found", controls={"shuffle": "shuffled"})],
    )
    content, by_condition = compared(*folders, ladders=[ladder])
    knowledge = content["ladders"][0]["rungs"][0]["controls"][0]["due_to_knowledge"]
    assert knowledge["p_value"] == knowledge["p_holm"] == pytest.approx(2 / 128)
    assert by_condition["found"]["p_holm"] == pytest.approx(2 * 2 / 256)


def test_the_page_the_terminal_and_a_figure_show_ladders(ladder_of_200, tmp_path):
    comparison = read_comparison(tmp_path / "comparison.json")
    console = Console(width=80)
    with console.capture() as captured:
        for table in render_tables(comparison):
            console.print(table)
    text = captured.get()
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    _, row = (line.split() for line in text.splitlines() if line.startswith("found "))
    assert row == ["found", "90.0", "75.0", "60.0", "35.0", "+30.0", "+25.0", "50", "8"]
    page = (tmp_path / "comparison.md").read_text()
    assert "25.0 points above its control `shuffled`" in page
    assert "`among`: +45.0 points over `none`; it has no control" in page
    assert "](ladder.png)" in page
    for name in ("ladder.png", "ladder.svg"):
        assert (tmp_path / name).stat().st_size > 10_000


def test_ladders_of_one_condition_have_neither_table_nor_figure(add_run, compared, tmp_path):
    (tmp_path / "ladder.png").touch()  # of a comparison before
    content, _ = compared(add_run("none", wrong_at(1)), add_run("alone", ANSWERS), ladders=[ALONE])
    assert content["ladders"][0]["rungs"][0]["gain"]["delta"] == pytest.approx(1 / 8)
    assert "gold" not in (tmp_path / "comparison.md").read_text()
    assert not list(tmp_path.glob("ladder.*"))


def test_the_baseline_may_be_in_a_ladder(add_run, compared):
    ladder = Ladder(
        name="found",
        rungs=[
            Rung(kind="gold", condition="gold"),
            Rung(kind="retrieved", condition="found", controls={"shuffle": "none"}),
        ],
    )
    folders = [add_run(name, wrong_at(1)) for name in ("none", "gold", "found")]
    for baseline in ("none", "gold", "found"):
        content, _ = compared(*folders, ladders=[ladder], baseline=baseline)
        gains = {rung["condition"]: rung["gain"] for rung in content["ladders"][0]["rungs"]}
        assert (gains.get(baseline) is None) and len([*filter(None, gains.values())]) >= 1


def test_a_ladder_of_unknown_conditions_is_refused(add_run, compared):
    with pytest.raises(KformerError, match="ladders: alone is none of the conditions: none"):
        compared(add_run("none", ANSWERS), ladders=[ALONE])


# --- several splits


def test_a_second_test_set_is_compared_by_itself(add_run, tmp_path):
    folders = []
    for name, wrong in (("none", [0, 1, 5]), ("kformer", [6])):
        folder = RunFolder(add_run(name, wrong_at(*wrong)))
        rows = read_table(folder.predictions, "predictions").to_pylist()
        for row in rows[:6]:
            row["split"] = "test_extra"
        write_table(folder.predictions, "predictions", rows, {"model_checksums": ""})
        folders.append(folder.path)
    metrics = compare("tiny", folders, "none", tmp_path)
    content = json.loads((tmp_path / "comparison.json").read_text())
    (extra,) = content["other_splits"]
    found = {
        part["split"]: (part["questions"], [each["delta"] for each in part["conditions"]])
        for part in (content, extra)
    }
    assert found == {"test": (2, [0, -0.5]), "test_extra": (6, [0, 0.5])}
    assert metrics["kformer/delta"] == -0.5
    assert metrics["test_extra/kformer/delta"] == 0.5
    page = (tmp_path / "comparison.md").read_text()
    assert "## On test_extra" in page and "the same 6 test_extra questions" in page
    assert len(list(render_tables(read_comparison(tmp_path / "comparison.json")))) == 2


def test_runs_on_other_splits_are_refused(add_run, compared):
    one, other = add_run("none", ANSWERS), RunFolder(add_run("kformer", ANSWERS))
    rows = read_table(other.predictions, "predictions").to_pylist()
    rows[0]["split"] = "test_extra"
    write_table(other.predictions, "predictions", rows, {"model_checksums": ""})
    with pytest.raises(KformerError, match="one is about test, the other about test and test_ext"):
        compared(one, other.path)


# --- what cannot be compared


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"answers": ANSWERS[:7], "predictions": ANSWERS[:7]}, "q7"),
        ({"answers": [1, *ANSWERS[1:]]}, "question q0 has right answer 0 and 1"),
        ({"logits": [0.0] * 5}, "question q0 has number of choices 4 and 5"),
        ({"split": "validation"}, "test.*validation"),
        ({"training": {"version": "2"}}, r"seed-41 \(by 1\).*seed-41 \(by 2\).*versions"),
        ({"model": "0"}, "made by another model than that of .*; evaluate the run again"),
        ({"training": {"version": "2 outside 1.0"}}, "different versions"),
        (
            {"training": {"encoder": "tiny", "encoder_weights": "0"}},
            "from encoders with other weights, though both are called tiny",
        ),
        ({"training": {"version": None}}, "training.json: damaged .*version"),
        ({"answers": [*ANSWERS[:7], None]}, "predictions.parquet: question q7 has no answer"),
        ({"logits": [0.0, 1.0, np.nan, 0.0]}, "logits of question q0 are not numbers; delete"),
        ({"logits": [0.0, np.inf, 0.0, 0.0]}, "q0 are not numbers; .*lower training.learning_rate"),
        ({"predictions": [4, *ANSWERS[1:]]}, "question q0 has no choice 4; delete the file"),
        ({"question_id": "q"}, "predictions.parquet: question q occurs more than once"),
        ({"answers": [], "predictions": []}, "predictions.parquet: holds no predictions"),
    ],
)
def test_a_run_that_cannot_be_scored_or_compared_is_refused(change, named, add_run, tmp_path):
    baseline = add_run("none", ANSWERS)
    other = add_run(**{"condition": "x", "predictions": ANSWERS} | change)
    with pytest.raises(KformerError, match=named) as caught:
        compare("tiny", [baseline, other], "none", tmp_path)
    assert str(other) in str(caught.value)


def test_a_trained_run_without_its_summary_is_refused(add_run, compared):
    folder = add_run("none", ANSWERS)
    (folder / "training.json").unlink()
    with pytest.raises(KformerError, match="there is no such file; train this run"):
        compared(folder)


def test_the_runs_of_a_condition_have_injections_of_one_code(add_run, compared):
    def runs(*versions):
        return [
            add_run("outside", ANSWERS, seed=seed, training={"version": version})
            for seed, version in enumerate(versions)
        ]

    baseline = add_run("none", wrong_at(1))
    compared(baseline, *runs("1 outside 1.0 aaa", "1 outside 1.0 aaa"))
    with pytest.raises(KformerError, match=r"\(by 1 outside 1.0 aaa\).*\(by 1 outside 1.0 bbb\)"):
        compared(baseline, *runs("1 outside 1.0 aaa", "1 outside 1.0 bbb"))


def test_a_run_given_twice_is_refused(add_run, compared, monkeypatch):
    folder = add_run("none", ANSWERS)
    monkeypatch.chdir(folder)
    with pytest.raises(KformerError, match=r"^\S+ and \. are both the run none seed-41"):
        compared(folder, Path())


def test_a_missing_baseline_and_a_folder_that_is_no_run_are_refused(add_run, tmp_path):
    folder = add_run("kformer", wrong_at())
    with pytest.raises(KformerError, match="baseline: none is none of the conditions: kformer"):
        compare("tiny", [folder], "none", tmp_path)
    with pytest.raises(KformerError, match="seed-<number>"):
        compare("tiny", [folder.rename(folder.with_name("latest"))], "kformer", tmp_path)
