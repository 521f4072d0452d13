"""What every study of the tests is made of, all but its conditions."""

STUDY = {
    "experiment": "study",
    "questions": {"dataset": "demo"},
    "knowledge": ["demo"],
    "seeds": [1, 2],
    "baseline": "none",
}
