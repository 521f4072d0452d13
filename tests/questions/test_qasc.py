"""QASC: the official files, and a validation split that shares no fact with train."""

from hypothesis import given
from hypothesis import strategies as st

from kformer.questions.copies import comparison_form
from kformer.questions.qasc import Qasc, groups_that_share


def question(name, *facts):
    choices = [{"text": f"choice {label}", "label": label} for label in "ABCDEFGH"]
    asked = {"stem": f"What is {name}?", "choices": choices}
    gold = dict(zip(("fact1", "fact2"), facts, strict=True))
    return {"id": name, "question": asked, "answerKey": "H", "combinedfact": "both", **gold}


def archive(folder_of, train, test=None):
    test = test or [question("test", "fact a", "fact b")]
    unlabelled = [{"id": "hidden", "question": {"stem": "What?", "choices": []}}]
    files = {"train": train, "dev": test, "test": unlabelled}
    return folder_of({f"QASC_Dataset/{name}.jsonl": rows for name, rows in files.items()})


def groups_of(count):
    """Train questions in pairs that share a fact, spelt in two ways."""
    return [
        question(f"{group}-{number}", f"Fact {group}." if number else f"fact  {group}", name)
        for group in range(count)
        for number, name in enumerate((f"left {group}", f"right {group}"))
    ]


def test_the_official_dev_set_is_the_test(folder_of, build):
    rows = build(Qasc(validation_share=0.2), archive(folder_of, groups_of(20)))
    assert [row["question_id"] for row in rows if row["split"] == "test"] == ["test"]
    assert rows[-1]["gold_facts"] == ["fact a", "fact b"]
    assert rows[-1]["choices"][rows[-1]["answer"]] == "choice H"


def facts_by_split(rows):
    facts = {"train": set(), "validation": set(), "test": set()}
    for row in rows:
        facts[row["split"]].update(map(comparison_form, row["gold_facts"]))
    return facts


def test_no_fact_is_in_train_and_validation(folder_of, build):
    rows = build(Qasc(validation_share=0.2), archive(folder_of, groups_of(50)))
    facts = facts_by_split(rows)
    assert not facts["train"] & facts["validation"]
    assert sum(row["split"] == "validation" for row in rows) == 20


def test_a_group_that_is_too_large_stays_in_train(folder_of, build):
    large = [question(f"large-{n}", "the one", f"own {n}") for n in range(60)]
    rows = build(Qasc(validation_share=0.2), archive(folder_of, [*large, *groups_of(20)]))
    held_out = [row["question_id"] for row in rows if row["split"] == "validation"]
    assert len(held_out) == 20 and not any(name.startswith("large") for name in held_out)


def test_the_seed_chooses_and_the_order_of_the_file_does_not(folder_of):
    questions = groups_of(30)

    def held_out(train, seed):
        rows = Qasc(validation_share=0.2, split_seed=seed).read(archive(folder_of, train))
        return {row["question_id"] for row in rows if row["split"] == "validation"}

    assert held_out(questions, 1) == held_out(questions[::-1], 1) != held_out(questions, 2)


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=2), min_size=1))
def test_groups_are_the_smallest_that_share_nothing(facts):
    groups = groups_that_share(facts)
    assert sorted(number for group in groups for number in group) == list(range(len(facts)))
    of_group = [{fact for number in group for fact in facts[number]} for group in groups]
    assert sum(map(len, of_group)) == len(set().union(*of_group))
    for group in groups:  # each can be reached from the first
        reached, known = {group[0]}, set(facts[group[0]])
        while more := {n for n in group if known & set(facts[n])} - reached:
            reached |= more
            known.update(fact for n in more for fact in facts[n])
        assert reached == set(group)
