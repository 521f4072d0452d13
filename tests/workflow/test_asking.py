"""A run of a finished study answers its test questions again as in the study."""

import json

import pytest

from kformer.io.tables import read_rows

KEYS = {"question_id": "id", "context": "context", "question": "question", "choices": "choices"}


@pytest.mark.parametrize("condition", ["none", "kformer"])
def test_predict_repeats_the_predictions_of_the_study(
    condition, study, kformer, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (questions,) = study.glob("results/shared/questions/*/questions.parquet")
    asked = [
        {new: row[old] for old, new in KEYS.items()}
        for row in read_rows(questions, "questions")
        if row["split"] == "test"
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, asked)))
    run = study / "results" / "tiny" / "runs" / condition / "seed-1"
    status, _, err = kformer("predict", "q.jsonl", "--run", run, "--out", "a.jsonl")
    assert status == 0, err
    answers = list(map(json.loads, (tmp_path / "a.jsonl").read_text("utf-8").splitlines()))
    predicted = list(read_rows(run / "predictions.parquet", "predictions"))
    assert len(answers) == 24
    for answer, expected in zip(answers, predicted, strict=True):
        assert answer["question_id"] == expected["question_id"]
        assert answer["prediction"] == expected["prediction"]
        assert answer["logits"] == pytest.approx(expected["logits"], abs=1e-4)
        read = [[fact["id"] for fact in facts] for facts in answer["facts"]]
        assert read == expected["fact_ids"]
