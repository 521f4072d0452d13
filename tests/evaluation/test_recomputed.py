"""Every number of a comparison once more, by other means, from the tables of the runs alone."""

import json
import math
from collections import Counter
from statistics import mean, stdev

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from kformer.evaluation.compare import compare
from kformer.io.checksums import sealed
from kformer.io.file_writing import write_json
from kformer.io.output_names import RunFolder
from kformer.io.tables import write_table

QUESTIONS = 150
SEEDS = {"none": [1, 2, 3], "method": [1, 2, 3], "one-seed": [1], "search": [None]}
SKILL = {"none": 0.3, "method": 0.6, "one-seed": 0.5, "search": 0.4}
TRAINED = {"steps": 10, "seconds_per_step": 0.2, "train_seconds": 2.0, "best_step": 10}
TRAINED |= {"train_questions": 9, "inputs_cut": 0, "parameters": 9, "added_parameters": 0}
TRAINED |= {"precision": "fp32", "device": "cpu", "version": "1", "cpu_seconds": 2.0}
TRAINED |= {"validation_accuracy": 0.5, "peak_memory_mb": 9.0}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A comparison of random answers, and the rows of its runs by condition."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(8)
    key = rng.integers(3, size=QUESTIONS).tolist()
    runs = []
    for condition, seeds in SEEDS.items():
        for seed in seeds:
            run = RunFolder.of(folder / "runs", condition, seed)
            rows = [random_row(rng, f"q{i}", right, condition) for i, right in enumerate(key)]
            write_table(run.predictions, "predictions", rows, {"model_checksums": ""})
            if seed is not None:
                summary = TRAINED | {"seed": seed, "cpu_seconds": 2.0 * len(condition)}
                write_json(run.summary, sealed(summary))
            runs.append(run.path)
    questions = [
        {"question_id": f"q{i}", "split": "test", "context": "", "question": "?" * (i % 5 + 1)}
        | {"choices": ["a", "b", "c"], "answer": right, "gold_facts": None}
        | {"type": "even" if i % 2 == 0 else "odd"}
        for i, right in enumerate(key)
    ]
    write_table(folder / "questions.parquet", "questions", questions)
    compare("random", runs, "none", folder, (), folder / "questions.parquet")
    comparison = json.loads((folder / "comparison.json").read_text())
    tables = {
        condition: [
            pq.read_table(RunFolder.of(folder / "runs", condition, seed).predictions).to_pylist()
            for seed in seeds
        ]
        for condition, seeds in SEEDS.items()
    }
    return comparison, tables


def random_row(rng, name, right, condition):
    logits = rng.normal(size=3)
    if rng.random() < SKILL[condition]:
        logits[right] += 3
    tied = bool(rng.random() < 0.1)
    if tied:
        logits[:] = 0.5
    chosen = int(rng.integers(3)) if tied else int(logits.argmax())
    return {
        "question_id": name,
        "split": "test",
        "answer": right,
        "prediction": chosen,
        "tied": tied,
        "credit": 1 / 3 if tied else float(chosen == right),
        "inputs_cut": 0,
        "logits": logits.tolist(),
        "fact_ids": [[], [], []],
    }


def results(found):
    comparison, tables = found
    return [(each, tables[each["condition"]]) for each in comparison["conditions"]]


def by_question(tables):
    """The credit of each question, the mean over seeds."""
    return [mean(row["credit"] for row in rows) for rows in zip(*tables, strict=True)]


def test_accuracies(found):
    for result, tables in results(found):
        of_seeds = [mean(row["credit"] for row in rows) for rows in tables]
        assert result["accuracy_mean"] == pytest.approx(mean(of_seeds))
        if len(of_seeds) > 1:
            assert result["accuracy_std"] == pytest.approx(stdev(of_seeds))
        else:
            assert result["accuracy_std"] is None
        if result["seeds"]:
            assert result["seed_accuracies"] == pytest.approx(of_seeds)
        tied = mean(row["tied"] for rows in tables for row in rows)
        assert result["tied"] == pytest.approx(tied)


def test_what_guessing_gets(found):
    comparison, tables = found
    key = Counter(row["answer"] for row in tables["none"][0])
    best, count = key.most_common(1)[0]
    guessing = comparison["guessing"]
    assert guessing["evenly"] == pytest.approx(1 / 3)
    assert guessing["best_constant"] == best
    assert guessing["best_constant_accuracy"] == pytest.approx(count / QUESTIONS)
    assert guessing["key"] == pytest.approx([key[choice] / QUESTIONS for choice in range(3)])


