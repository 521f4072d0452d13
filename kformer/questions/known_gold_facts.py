"""How many test questions rest on facts that training questions rest on, too.

A model can learn such facts from the training questions, so that it needs no retrieval for them.
"""

from collections.abc import Iterable

from kformer.io.table_schemas import ALL_SPLITS
from kformer.io.tables import Row
from kformer.questions.copies import comparison_form


def share_of_known_gold_facts(questions: Iterable[Row]) -> dict[str, float]:
    """The metric ``test_gold_facts_in_train``; nothing where no test question has gold facts.

    It is the share of the test questions with gold facts of which at least one is a gold fact of a
    training question, in the `comparison_form`.
    """
    facts: dict[str, list[set[str]]] = {split: [] for split in ALL_SPLITS}
    for question in questions:
        if question["gold_facts"]:
            facts[question["split"]].append(set(map(comparison_form, question["gold_facts"])))
    if not facts["test"]:
        return {}
    known = set().union(*facts["train"])
    share = sum(not known.isdisjoint(each) for each in facts["test"]) / len(facts["test"])
    return {"test_gold_facts_in_train": share}
