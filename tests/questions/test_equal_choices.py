"""Questions that have the same choice twice are counted and named."""

from kformer.questions.equal_choices import find_equal_choices


def question(name, choices, answer):
    return {"question_id": name, "choices": choices, "answer": answer}


def test_they_are_counted_and_those_whose_right_choice_it_is_are_told():
    rows = [
        question("a", ["red", "blue", "red"], 2),
        question("b", ["red", "blue", "red"], 1),
        question("c", ["red", "Red"], 0),
        question("d", ["in  vitro", "in vitro"], 0),
    ]
    found = find_equal_choices(rows)
    assert found.counts == {
        "questions_with_equal_choices": 3,
        "questions_with_right_choice_twice": 2,
    }
    assert found.lines() == [
        "3 questions have the same choice twice (a, b, d), 2 the right one (a, d): both are right"
    ]


def test_no_more_than_a_few_are_named():
    rows = [question(f"q{i}", ["x", "x", "y"], 2) for i in range(5)]
    (line,) = find_equal_choices(rows).lines()
    assert line == "5 questions have the same choice twice (q0, q1, q2 and 2 more)"
    assert find_equal_choices([question("a", ["x", "y"], 0)]).lines() == []