def test_answers_macro_f1_and_calibration(found):
    for result, tables in results(found):
        chosen = [[row["prediction"] for row in rows] for rows in tables]
        right = [row["answer"] for row in tables[0]]
        counts = Counter(choice for each in chosen for choice in each)
        shares = [counts[choice] / (QUESTIONS * len(tables)) for choice in range(3)]
        assert result["answers"] == pytest.approx(shares)
        f1 = [f1_score(right, each, average="macro") for each in chosen]
        assert result["macro_f1"] == pytest.approx(mean(f1))
        if not result["seeds"]:
            assert result["calibration"] is None
            continue
        bins: dict[int, list[tuple[float, float]]] = {}
        for row in (row for rows in tables for row in rows):
            powers = [math.exp(logit) for logit in row["logits"]]
            confidence = max(powers) / sum(powers)
            bins.setdefault(min(int(confidence * 10), 9), []).append((confidence, row["credit"]))
        total = sum(map(len, bins.values()))
        error = sum(
            len(each) * abs(mean(c for c, _ in each) - mean(r for _, r in each))
            for each in bins.values()
        )
        assert result["calibration"]["error"] == pytest.approx(error / total, abs=1e-6)


def test_intervals_agree_with_scipy(found):
    for result, tables in results(found):
        other = stats.bootstrap(
            (by_question(tables),), np.mean, n_resamples=9_999, rng=np.random.default_rng(99)
        ).confidence_interval
        assert result["ci95"] == pytest.approx((other.low, other.high), abs=0.01)


def test_differences_and_their_p_values(found):
    _, tables = found
    of_baseline = by_question(tables["none"])
    p_values = {}
    for result, of_condition in results(found):
        if result["condition"] == "none":
            continue
        values = by_question(of_condition)
        differences = np.array([a - b for a, b in zip(values, of_baseline, strict=True)])
        assert result["delta"] == pytest.approx(differences.mean())
        signs = np.random.default_rng(5).choice([-1.0, 1.0], size=(20_000, QUESTIONS))
        flipped = np.abs((signs * differences).mean(axis=1))
        by_signs = np.mean(flipped >= abs(differences.mean()) - 1e-12)
        expected = max(by_signs, p_with_seeds(differences, tables["none"], of_condition))
        assert result["p_value"] == pytest.approx(expected, abs=0.01)
        p_values[result["condition"]] = result["p_value"], result["p_holm"]
    in_order = sorted(p_values.values())
    largest = 0.0
    for number, (p_value, p_holm) in enumerate(in_order):
        largest = max(largest, min(1.0, p_value * (len(in_order) - number)))
        assert p_holm == pytest.approx(largest)


def p_with_seeds(differences, *conditions):
    """Student's t with the seeds in its error: variance components by hand."""
    parts = [(differences.var(ddof=1) / QUESTIONS, QUESTIONS - 1)]
    observed = [(parts[0][0], QUESTIONS - 1)]
    for tables in conditions:
        credit = [[row["credit"] for row in rows] for rows in tables]
        if len(credit) == 1:
            continue
        seeds = len(credit)
        accuracies = [mean(of_seed) for of_seed in credit]
        of_questions = [mean(column) for column in zip(*credit, strict=True)]
        total = mean(accuracies)
        left = sum(
            (credit[s][q] - accuracies[s] - of_questions[q] + total) ** 2
            for s in range(seeds)
            for q in range(QUESTIONS)
        )
        luck = left / ((seeds - 1) * (QUESTIONS - 1)) / QUESTIONS
        between = stdev(accuracies) ** 2
        parts.append((max(0.0, between - luck) / seeds, seeds - 1))
        observed.append((between / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in observed)
    freedom = min(max(freedom, 1.0), QUESTIONS - 1)
    return 2 * stats.t.sf(abs(differences.mean()) / math.sqrt(variance), freedom)


def test_pairs(found):
    comparison, tables = found
    assert len(comparison["pairs"]) == 6
    for pair in comparison["pairs"]:
        one, other = (by_question(tables[pair[side]]) for side in ("condition", "other"))
        assert pair["delta"] == pytest.approx(mean(one) - mean(other))
        assert pair["p_value"] <= pair["p_holm"] <= 1


def test_groups(found):
    comparison, tables = found
    (by_type, by_length) = comparison["breakdowns"]
    for group in by_type["groups"]:
        parity = 0 if group["name"] == "even" else 1
        for condition, accuracy in group["accuracies"].items():
            values = by_question(tables[condition])[parity::2]
            assert accuracy == pytest.approx(mean(values))
            assert group["questions"][condition] == len(values)
    sizes = [group["questions"]["none"] for group in by_length["groups"]]
    assert sizes == [60, 60, 30]  # of lengths 1 to 5


def test_costs(found):
    comparison, _ = found
    costs = {each["condition"]: each["relative_cost"] for each in comparison["conditions"]}
    assert costs == {"none": 1, "method": 6 / 4, "one-seed": 8 / 4, "search": None}
