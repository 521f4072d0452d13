"""The closed book of QASC: the facts behind its train and dev questions."""

import pytest

from kformer.errors import KformerError
from kformer.knowledge.qasc_facts import QascFacts


def files(train, dev):
    hidden = [{"id": "hidden", "question": {"stem": "What?"}}]
    splits = {"train": train, "dev": dev, "test": hidden}
    return {f"QASC_Dataset/{name}.jsonl": rows for name, rows in splits.items()}


def test_both_facts_of_each_question_once(folder_of, build):
    train = [
        {"id": "one", "fact1": "ice melts", "fact2": "water flows", "combinedfact": "ice flows"},
        {"id": "two", "fact1": "ice melts", "fact2": "ice is cold"},
    ]
    dev = [{"id": "three", "fact1": "sun shines", "fact2": "sun warms"}]
    rows, counts = build(QascFacts(), folder_of(files(train, dev)))
    assert [(row["text"], row["origin"]) for row in rows] == [
        ("ice melts", "one"),
        ("water flows", "one"),
        ("ice is cold", "two"),
        ("sun shines", "three"),
        ("sun warms", "three"),
    ]
    assert counts["qasc_facts_duplicates"] == 1


def test_they_come_in_the_archive_of_qasc():
    assert QascFacts().archive == "qasc"


def test_a_fact_that_is_missing_is_named_with_its_line(folder_of):
    folder = folder_of(files([{"id": "one", "fact1": "ice melts"}], []))
    with pytest.raises(KformerError, match=r"train\.jsonl:1: fact2 must be text"):
        list(QascFacts().read(folder, {}))
